"""What a new key takes over from the old one: what the list tells of it, and how long it lives; or
that it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rotator.clients import reading
from rotator.integrations.catalog.entry import END, OLD, CatalogEntry, Create
from rotator.integrations.catalog.request import RequestTemplate
from rotator.integrations.catalog.templates import placeholders
from rotator.model import Finding, KeyRecord, Level
from rotator.secret import redact, without_keys

_SHOWN = 60  # characters of a value in a message


def asked(create: Create | None) -> set[str]:
    """What this create takes over: `old.NAME` and `expires.FORM`; None: a person makes the key."""
    if create is None:
        return set()
    request = create.request
    names = placeholders([request.json_body, request.form, request.query])
    return {name for name in names if name.startswith((OLD, END))}


def of_old(request: RequestTemplate) -> bool:
    """Whether it sends something that the key has already."""
    names = placeholders([request.json_body, request.form, request.query])
    return any(name.startswith(OLD) for name in names)


def lacking(create: Create | None, given: Mapping[str, Any]) -> list[str]:
    """What this create needs and nothing gives."""
    needs = create.needs if create is not None else ()
    return [name for name in needs if given.get(name) in (None, "", [], {})]


def needed(entry: CatalogEntry, names: Iterable[str]) -> tuple[str, str]:
    """The sentence about it, and the way out."""
    text = f"{entry.name} cannot make a key without {', '.join(names)}: the old key has none"
    settings = [name for name, one in entry.settings.items() if not one.required and not one.secret]
    return text, f"say it in the playbook: {', '.join(settings)}" if settings else entry.console


def values(
    entry: CatalogEntry, old: KeyRecord | None, now: float, life: float | None
) -> dict[str, Any]:
    """What the placeholders stand for.

    A new key lives for `life` seconds where the playbook says so, else as long as the old one was
    to live, from now on.
    """
    found = {f"{OLD}{name}": value for name, value in old.carried.items()} if old else {}
    life = _life(entry, old) if life is None else _at_most(entry, life)
    if life is None:
        return found
    end = datetime.fromtimestamp(now + life, UTC).replace(microsecond=0)
    forms = {
        "seconds": int(life),
        "unix": int(end.timestamp()),
        "days": max(int(life // 86_400), 1),
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
    return _at_most(entry, old.expires_at - old.created_at)


def _at_most(entry: CatalogEntry, life: float) -> float:
    return min(life, entry.max_lifetime) if entry.max_lifetime else life


@dataclass(frozen=True, slots=True)
class Given:
    """What the playbook says: its settings, and how long a new key is to live; `now` in Unix
    seconds.
    """

    settings: Mapping[str, Any]
    now: float
    life: float | None


def findings(
    entry: CatalogEntry, create: Create | None, old: KeyRecord | None, given: Given
) -> Iterator[Finding]:
    """What the new key will have of the old one, and what not, said before it is made."""
    takes = asked(create)
    found = values(entry, old, given.now, given.life)
    if without := lacking(create, {**given.settings, "label": "…", **found}):
        yield Finding(Level.ERROR, *needed(entry, without))
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
    told = _told_otherwise(entry)
    for name, value in old.carried.items():
        if value not in (None, [], {}) and name not in told:
            (kept if f"{OLD}{name}" in takes else lost).append(f"{name} {_told(value)}")
    end = found.get(f"{END}iso") if any(name.startswith(END) for name in takes) else None
    if end and old.expires_at is None:
        kept.append(f"an end on {end[:10]}")
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


def _told_otherwise(entry: CatalogEntry) -> set[str]:
    """What is carried for a switch alone: a new key has a name and an end of its own."""
    each = entry.list_.each if entry.list_ else None
    own = {*each.label, each.expires} if each else set()
    return {name for name, path in each.carried.items() if path in own} if each else set()


def _told(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = without_keys(redact(reading.told(words)))
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
