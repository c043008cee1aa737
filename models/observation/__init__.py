"""How the sensors see: the point spread function, the spectral response and the noise.  Y = D(X) + noise, Z = g R X + o
+ noise.
"""

from __future__ import annotations

from .degradation import Degradation, Sampling, Upsampling, coarse_shape
from .displacement import Displacement
from .noise import gaussian_field, noise_std
from .response import Sensor, covered_bands, gaussian_response, load_sensors, read_response
from .seen import coarse_range, coarse_seen, fine_seen

__all__ = [
    "Degradation",
    "Displacement",
    "Sampling",
    "Sensor",
    "Upsampling",
    "coarse_range",
    "coarse_seen",
    "coarse_shape",
    "covered_bands",
    "fine_seen",
    "gaussian_field",
    "gaussian_response",
    "load_sensors",
    "noise_std",
    "read_response",
]
