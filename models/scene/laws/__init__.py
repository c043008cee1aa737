"""What the scene itself teaches about fine detail, and the closed forms that use it."""
