"""A process that was told to stop ends its work between two calls."""

from __future__ import annotations

from rotator import deadline
from rotator.clients import watcher
from rotator.errors import RotatorError

PATIENCE = 20.0  # seconds in which calls that are in hand may end when a process stops


class Stopping(RotatorError):
    """What was done is written down, and nothing further was intended: another process goes on."""

    def __init__(self) -> None:
        super().__init__("this process was told to stop", "`rotate --due` goes on with it")


def cut() -> None:
    """End every call and every program that is in hand; nobody knows what became of them."""
    deadline.cut()
    watcher.cut()
