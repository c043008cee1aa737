"""Where a raster's pixels lie, and what brings two grids together."""
