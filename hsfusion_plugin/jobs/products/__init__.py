"""Products made rasters: by `hsfusion:openproduct`, and by every job that is given one instead of a raster."""
