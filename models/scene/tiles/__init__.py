"""How a scene is cut into tiles, and how coefficients become spectra."""
