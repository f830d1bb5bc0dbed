"""Everything that can be known to fail is found before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from rotator.core.action import Ready
from rotator.core.state import DEAD_PHASES, Debt, Key, Rotation
from rotator.errors import RefusedError, Rejected, Unsupported
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, Held, KeyRecord, Label, Level, Overlap, Recovery
from rotator.playbook.playbook import Playbook
from rotator.secret import hint_of

Listing = Callable[[], list[KeyRecord]]

_ADOPT = "say which key it is: `rotator adopt {name}` (its id: `rotator adopt {name} --id ID`)"


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight found: findings for people, what the saga needs, and the old credential to be sealed."""

    ready: Ready
    findings: tuple[Finding, ...]
    old: Credential | None


def findings_of(playbook: Playbook, making: bool = True) -> list[Finding]:
    """What provider (if a key is to be made), stores and restarters say before the start. Changes nothing."""
    said = playbook.provider.preflight() if making else []
    found = [Finding(f.level, f"{playbook.provider_name}: {f.text}", f.hint) for f in said]
    for store in playbook.stores:
        found += store.store.preflight()
    for consumer in playbook.consumers:
        for finding in consumer.restarter.preflight():
            excused = finding.level is Level.ERROR and consumer.allow_unhealthy
            found.append(Finding(Level.WARNING, finding.text, finding.hint) if excused else finding)
    if making and playbook.provider.overlap is Overlap.NONE and not playbook.shape.allow_downtime:
        found.append(
            Finding(
                Level.ERROR,
                "a new key kills the old one at once: consumers fail until they restart",
                "accept that with `allow_downtime: true`",
            )
        )
    return found


def check(journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]) -> Checked:
    """Raises RefusedError (nothing was changed) or what a plugin raised."""
    listing = cache(playbook.provider.inventory)  # asked for once, where anything asks for it
    for entry in playbook.stores:
        entry.store.tidy("")
    findings = findings_of(playbook, making=not rotation.back)
    wrong = [finding for finding in findings if finding.level is Level.ERROR]
    if wrong:
        raise RefusedError("; ".join(finding.text for finding in wrong), wrong[0].hint)
    held = {entry.name: entry.store.read() for entry in playbook.stores}
    _refuse_strangers_notes(journal, playbook, held)
    old = _held_key(journal, playbook, held)
    key = journal.key_of(old) if old is not None and old.values else (Key(old.id, "", old.hint) if old else None)
    if key is not None and old is not None:
        key = replace(key, id=key.id or old.id)
        _refuse_shared(journal, playbook, key)
        key = _identify(journal, playbook, key, old, listing)
        old = Credential(old.values, key.id, key.hint)
    versions = tuple(found.version if (found := held[entry.name]) else "" for entry in playbook.stores)
    dead = old is not None and bool(old.values) and _is_dead(playbook, old)
    by_label = playbook.provider.recovery is Recovery.LABEL and not rotation.back
    ready = Ready(
        key,
        dead,
        versions,
        _superseded(journal, playbook, key, debts, listing),
        "" if rotation.back else _wait(playbook, key, debts, listing),
        tuple(record.id for record in listing()) if by_label else (),
    )
    return Checked(ready, tuple(findings), old if old is not None and old.values else None)


def _refuse_strangers_notes(journal: Journal, playbook: Playbook, held: dict[str, Held | None]) -> None:
    notes = [found.note.rotation for found in held.values() if found is not None and found.note is not None]
    with journal.database.read() as connection:
        known = cases.known_rotations(connection, playbook.name, notes)
    for name, found in held.items():
        note = found.note if found else None
        if note is None:
            continue
        if note.installation != journal.installation:
            raise RefusedError(
                f"{name} was written by another rotator (installation {note.installation})",
                _ADOPT.format(name=playbook.name),
            )
        if note.rotation not in known:
            raise RefusedError(
                f"{name} was written by a rotation that this journal does not know ({note.rotation})",
                "was the journal restored from a backup? " + _ADOPT.format(name=playbook.name),
            )


def _held_key(journal: Journal, playbook: Playbook, held: dict[str, Held | None]) -> Credential | None:
    """The one credential that all stores hold; from the journal where none can be read."""
    readable = {name: found for name, found in held.items() if found is not None and found.values is not None}
    prints = {journal.fingerprint(found.values) for found in readable.values() if found.values}
    if len(prints) > 1:
        shown = ", ".join(
            f"{name} holds {hint_of(playbook.credential_in(found).primary.reveal())}"
            for name, found in readable.items()
        )
        raise RefusedError(f"the stores disagree: {shown}", "put the right key into each, then rotate again")
    if readable:
        return playbook.credential_in(next(iter(readable.values())))
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
        if current is None:
            return None
        sealed = credentials.value_of(connection, journal.sealer, playbook.name, current)
    return sealed or Credential({}, current.id, current.hint)


