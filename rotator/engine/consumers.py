"""What running consumers show before anything is made, and what speaks against a rotation there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rotator.core import baseline as core
from rotator.core.look import ConsumerFact
from rotator.core.plan import Key
from rotator.engine import facts
from rotator.engine.baseline import Stores
from rotator.errors import RotatorError
from rotator.journal.journal import Journal
from rotator.model import Change, Credential, Evidence, Finding, Level, Progress
from rotator.playbook.playbook import Playbook


@dataclass(frozen=True)
class Consumers:
    """What consumers show: findings, and the fingerprints of what instances hold that is not the
    key in force.
    """

    findings: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()


def consumers(
    journal: Journal, playbook: Playbook, stores: Stores, key: Key | None, old: Credential | None
) -> Consumers:
    """What consumers show that could be read: an error each that shows another key than `key`,
    which the stores hold.

    `old` has its value, where that is known. Where the playbook wants no evidence, nothing is said
    of what they show.
    """
    wanted = key.fingerprint if key else ""
    since = max((found.written_at or 0.0 for found in stores.held.values() if found), default=0.0)
    change = Change("look", since, old or Credential({}))
    read: list[ConsumerFact] = []
    fingerprints: set[str] = set()
    findings: list[Finding] = []
    for plan, entry in zip(playbook.plan.consumers, playbook.consumers, strict=True):
        if entry.restarter.evidence is not Evidence.READ:
            continue
        try:
            progress = entry.restarter.shown(change)
        except RotatorError as error:
            text = f"{entry.name} does not show which key it has: {error.message}"
            findings.append(Finding(Level.WARNING, text))
            continue
        fact = facts.shown(journal, entry, Evidence.READ, progress)
        fingerprints |= {instance.fingerprint or "" for instance in fact.instances}
        if plan.evidence is Evidence.READ:
            findings += _unreadable(entry.name, playbook.shape.evidence, progress)
            read.append(_readable(fact, progress))
    others = tuple(sorted(fingerprints - {wanted, ""}))
    if not wanted and any(state.fingerprint != "" for state in stores.states):
        # A write-only store's first key: nobody knows what they ought to show.
        return Consumers((), others)
    return Consumers((*findings, *_compared(core.shown(read, wanted), wanted)), others)


def _compared(shown: core.Shown, wanted: str) -> list[Finding]:
    text = (
        "{name} shows another key than the stores hold"
        if wanted
        else "{name} shows a key, but no store holds one"
    )
    hint = "does it read another variable or file? If it only was not restarted, restart it"
    findings = [Finding(Level.ERROR, text.format(name=name), hint) for name in shown.another]
    findings += [Finding(Level.WARNING, text.format(name=name)) for name in shown.left_alone]
    return findings + [
        Finding(Level.WARNING, f"{name} does not show which key it has") for name in shown.nothing
    ]


def _unreadable(name: str, least: Evidence, progress: Progress) -> list[Finding]:
    """Instances whose key nobody can read: refused where the playbook wants it read, else they
    count by their start.
    """
    texts = [
        f"{name} {instance.name} does not show which key it has: {instance.untold}"
        for instance in progress.instances
        if instance.untold
    ]
    if least is Evidence.READ:
        return [
            Finding(Level.ERROR, text, "the playbook says `evidence: read`; `started` would do")
            for text in texts
        ]
    return [Finding(Level.WARNING, f"{text}; it counts by when it started") for text in texts]


def _readable(fact: ConsumerFact, progress: Progress) -> ConsumerFact:
    """Without the instances that a finding of `_unreadable` names already."""
    pairs = zip(fact.instances, progress.instances, strict=True)
    kept = tuple(shown for shown, instance in pairs if not instance.untold)
    return replace(
        fact,
        evidence=Evidence.READ if kept or not fact.instances else Evidence.STARTED,
        instances=kept,
    )
