"""Which key is in force, and whether another one can be made beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.core.state import Rotation
from rotator.counting import count
from rotator.engine import baseline, foreign, identity
from rotator.engine.consumers import consumers
from rotator.engine.identity import Listing
from rotator.engine.parts import Urgency, lowered, urgency_of
from rotator.engine.pooled import pooled
from rotator.errors import RefusedError
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, Level, Overlap
from rotator.playbook.playbook import Playbook
from rotator.plugin import Inheriting


@dataclass(frozen=True, slots=True)
class Measured:
    """The key that stores and consumers hold, and its value where it is known."""

    key: Key | None
    old: Credential | None
    dead: bool
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]
    shown: tuple[str, ...]  # by consumers, that is not this key
    untold: tuple[str, ...]  # stores that hold a key which nobody can read and rotator never wrote


def measure(journal: Journal, playbook: Playbook, rotation: Rotation, listing: Listing) -> Measured:
    """The baseline: one key, in every store and consumer, and it is known which.

    Raises RefusedError.
    """
    urgency = urgency_of(rotation)
    leaked = urgency is not Urgency.NONE
    stores = baseline.read(journal, playbook, rotation.now, leaked)
    fingerprint = baseline.fingerprint(
        playbook, stores, fill_all=urgency is Urgency.AT_ONCE, lost=leaked
    )
    findings: list[Finding] = []
    if not rotation.back:  # that makes nothing, and nobody else's key dies of it
        findings = lowered(pooled(journal, playbook, fingerprint, leaked), leaked)
    # The way back needs nothing of the provider's list.
    if playbook.provider.can_list and not rotation.back:
        unknown = foreign.unknown_to_the_journal(journal, playbook, listing())
        findings += [key.finding(playbook.name) for key in unknown]
    held = stores.holding(fingerprint)
    old = playbook.credential_in(held) if held else _sealed(journal, playbook, stores.current)
    key, dead = stores.current, False
    if old is not None and old.values:
        key, accepted = identity.identify(journal, playbook, old, rotation.now, listing, leaked)
        dead = accepted is False
        old = replace(old, id=key.id, hint=key.hint, spelled=stores.spelled(fingerprint))
    if dead:
        findings.append(
            Finding(Level.WARNING, f"the provider refuses {key}: there is no way back to it")
        )
    if key is not None and not rotation.back:
        findings += _inherited(playbook, key, listing)
    if leaked and key is not None:
        findings += identity.shared(journal, playbook, key)
    shown = consumers(journal, playbook, stores, key, old)
    findings += lowered(shown.findings, rotation.back or leaked)
    known = old if old and old.values else None
    return Measured(key, known, dead, stores.versions, tuple(findings), shown.others, stores.untold)


def _inherited(playbook: Playbook, key: Key, listing: Listing) -> list[Finding]:
    """What the new key will have of this one, and what it will not."""
    if not (playbook.provider.can_list and isinstance(playbook.provider, Inheriting)):
        return []
    old = next((record for record in listing() if key.id and record.id == key.id), None)
    return [
        Finding(finding.level, f"{playbook.provider_name}: {finding.text}", finding.hint)
        for finding in playbook.provider.inherits(old)
    ]


def _sealed(journal: Journal, playbook: Playbook, current: Key | None) -> Credential | None:
    """The journal's current key, where no store shows one."""
    if current is None:
        return None
    with journal.database.read() as connection:
        sealed = credentials.value_of(connection, journal.sealer, playbook.name, current)
    return sealed or Credential({}, current.id, current.hint)


def superseded(
    journal: Journal, playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing
) -> tuple[Key, ...]:
    """The key that this journal believed in, if the stores hold another one of ours by now."""
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
    if (
        current is None
        or key is None
        or current.same(key)
        or any(debt.key.same(current) for debt in debts)
    ):
        return ()
    if playbook.provider.can_list and current.id not in {record.id for record in listing()}:
        return ()
    return (current,)


def wait_for_room(
    playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing
) -> str:
    """Why a key cannot be made yet, though it soon can.

    Raises RefusedError where only a person can make room.
    """
    # A key without id and fingerprint may not even exist.
    blocking = [
        debt
        for debt in debts
        if debt.open
        and debt.phase not in DEAD_PHASES
        and not debt.key.same(key)
        and (debt.key.id or debt.key.fingerprint)
    ]
    if playbook.provider.overlap is Overlap.TWO_SLOTS:
        return f"the idle slot still holds {blocking[0].key}" if blocking else ""
    quota = playbook.provider.quota
    if not quota or not playbook.provider.can_list:
        return ""
    records = listing()
    if len(records) < quota:
        return ""
    full = f"{len(records)} of {count(quota, 'key exists', 'keys exist')}"
    if blocking:
        return f"{full}, and {blocking[0].key} is still to be revoked"
    others = ", ".join(
        identity.described(record) for record in records if key is None or record.id != key.id
    )
    raise RefusedError(
        f"{full}, and rotator made none of the others: {others}",
        "delete one that nobody needs, or `rotator adopt` the playbook that it belongs to",
    )
