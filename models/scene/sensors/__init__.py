"""How the two sensors see the scene: response, PSF, shift, noise."""
