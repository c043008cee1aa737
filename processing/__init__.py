"""What the Toolbox shows: the provider and one file per algorithm."""
