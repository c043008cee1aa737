"""Fusion methods in numpy: the subspace closed forms and the classical methods."""
