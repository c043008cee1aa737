"""The tables of the three papers from the data as it is distributed: `scripts/benchmark.py reproduce`."""
