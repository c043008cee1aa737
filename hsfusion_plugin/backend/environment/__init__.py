"""The backend's Python environment: made, repaired, looked at."""
