"""The errors that jobs raise; one sentence each, see models/errors.py."""

from __future__ import annotations

from ..models.errors import HSFusionError
from ..models.errors import RunCancelled as Cancelled

__all__ = ["Cancelled", "HSFusionError"]
