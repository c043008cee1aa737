"""The local backend: a child process in its own interpreter."""
