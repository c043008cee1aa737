"""The errors of the whole house: every one is a sentence that a user can act on."""

from __future__ import annotations


class HSFusionError(Exception):
    """Something is wrong with the input, the model or the surroundings; the message is one sentence that says what to
    do.
    """


class RunCancelled(HSFusionError):
    """The user, or the client's disconnection, ended the work between two steps."""
