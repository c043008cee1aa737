"""The spectral subspace, what lies outside it, and what no coarse pixel shows."""
