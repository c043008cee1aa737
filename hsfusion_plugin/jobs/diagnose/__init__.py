"""hsfusion:diagnostics: what is installed, what works and what does not."""
