"""Everything that can be known to fail is found before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from rotator.core.action import Ready
from rotator.core.state import DEAD_PHASES, Debt, Key, Phase, Rotation
from rotator.engine import baseline, identity
from rotator.engine.exposed import exposed
from rotator.engine.identity import Listing
from rotator.errors import RefusedError
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, Level, Overlap, Recovery
from rotator.playbook.playbook import Playbook


class Urgency(Enum):
    """A leaked key is not held up by findings about consumers; one that must die at once, not by any."""

    NONE = "none"
    LEAKED = "leaked"
    AT_ONCE = "at once"


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight found: findings for people, what the saga needs, and the old credential to be sealed."""

    ready: Ready
    findings: tuple[Finding, ...]
    old: Credential | None


def findings_of(playbook: Playbook, making: bool = True, urgency: Urgency = Urgency.NONE) -> list[Finding]:
    """What provider (if a key is to be made), stores and restarters say before the start. Changes nothing."""
    said = playbook.provider.preflight() if making else []
    found = [Finding(f.level, f"{playbook.provider_name}: {f.text}", f.hint) for f in said]
    for store in playbook.stores:
        found += _excused(store.store.preflight(), urgency is Urgency.AT_ONCE)
    for consumer in playbook.consumers:
        found += _excused(consumer.restarter.preflight(), consumer.allow_unhealthy or urgency is not Urgency.NONE)
    found += exposed(playbook)
    if making and playbook.provider.overlap is Overlap.NONE and not playbook.shape.allow_downtime:
        found.append(
            Finding(
                Level.ERROR,
                "a new key kills the old one at once: consumers fail until they restart",
                "accept that with `allow_downtime: true`",
            )
        )
    return found


def _excused(findings: Sequence[Finding], excused: bool) -> list[Finding]:
    """Errors become words."""
    if not excused:
        return list(findings)
    return [Finding(Level.WARNING if f.level is Level.ERROR else f.level, f.text, f.hint) for f in findings]


def check(journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]) -> Checked:
    """Raises RefusedError (nothing was changed) or what a plugin raised."""
    listing = cache(playbook.provider.inventory)  # asked for once, where anything asks for it
    for entry in playbook.stores:
        entry.store.tidy("")
    findings = findings_of(playbook, not rotation.back, _urgency(rotation))
    _refuse(findings)
    measured = _measure(journal, playbook, rotation, listing)
    _refuse(measured.findings)
    key = measured.key
    by_label = playbook.provider.recovery is Recovery.LABEL and not rotation.back
    ready = Ready(
        key,
        measured.dead,
        measured.versions,
        _superseded(journal, playbook, key, debts, listing),
        "" if rotation.back else _wait(playbook, key, debts, listing),
        tuple(record.id for record in listing()) if by_label else (),
    )
    return Checked(ready, (*findings, *measured.findings), measured.old)


def examine(journal: Journal, playbook: Playbook, now: float) -> list[Finding]:
    """What a rotation that began now would be told and refused. Changes nothing. Raises what a plugin raises."""
    found = findings_of(playbook)
    with journal.database.read() as connection:
        running = cases.load(connection, playbook.name).rotation
    if running is not None and running.phase is not Phase.ENDED:
        return found  # it is under way: stores and consumers hold what it left so far
    try:
        rotation = Rotation("", playbook.name, playbook.plan, now=now)
        return [*found, *_measure(journal, playbook, rotation, cache(playbook.provider.inventory)).findings]
    except RefusedError as error:
        return [*found, Finding(Level.ERROR, error.message, error.hint)]


def _refuse(findings: Sequence[Finding]) -> None:
    wrong = [finding for finding in findings if finding.level is Level.ERROR]
    if wrong:
        raise RefusedError("; ".join(finding.text for finding in wrong), wrong[0].hint)


def _urgency(rotation: Rotation) -> Urgency:
    if rotation.revoke_first:
        return Urgency.AT_ONCE
    return Urgency.LEAKED if rotation.compromised else Urgency.NONE


@dataclass(frozen=True, slots=True)
class _Measured:
    """The key that stores and consumers hold, and its value where it is known."""

    key: Key | None
    old: Credential | None
    dead: bool
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]


def _measure(journal: Journal, playbook: Playbook, rotation: Rotation, listing: Listing) -> _Measured:
    """The baseline: one key, in every store and consumer, and it is known which. Raises RefusedError."""
    urgency = _urgency(rotation)
    stores = baseline.read(journal, playbook, rotation.now)
    fingerprint = baseline.fingerprint(
        playbook, stores, fill_all=urgency is Urgency.AT_ONCE, lost=urgency is not Urgency.NONE
    )
    findings: list[Finding] = []
    if playbook.provider.can_list and not rotation.back:  # the way back needs nothing of the provider's list
        findings = identity.unknown_to_the_journal(journal, playbook, listing())
    held = stores.holding(fingerprint)
    old = playbook.credential_in(held) if held else _sealed(journal, playbook, stores.current)
    key, dead = stores.current, False
    if old is not None and old.values:
        key, taken = identity.identify(journal, playbook, old, rotation.now, listing)
        old, dead = Credential(old.values, key.id, key.hint), taken is False
    if dead:
        findings.append(Finding(Level.WARNING, f"the provider refuses {key}: there is no way back to it"))
    shown = baseline.consumers(journal, playbook, stores, key, old)
    findings += _excused(shown, rotation.back or urgency is not Urgency.NONE)
    return _Measured(key, old if old and old.values else None, dead, stores.versions, tuple(findings))


def _sealed(journal: Journal, playbook: Playbook, current: Key | None) -> Credential | None:
    """The journal's current key, where no store shows one."""
    if current is None:
        return None
    with journal.database.read() as connection:
        sealed = credentials.value_of(connection, journal.sealer, playbook.name, current)
    return sealed or Credential({}, current.id, current.hint)


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
    others = ", ".join(identity.told(record) for record in records if key is None or record.id != key.id)
    raise RefusedError(
        f"{len(records)} of {quota} keys exist, and rotator made none of the others: {others}",
        "delete one that nobody needs, or `rotator adopt` the playbook that it belongs to",
    )
