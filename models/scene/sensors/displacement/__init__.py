"""How the HSI is displaced against the MSI, from the pair alone: a search over shifts and turns, then shift, rotation,
scale and local field.
"""

from __future__ import annotations

from .estimate import Found, find_displacement
from .search import Start, search

__all__ = ["Found", "Start", "find_displacement", "search"]
