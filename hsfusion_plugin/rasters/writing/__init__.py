"""Rasters and what lies beside them, written whole or not at all."""
