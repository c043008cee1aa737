"""Training of the full-band models of the published systems."""
