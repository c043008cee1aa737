"""What the pair leaves open: how the errors of a fused scene hang together, and perturbations drawn from that."""
