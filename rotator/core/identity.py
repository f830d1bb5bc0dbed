"""Which of the provider's keys is the one that the stores hold? A verdict over what a listing shows
of each.

A provider shows a key only redacted (`sk-svc...x2Lk`, `sk-***`, `dkr_abcd1234`). What all keys of
its kind begin with tells nothing; only random characters do. Anything less than a sure answer is a
refusal: the key that is taken for the old one is the key that is revoked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rotator.core.state import CLOCKS_AGREE
from rotator.model import KeyRecord

# Random characters: of 62 different ones, a colleague's key agrees by chance once in fifteen
# million
ENOUGH = 4
_MASK = re.compile(r"(?:\.{2,}|…|\*|•)+")


@dataclass(frozen=True, slots=True)
class Match:
    """The one entry that is the key."""

    record: KeyRecord


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why none is it for sure, and those that could be."""

    why: str
    candidates: tuple[KeyRecord, ...] = ()


def identify(
    records: Iterable[KeyRecord],
    value: str,
    literal: str,
    now: float,
    accepted: bool | None,
    foreign: Collection[str] = (),
) -> Match | Refusal:
    """The one entry that agrees with `value` in enough characters beyond `literal`, and that
    nothing contradicts.

    `accepted` is what the provider's probe says of the value, None where it cannot be asked;
    `foreign` are ids whose label says that another playbook, installation or an unknown rotation
    made them. `now` is in Unix seconds.
    """
    once = {record.id: record for record in records}  # some lists show a key twice
    shown = {record: agreement(record, value, literal) for record in once.values()}
    possible = tuple(record for record, characters in shown.items() if characters is not None)
    agreeing = tuple(record for record, characters in shown.items() if (characters or 0) >= ENOUGH)
    if not possible:
        return Refusal("the provider lists no key that could be it")
    if not agreeing:
        return Refusal("the provider's list shows too little of its keys to be sure", possible)
    if len(agreeing) > 1:
        return Refusal(f"{len(agreeing)} of the provider's keys could be it", agreeing)
    (record,) = agreeing
    against = contradiction(record, now, accepted, foreign)
    return Refusal(f"{record.id} {against}", agreeing) if against else Match(record)


def contradiction(
    record: KeyRecord, now: float, accepted: bool | None, foreign: Collection[str] = ()
) -> str:
    """Why this entry cannot be the key although its hint agrees, or ''."""
    if record.id in foreign:
        return "was made by a rotation that this journal does not know"
    if record.created_at is not None and record.created_at > now + CLOCKS_AGREE:
        return "was made later than now"
    expired = record.expires_at is not None and record.expires_at < now - CLOCKS_AGREE
    if expired and accepted is not False:
        return "has expired"
    if record.active and accepted is False and not expired:
        return "is active, but the provider refuses the key"
    if not record.active and accepted:
        return "is inactive, but the provider accepts the key"
    return ""


def agreement(record: KeyRecord, value: str, literal: str) -> int | None:
    """In how many random characters the entry's hint agrees with the value; None where it
    contradicts it.
    """
    parts = _MASK.split(record.hint.strip())
    first, last = parts[0], parts[-1]
    if len(parts) > 1 and first + last and record.id.startswith(first) and record.id.endswith(last):
        return 0  # the hint is of the key's id: it tells nothing of its value
    if len(parts) == 1:  # without a mask it is how the key begins, or ends
        first, last = (first, "") if value.startswith(first) else ("", first)
    if not (
        value.startswith(first) and value.endswith(last) and len(first) + len(last) <= len(value)
    ):
        return None
    if not _in_order(parts[1:-1], value[len(first) : len(value) - len(last)]):
        return None
    return min(max(len(first) - len(literal), 0) + len(last), max(len(value) - len(literal), 0))


def _in_order(parts: Iterable[str], text: str) -> bool:
    """Whether the parts stand in the text one after the other."""
    for part in parts:
        place = text.find(part)
        if place < 0:
            return False
        text = text[place + len(part) :]
    return True
