"""The two rasters of a job, and everything that is estimated of them once for the scene."""
