"""What every job stands on: progress, memory, temporary files, limits of the process."""
