"""hsfusion:simulate: a pair with a known answer."""
