"""hsfusion:evaluate: quality against a reference."""
