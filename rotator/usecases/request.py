"""What a person, or the clock, asks of a rotation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What comes with `rotate NAME`, or with an order about it."""

    compromised: bool = False
    revoke_first: bool = False
    key: str = ""  # with revoke_first: the id of the one key that leaked
    reason: str = ""
    today: bool = False  # resume with stores, restarters and probes as the playbook says today
    give_up: tuple[str, ...] = ()  # stores that were written and that nobody looks at any more
    wait: bool = False
    only_if_due: bool = False
