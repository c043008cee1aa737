"""What a pair of rasters tells about its two sensors."""
