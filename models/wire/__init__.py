"""Messages between plugin and backend, both ways; numpy and the standard library alone."""