def _identify(journal: Journal, playbook: Playbook, key: Key, old: Credential, listing: Listing) -> Key:
    """The key's id: from the journal, else by its hint from the provider's inventory, else refuse."""
    with journal.database.read() as connection:
        known = credentials.known(connection, playbook.name, key.fingerprint) if key.fingerprint else key
        current = cases.current_key(connection, playbook.name)
    if known is not None:
        return known
    if key.id:  # told by what stands beside the value
        return _told_by_itself(journal, playbook, key, listing)
    if not playbook.provider.can_list:
        if current is not None:
            raise RefusedError(
                f"the stores hold {key.hint}, which is not the key that this journal knows",
                _ADOPT.format(name=playbook.name),
            )
        return key
    matching = [r for r in listing() if hint_matches(r.hint, old.primary.reveal())]
    if len(matching) != 1:
        many = "none" if not matching else f"{len(matching)}"
        raise RefusedError(
            f"{many} of the provider's keys could be the one that the stores hold ({key.hint})",
            _ADOPT.format(name=playbook.name),
        )
    _refuse_foreign_label(journal, playbook, matching[0])
    return Key(matching[0].id, key.fingerprint, key.hint)


def _told_by_itself(journal: Journal, playbook: Playbook, key: Key, listing: Listing) -> Key:
    record = next((one for one in listing() if one.id == key.id), None)
    if record is None:
        raise RefusedError(f"the stores hold {key.id}, which the provider does not list", "is it another user's key?")
    _refuse_foreign_label(journal, playbook, record)
    return key


def _refuse_foreign_label(journal: Journal, playbook: Playbook, record: KeyRecord) -> None:
    """A key that a rotator made, but not one of this journal: it was lost, or is another's."""
    label = Label.parse(record.label)
    if label is None:
        return
    with journal.database.read() as connection:
        known = cases.known_rotations(connection, playbook.name, (label.rotation,))
    if label.installation != journal.installation or not known:
        raise RefusedError(
            f"the stores hold {record.id}, made by a rotation that this journal does not know",
            "was the journal lost, or restored from a backup? " + _ADOPT.format(name=playbook.name),
        )


def hint_matches(hint: str, value: str) -> bool:
    """Whether a provider's redacted form (`sk-svc...x2Lk`, `sk-***x2Lk`) can be of this value."""
    parts = re.split(r"\.{2,}|…|\*+", hint)
    if len(parts) == 1:
        return bool(hint) and len(hint) >= 4 and value.startswith(hint)
    return len(parts[0]) + len(parts[-1]) >= 4 and value.startswith(parts[0]) and value.endswith(parts[-1])


def _refuse_shared(journal: Journal, playbook: Playbook, key: Key) -> None:
    if not key.fingerprint:
        return
    with journal.database.read() as connection:
        other = credentials.known_anywhere(connection, key.fingerprint, playbook.name)
    if other:
        raise RefusedError(f"the playbook {other} has the same key", "a key belongs to one playbook: give each its own")


def _is_dead(playbook: Playbook, old: Credential) -> bool:
    """The old key may be dead or expired already: then there is no way back to it."""
    try:
        playbook.provider.probe(old)
    except Rejected:
        return True
    except Unsupported:
        return False
    return False


def _superseded(
    journal: Journal, playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing
) -> tuple[Key, ...]:
    """The key that this journal believed in, if the stores hold another one of ours by now."""
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
    if current is None or key is None or current.same(key) or any(debt.key.same(current) for debt in debts):
        return ()
    if playbook.provider.can_list and current.id not in {record.id for record in listing()}:
        return ()
    return (current,)


def _wait(playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing) -> str:
    """Why a key cannot be made yet, though it soon can. Raises RefusedError where only a person can make room."""
    blocking = [debt for debt in debts if debt.open and debt.phase not in DEAD_PHASES and not debt.key.same(key)]
    if playbook.provider.overlap is Overlap.TWO_SLOTS:
        return f"the idle slot still holds {blocking[0].key}" if blocking else ""
    quota = playbook.provider.quota
    if not quota or not playbook.provider.can_list:
        return ""
    records = listing()
    if len(records) < quota:
        return ""
    if blocking:
        return f"{len(records)} of {quota} keys exist, and {blocking[0].key} is still to be revoked"
    others = ", ".join(_told(record) for record in records if key is None or record.id != key.id)
    raise RefusedError(
        f"{len(records)} of {quota} keys exist, and rotator made none of the others: {others}",
        "delete one that nobody needs, or `rotator adopt` the playbook that it belongs to",
    )


def _told(record: KeyRecord) -> str:
    used = f"last used {_day(record.last_used_at)}" if record.last_used_at else "never used"
    return f"{record.id} (made {_day(record.created_at)}, {used}{'' if record.active else ', inactive'})"


def _day(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") if at else "nobody knows when"
