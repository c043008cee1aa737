"""Jobs from rasters to rasters, tile by tile; they know no QGIS Processing and report through `Progress`."""
