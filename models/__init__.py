"""The mathematics: a numpy half (observation, scene, metrics) and a torch half (everything else)."""
