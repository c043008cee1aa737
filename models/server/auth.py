"""Who may use the server: whoever knows the bearer token."""

from __future__ import annotations

import hmac

from ..errors import HSFusionError


class Unauthorized(HSFusionError):
    """The token is wrong or missing."""


def allowed(header: str | None, token: str | None) -> bool:
    """Whether an Authorization header carries the token (compared in constant time); without a token everybody may
    enter.
    """
    if not token:
        return True
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8"), token.encode("utf-8"))
