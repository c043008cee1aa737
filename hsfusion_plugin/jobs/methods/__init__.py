"""The ways to fuse a tile: closed forms, classical methods, and models in the backend."""
