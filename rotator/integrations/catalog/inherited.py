"""What a new key takes over from the old one: what the list tells of it, and how long it lives; or
that it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rotator.clients import reading
from rotator.integrations.catalog.entry import END, OLD, CatalogEntry, Create
from rotator.integrations.catalog.templates import placeholders
from rotator.model import Finding, KeyRecord, Level
from rotator.secret import redact

_SHOWN = 60  # characters of a value in a message


def asked(create: Create | None) -> set[str]:
    """What this create takes over: `old.NAME` and `expires.FORM`; None: a person makes the key."""
    if create is None:
        return set()
    names = placeholders([create.request.json_body, create.request.query])
    return {name for name in names if name.startswith((OLD, END))}


def values(entry: CatalogEntry, old: KeyRecord | None, now: float) -> dict[str, Any]:
    """What the placeholders stand for.

    A new key lives as long as the old one was to live, from now on.
    """
    found = {f"{OLD}{name}": value for name, value in old.carried.items()} if old else {}
    life = _life(entry, old)
    if life is None:
        return found
    end = datetime.fromtimestamp(now + life, UTC).replace(microsecond=0)
    forms = {
        "seconds": int(life),
        "unix": int(end.timestamp()),
        "date": f"{end:%Y-%m-%d}",
        "iso": f"{end:%FT%TZ}",
    }
    return found | {f"{END}{form}": value for form, value in forms.items()}


def _life(entry: CatalogEntry, old: KeyRecord | None) -> float | None:
    """Seconds; None without an end, and where nobody knows since when it lives."""
    if (
        old is None
        or old.expires_at is None
        or old.created_at is None
        or old.expires_at <= old.created_at
    ):
        return None
    life = old.expires_at - old.created_at
    return min(life, entry.max_lifetime) if entry.max_lifetime else life


def findings(
    entry: CatalogEntry, create: Create | None, old: KeyRecord | None, now: float
) -> Iterator[Finding]:
    """What the new key will have of the old one, and what not, said before it is made."""
    takes = asked(create)
    if old is None:
        if takes or (entry.list_ and entry.list_.each.carried):
            text = (
                "the list does not show the old key: the new one gets none of its limits, and"
                " no end"
            )
            yield Finding(Level.WARNING, text, f"set them on the new one: {entry.console}")
        return
    kept: list[str] = []
    lost: list[str] = []
    for name, value in old.carried.items():
        if value is not None and value != []:
            (kept if f"{OLD}{name}" in takes else lost).append(f"{name} {_told(value)}")
    end = (
        values(entry, old, now).get(f"{END}iso")
        if any(name.startswith(END) for name in takes)
        else None
    )
    if old.expires_at is not None:
        until = f"{datetime.fromtimestamp(old.expires_at, UTC):%F}"
        (kept if end else lost).append(
            f"an end on {end[:10]}" if end else f"an end (the old one's is {until})"
        )
    if kept:
        yield Finding(Level.OK, f"the new key gets {', '.join(kept)}")
    if lost:
        text = f"the new key will not have what the old one has: {', '.join(lost)}"
        yield Finding(Level.WARNING, text, f"set it on the new one: {entry.console}")


def _told(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = redact(reading.told(words))
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
