"""Training runs as scripts/train.py and the benchmark start them."""
