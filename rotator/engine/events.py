"""What can happen, as typed events. `engine/listeners.py` hands them out after each commit.

An event is read from the audit record that its transaction wrote: it has passed the redactor, holds
nothing that the journal does not have, and is the same when it is read from the journal later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rotator.audit.chain import INSTALLATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`time` is RFC 3339, UTC. `chain` is the rotation's id, or `installation`; `seq` the record's
    number there, from 1.

    `record` is the whole audit record. Fields that the record lacks are "", 0 or False.
    """

    time: str = ""
    chain: str = ""
    seq: int = 0
    playbook: str = ""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def rotation(self) -> str:
        """The id of the rotation that it belongs to, "" where it belongs to none."""
        return "" if self.chain == INSTALLATION else self.chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Began(Event):
    """A rotation began."""

    reason: str = ""
    compromised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIntended(Event):
    """A call with an effect is about to be made; if the process ends now, it may have been made."""

    step: str = ""
    op: str = ""
    target: str = ""
    attempt: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(CallIntended):
    """`result` is done, failed or unknown; `lasting`: it is not asked again."""

    result: str = ""
    seconds: float = 0.0
    error: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """What rotator decided itself: the pivot, a question for a person, an old key's next step."""

    decision: str = ""
    reason: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Event):
    """A person's order that is carried out. `by`: who gave it, where it is not the actor."""

    order: str = ""
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefused(Event):
    """A person's order that is not carried out."""

    order: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """A rotation is over: `outcome` is verified, rolled back, refused or abandoned.

    `possible_orphan` describes a key that a lost create may have left and nobody found.
    """

    outcome: str = ""
    reason: str = ""
    possible_orphan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Event):
    """A checkpoint of the audit log. It belongs to no chain."""

    checkpoint: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """What happened to a playbook or the installation outside a rotation: `event` says what."""

    event: str = ""
    reason: str = ""


_KINDS: dict[str, type[Event]] = {
    "began": Began,
    "intent": CallIntended,
    "outcome": CallEnded,
    "decision": Decided,
    "order": Ordered,
    "refused": OrderRefused,
    "ended": Ended,
}


def event_of(record: Mapping[str, Any]) -> Event:
    """The event that an audit record (or a checkpoint) is about."""
    kind = _KINDS.get(record.get("event", ""), Signed if "checkpoint" in record else Noted)
    names = {one.name for one in fields(kind)} - {"record"}
    known = {name: record[name] for name in names if record.get(name) is not None}
    return kind(record=record, **known)
