"""The same backend under Ray Serve, KServe and NVIDIA Triton."""
