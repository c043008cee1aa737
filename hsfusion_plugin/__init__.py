"""What an algorithm does inside QGIS: rasters, jobs, reports and the way to the backend."""
