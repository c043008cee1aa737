"""hsfusion:assess: quality without a reference."""
