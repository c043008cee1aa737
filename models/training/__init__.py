"""How weights are made: random sensors over real scenes, a pool of patches, a training loop that resumes exactly."""
