"""Messages between the plugin and a backend, both ways: what travels beside the tensors, read with every number checked. Numpy and stdlib alone."""
