"""Readers of products, one small file per family."""
