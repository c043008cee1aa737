"""Time of tiles and of whole runs."""
