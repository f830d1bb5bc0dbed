"""Which key of its provider a value is, where an administrator's credential is at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rotator.core import identity
from rotator.errors import RotatorError
from rotator.model import KeyRecord
from rotator.plugin import Provider
from rotator.secret import Secret


@dataclass(frozen=True, slots=True)
class Matched:
    """`record` is the key in the provider's list; None, and `why` not."""

    record: KeyRecord | None = None
    why: str = ""


def match(provider: Provider, value: Secret, key_id: str = "") -> Matched:
    """Asks the provider for its list. `key_id`: its id, where that is known beforehand."""
    try:
        records = provider.inventory()
    except RotatorError as error:
        return Matched(why=f"its provider could not be asked: {error.message}")
    if key_id:
        known = next((one for one in records if one.id == key_id), None)
        return Matched(known, "" if known else f"its provider does not list {key_id}")
    literal = provider.literal_prefix(value)
    found = identity.identify(records, value.reveal(), literal, time.time(), accepted=None)
    if isinstance(found, identity.Match):
        return Matched(found.record)
    return Matched(why=f"{found.why}: is it of another project or account?")


def words(record: KeyRecord, of: str) -> str:
    """It in a sentence."""
    named = f", called '{record.label}'" if record.label else ""
    made = f", made on {_day(record.created_at)}" if record.created_at else ""
    ends = f", ends on {_day(record.expires_at)}" if record.expires_at else ""
    return f"it is {record.id} of {of}{named}{made}{ends}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
