"""Arithmetic on pixels: moments, regression, halving, scaling."""
