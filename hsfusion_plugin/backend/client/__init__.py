"""The client of a backend: requests, replies, retries, errors."""
