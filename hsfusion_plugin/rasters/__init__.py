"""Rasters through GDAL: open, align, read windows, write whole files with their metadata, style and provenance."""
