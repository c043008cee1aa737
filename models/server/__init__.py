"""The server: Open Inference Protocol v2 over HTTP in front of the engine, as a local child of QGIS or on its own."""
