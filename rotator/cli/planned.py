"""What a rotation would do: plan, and `rotate --dry-run`. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import console, shapes
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    name_argument,
    service,
    worst,
)
from rotator.durations import words as span
from rotator.errors import RotatorError
from rotator.journal import cases
from rotator.playbook.places import meant
from rotator.playbook.playbook import Playbook
from rotator.usecases.service import Service

if TYPE_CHECKING:
    from rotator.engine.preflight import Examined
    from rotator.model import Finding


@click.command(
    "plan",
    context_settings=CONTEXT,
    epilog=examples("rotator plan openai-prod", "rotator plan openai-prod --json"),
)
@name_argument
@json_option
def plan_command(name: str, as_json: bool) -> int:
    """What a rotation of NAME would do, and what preflight finds."""
    return plans([name], as_json)


@dataclass(frozen=True)
class Planned:
    """What would happen to one playbook."""

    playbook: Playbook
    seen: Examined
    findings: list[Finding]
    compromised: bool
    dying: str
    replaced: bool = True  # else the dying key is not in force, and nothing else is done

    @property
    def code(self) -> int:
        return 6 if any(finding.level == "error" for finding in self.findings) else 0

    @property
    def paths(self) -> dict[str, str]:
        return dict(meant(self.playbook.written, self.playbook.definition))

    def json(self) -> dict[str, Any]:
        plan, revoke = self.playbook.plan, self.playbook.shape.revoke
        leaked = self.compromised
        return {
            "playbook": self.playbook.name,
            "exit_code": self.code,
            "in_force": shapes.key(self.seen.key) if self.seen.known else None,
            "sure": self.seen.known,
            "under_way": self.seen.running or None,
            "dies_first": self.dying or None,
            "replaced": self.replaced,
            "provider": self.playbook.provider_name,
            "supplied": plan.supplied,
            "stores": [
                {"name": entry.name, "follows": entry.follows} for entry in self.playbook.stores
            ],
            "consumers": [
                {"name": one.name, "evidence": str(one.evidence)} for one in plan.consumers
            ],
            "probes": [probe.name for probe in self.playbook.probes],
            "passes": plan.policy.passes,
            "grace_seconds": 0.0 if leaked else revoke.grace,
            "quiet_seconds": 0.0 if leaked else revoke.quiet,
            "soak_seconds": revoke.soak if plan.can_deactivate else 0.0,
            "folder": self.playbook.folder,
            "paths": self.paths,
            "findings": [finding(one) for one in self.findings],
        }


def finding(found: Finding) -> dict[str, Any]:
    return {"level": str(found.level), "text": found.text, "hint": found.hint or None}


def plans(
    names: Sequence[str],
    as_json: bool,
    compromised: bool = False,
    revoke_first: bool = False,
    key: str = "",
) -> int:
    """The plan of each is always shown, with everything that the very preflight of a rotation
    finds.
    """
    from rotator import model
    from rotator.engine import preflight
    from rotator.usecases.leaked import owner

    names = list(dict.fromkeys(names))
    seen: list[Planned] = []
    with closing(service()) as found:
        loaded = found.playbooks()
        for name in names:
            findings = []
            if key and (other := owner(found, name, key, loaded)) != name:
                text = f"{key} is a key of {other}, not of {name}: {other} would get the order"
                findings.append(model.Finding(model.Level.WARNING, text))
                name = other
            playbook = loaded.playbooks.get(name) or _known(found, name, revoke_first, findings)
            examined = preflight.examine(
                found.journal, playbook, found.clock.now(), compromised, revoke_first
            )
            findings += examined.findings
            dying, replaced = _dying(found, playbook, key, findings) if revoke_first else ("", True)
            seen.append(Planned(playbook, examined, findings, compromised, dying, replaced))
    code = worst([one.code for one in seen])
    if as_json:
        return shapes.answer(code, playbooks=[one.json() for one in seen])
    for one in seen:
        _show(one, len(seen) > 1)
    return code


def _show(one: Planned, named: bool) -> None:
    if named:
        console.put(one.playbook.name)
    rows = list(_steps(one.playbook, one.seen, one.compromised, one.dying).items())
    if not one.replaced:  # another key dies, and that is all
        rows = [(step, text) for step, text in rows if step in ("first", "in force")]
    if one.paths:
        rows.append(
            ("paths", " · ".join(f"{written} is {path}" for written, path in one.paths.items()))
        )
    console.table(rows, indent=2)
    for finding in one.findings:
        hint = f" ({finding.hint})" if finding.hint else ""
        console.put(f"  {MARKS[str(finding.level)]} {finding.text}{hint}", 4)


MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def _known(found: Service, name: str, revoke_first: bool, findings: list[Finding]) -> Playbook:
    """A leaked key dies by the last version that the journal knows.

    Raises ConfigError where nobody knows it.
    """
    from rotator import model

    with found.journal.database.read() as connection:
        known = cases.playbook_row(connection, name) is not None
    if not (revoke_first and known):
        return found.playbooks().get(name)
    hint = f"put it back, or `rotator rename {name} NEW`"
    findings.append(
        model.Finding(
            model.Level.WARNING, f"the playbook {name} is gone: no new key would be made", hint
        )
    )
    return found.last_known(name)


def _dying(
    found: Service, playbook: Playbook, key: str, findings: list[Finding]
) -> tuple[str, bool]:
    """The keys that would die first, in words, and whether another one is brought out; why none
    would is a finding.
    """
    from rotator import model
    from rotator.engine import incident

    with found.journal.database.read() as connection:
        case = cases.load(connection, playbook.name)
    now = found.clock.now()
    try:
        keys = incident.targets(found.journal, playbook, case, key, now)
    except RotatorError as error:
        findings.append(model.Finding(model.Level.ERROR, error.message, error.hint))
        return "", True
    replaced = incident.replaces(found.journal, playbook, case, key, keys, now)
    return ", ".join(str(one) for one in keys), replaced


def _steps(playbook: Playbook, seen: Examined, compromised: bool, dying: str) -> dict[str, str]:
    plan, revoke = playbook.plan, playbook.shape.revoke
    quiet = f", quiet for {span(revoke.quiet)}" if revoke.quiet else ""
    soak = f", deactivated for {span(revoke.soak)}" if plan.can_deactivate and revoke.soak else ""
    by = (
        "a person supplies a new key" if plan.supplied else f"a new key by {playbook.provider_name}"
    )
    shows = [
        f"{entry.name} ({consumer.evidence})"
        for entry, consumer in zip(playbook.consumers, plan.consumers, strict=True)
    ]
    probes = " · ".join(probe.name for probe in playbook.probes)
    old = f"the old key after {span(revoke.grace)}{quiet}{soak}"
    if compromised:
        old = f"the old key right after that: no grace, no quiet{soak}; nobody may hold it"
    return {
        **({"first": f"{dying}: revoked before anything else, whoever holds it"} if dying else {}),
        "in force": _in_force(seen),
        "generate": (
            f"{seen.coming} ({seen.coming.hint}) is made" if seen.coming is not None else by
        ),
        "store": " · ".join(
            entry.name + (" (followed)" if entry.follows else "") for entry in playbook.stores
        ),
        "restart": " → ".join(shows) or "nobody",
        "verify": f"{probes}, the key accepted {_in_a_row(plan.policy.passes)}",
        "revoke": "nothing is left to revoke" if dying else old,
    }


def _in_a_row(passes: int) -> str:
    return f"{passes} times in a row" if passes > 1 else "once"


def _in_force(seen: Examined) -> str:
    """Which key this is about."""
    if seen.running:
        return (
            f"{seen.key or 'no key yet'}; a rotation is under way ({seen.running}): it is"
            " carried on"
        )
    if not seen.known:
        return "it is not sure which key is in force"
    if seen.key is None:
        return "no key: no store holds one, and the journal knows none; this would be the first"
    return (
        f"{seen.key} ({seen.key.hint})" if seen.key.id and len(seen.key.hint) > 1 else str(seen.key)
    )
