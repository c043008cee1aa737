"""Model files: manifests, downloads, and where files lie."""
