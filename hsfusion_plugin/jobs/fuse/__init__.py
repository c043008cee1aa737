"""hsfusion:fuse and hsfusion:fuseclassical: from two rasters to the fused one, tile by tile."""
