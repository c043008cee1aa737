"""What a raster holds, as it lies in its file: bands, wavelengths, nodata, masks."""
