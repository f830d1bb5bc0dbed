"""How people are told: what a notice is, and what sends one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from rotator.errors import PermanentError
from rotator.shown import tidy

_SHORTEST = 6  # letters of a part of an address that may be a token


class Kind(StrEnum):
    """What people are told of. The values stand in playbooks and JSON: they keep their spelling."""

    STARTED = "started"
    WAITING = "waiting for a person"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    ATTENTION = "needs attention"
    OVERDUE = "overdue"
    DONE = "done"
    BEFORE = "due soon"  # where an entry says how long `before`
    TEST = "test"


# What an entry may ask for, and what it gets that asks for nothing
ASKED = tuple(kind for kind in Kind if kind not in (Kind.BEFORE, Kind.TEST))
USUAL = (Kind.WAITING, Kind.ROLLED_BACK, Kind.REFUSED, Kind.ATTENTION, Kind.OVERDUE)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that people are told. It has passed the redactor.

    `id` stays the same however often it is sent. `at` is when it happened (Unix seconds).
    """

    id: str
    kind: Kind
    playbook: str
    at: float
    title: str
    text: str
    data: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """What sends notices: a frozen dataclass whose fields are its settings in `notify:`."""

    def check(self) -> None:
        """Whether it could send now, without sending. Raises PluginError, ConfigError."""

    def send(self, notice: Notice) -> None:
        """Once. It is asked again after any error but Gone; who receives it tells two by the id.

        Raises Gone, PluginError, ConfigError.
        """


class Gone(PermanentError):
    """Whoever is there wants no more notices: this one is not sent again."""


def without_address(text: str, address: str) -> str:
    """Words about an address, on one line, without the address and without parts of it that may be
    tokens.
    """
    for part in sorted({address, *re.split(r"[/:@?&=]+", address)}, key=len, reverse=True):
        if len(part) >= _SHORTEST:
            text = text.replace(part, "***")
    return tidy(text)
