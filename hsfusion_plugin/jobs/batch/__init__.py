"""Many pairs in one run: `hsfusion:fusefolder`."""
