"""Networks that are trained on one pair and nothing else."""
