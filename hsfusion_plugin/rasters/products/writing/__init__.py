"""From a product to files: which bands and quality classes, how numbers are stored, GeoTIFF or virtual raster, mask."""
