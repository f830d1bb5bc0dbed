"""A monitor watches consumers from outside while an old key goes: its contract."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """Asked after the probes, before and after an old key is switched off."""

    @property
    def name(self) -> str:
        """For people: what is asked."""

    def reading(self) -> str:
        """What is too much now, in words; '' where nothing is.

        Raises TransientError where nobody can tell.
        """
