"""The benchmark: quality, real pairs, estimation, memory, speed, the published claims."""
