"""Training of the subspace model."""
