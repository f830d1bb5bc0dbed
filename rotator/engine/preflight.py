"""Everything that can be known to fail is found before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rotator.core.action import Ready
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.engine import other_slot
from rotator.engine.measure import measure, superseded, wait_for_room
from rotator.engine.parts import Urgency, ask, parts_of, urgency_of
from rotator.errors import PluginError, RefusedError
from rotator.journal import cases
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, Level, Recovery
from rotator.playbook.playbook import Playbook


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight found: findings for people, what the saga needs, and the old credential to be
    sealed.
    """

    ready: Ready
    findings: tuple[Finding, ...]
    old: Credential | None


def check(
    journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]
) -> Checked:
    """Raises RefusedError with all that is wrong (nothing was changed), or what asks to be tried
    again later.
    """
    for entry in playbook.stores:
        entry.store.tidy("")
    seen = _see(journal, playbook, rotation, debts)
    if seen.later is not None:
        raise seen.later
    wrong = [finding for finding in seen.findings if finding.level is Level.ERROR]
    if wrong or seen.checked is None:
        raise RefusedError("; ".join(finding.text for finding in wrong), wrong[0].hint)
    return seen.checked


@dataclass(frozen=True, slots=True)
class Examined:
    """What a rotation that began now would find, and be told.

    `key` is the one in force, None where there is none.
    """

    findings: tuple[Finding, ...]
    key: Key | None = None
    known: bool = False  # whether it could be told which key is in force
    # The phase of the rotation that is under way: none would begin, and that one is carried on
    running: str = ""
    coming: Key | None = None  # the new key that it has made


def examine(
    journal: Journal,
    playbook: Playbook,
    now: float,
    compromised: bool = False,
    revoke_first: bool = False,
) -> Examined:
    """The very preflight of a rotation, with everything that it finds.

    Changes nothing, raises no plugin's error.
    """
    with journal.database.read() as connection:
        case = cases.load(connection, playbook.name)
    running = case.rotation
    # Stores and consumers hold what the rotation under way left so far: they are not compared.
    if running is not None and running.phase is not Phase.ENDED:
        findings, _ = ask(parts_of(playbook, True, Urgency.NONE))
        return Examined(
            tuple(findings), running.old, running=str(running.phase), coming=running.new
        )
    rotation = Rotation(
        "",
        playbook.name,
        playbook.plan,
        now=now,
        compromised=compromised,
        revoke_first=revoke_first,
    )
    seen = _see(journal, playbook, rotation, case.debts)
    if seen.checked is None:
        return Examined(seen.findings)
    wait = seen.checked.ready.wait
    waits = (Finding(Level.WARNING, f"it would wait: {wait}"),) if wait else ()
    return Examined((*seen.findings, *waits), seen.checked.ready.old, True)


@dataclass(frozen=True, slots=True)
class _Seen:
    """`later` is what a part raised that only does not answer now; without `checked` nobody knows
    what is in force.
    """

    findings: tuple[Finding, ...]
    checked: Checked | None
    later: PluginError | None


def _see(journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]) -> _Seen:
    """Everything that can be known to fail, all of it."""
    listing = cache(playbook.provider.inventory)  # asked for once, where anything asks for it
    findings, later = ask(parts_of(playbook, not rotation.back, urgency_of(rotation)))
    if journal.sealer is None and not rotation.back:
        findings.append(
            Finding(
                Level.ERROR,
                "there is no sealing key",
                "`rotator db check` says where it is looked for",
            )
        )
    kept: list[Checked] = []

    def in_force() -> list[Finding]:
        measured = measure(journal, playbook, rotation, listing)
        key = measured.key
        by_label = playbook.provider.recovery is Recovery.LABEL and not rotation.back
        wait = "" if rotation.back else wait_for_room(playbook, key, debts, listing)
        if not (rotation.back or wait):
            other_slot.must_be_free(journal, playbook, measured)
        ready = Ready(
            key,
            measured.dead,
            measured.versions,
            superseded(journal, playbook, key, debts, listing),
            wait,
            tuple(record.id for record in listing()) if by_label else (),
            measured.shown,
        )
        kept.append(Checked(ready, (*findings, *measured.findings), measured.old))
        return list(measured.findings)

    more, later_too = ask([in_force])
    told = {finding.text for finding in findings}
    every = (*findings, *(finding for finding in more if finding.text not in told))
    return _Seen(every, kept[0] if kept else None, later or later_too)
