"""A process that was told to stop ends its work between two calls."""

from __future__ import annotations

from rotator.errors import RotatorError


class Stopping(RotatorError):
    """What was done is written down, and nothing further was intended: another process goes on."""
