"""Scenes and sources of training and benchmarks, read with rasterio."""
