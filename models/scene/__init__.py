"""What is known of a pair: statistics, estimates, the spectral subspace, the closed-form methods and the plan
of tiles.
"""
