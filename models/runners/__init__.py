"""Loaded models that answer tile requests."""
