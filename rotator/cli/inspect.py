"""Looking: show, keys, history, plan, validate. Changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    know_key_patterns,
    name_argument,
    playbook_names,
    service,
    worst,
)
from rotator.core.state import Phase
from rotator.counting import count
from rotator.durations import words as span
from rotator.engine.keeper import short
from rotator.errors import ConfigError, RotatorError
from rotator.journal import cases, codec
from rotator.playbook.places import meant
from rotator.playbook.playbook import Playbook
from rotator.usecases.service import Service

if TYPE_CHECKING:
    from rotator.engine.preflight import Examined
    from rotator.model import Finding
    from rotator.playbook.mistakes import Mistake


@click.command(
    "show",
    context_settings=CONTEXT,
    epilog=examples("rotator show openai-prod", "rotator show r-7f3k2 --json"),
)
@click.argument("which")
@json_option
def show(which: str, as_json: bool) -> int:
    """One rotation (its id, or the playbook's last): each step, attempt and decision."""
    with closing(service()) as found, found.journal.database.read() as connection:
        row = (
            cases.find_rotation(connection, which)
            if which.startswith("r-") or len(which) == 26
            else None
        )
        if row is None:
            rows = cases.rotation_rows(connection, which, 1)
            row = rows[0] if rows else None
        if row is None:
            raise ConfigError(f"there is no rotation {which}", "`rotator history` lists them")
        rotation = codec.rotation_of(row["state"])
        records = _records(connection, rotation.id)
        debts = cases.debts_of(connection, rotation.id)
    if as_json:
        told = shapes.rotation(rotation, row)
        return shapes.answer(
            0, rotation=told, old_keys=[shapes.old_key(debt) for debt in debts], records=records
        )
    state = rotation.outcome or (
        f"needs attention: {rotation.question}" if rotation.phase is Phase.STUCK else rotation.phase
    )
    leaked = " · the old key leaked" if rotation.compromised else ""
    console.put(f"{rotation.playbook} · {short(rotation.id)} ({rotation.id}) · {state}{leaked}", 2)
    by = f"by {row['actor']}" + (f": {row['reason']}" if row["reason"] else "")
    console.put(f"{words.moment(row['began'])} {by}", 2)
    for record in records:
        console.put(_line(record), 16)
    for debt in debts:
        console.put(f"old key: {words.debt_words(debt)}", 2)
    return 0


def _records(connection: Any, rotation: str) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from rotator.journal import tables

    found = connection.execute(
        select(tables.audit.c.record)
        .where(tables.audit.c.chain == rotation)
        .order_by(tables.audit.c.seq)
    )
    return [json.loads(row[0]) for row in found]


def _line(record: dict[str, Any]) -> str:
    parts = [
        record.get("step", ""),
        record["event"],
        record.get("op", ""),
        record.get("target", ""),
        record.get("key", ""),
        record.get("result", ""),
        record.get("decision", ""),
        record.get("outcome", ""),
        record.get("order", ""),
        record.get("error", ""),
        record.get("reason", ""),
        f"(by {record['by']})" if record.get("by") else "",
        *record.get("warnings", []),
    ]
    took = f" {record['seconds']} s" if record.get("seconds") else ""
    return f"  {_local(record['time'])}  " + " ".join(str(part) for part in parts if part) + took


def _local(time: str) -> str:
    """The time of day here, as the head of `show` has its date and zone."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]


@click.command(
    "keys", context_settings=CONTEXT, epilog=examples("rotator keys", "rotator keys openai-prod")
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=playbook_names)
@click.option("--key", default="", metavar="ID", help="This one alone.")
@json_option
def keys(names: tuple[str, ...], key: str, as_json: bool) -> int:
    """Each key of NAME, or of all playbooks: in force or old, accepted or refused now. Only looks,
    makes nothing.

    Exit 0 where every old key is dead and the one in force works; else 1.
    """
    from rotator.usecases.keys import look

    if key and len(names) != 1:
        raise click.UsageError(
            "--key is about one playbook: name it; `rotator keys` shows the keys of all"
        )
    with closing(service()) as found:
        each = {
            name: look(found, name, key) for name in names or sorted(found.playbooks().playbooks)
        }
    code = 0 if all(seen and all(one.right for one in seen) for seen in each.values()) else 1
    if as_json:
        told = {
            name: [
                {"key": shapes.key(one.key), "role": one.role, "alive": one.alive, "how": one.how}
                for one in seen
            ]
            for name, seen in each.items()
        }
        if len(names) == 1:
            return shapes.answer(code, playbook=names[0], keys=told[names[0]])
        return shapes.answer(
            code, playbooks=[{"playbook": name, "keys": seen} for name, seen in told.items()]
        )
    marks = {True: "alive", False: "dead", None: "unknown"}
    for name, seen in each.items():
        if len(names) != 1:
            console.put(name)
        rows = []
        for one in seen:
            hint = f" ({one.key.hint})" if one.key.id and len(one.key.hint) > 1 else ""
            rows.append((marks[one.alive], f"{one.key}{hint}: {one.role}; {one.how}"))
        if not rows:
            console.put("no key is known: the journal has none, and no store shows one", 2)
        console.table(rows, indent=0 if len(names) == 1 else 2)
    return code


@click.command(
    "history",
    context_settings=CONTEXT,
    epilog=examples("rotator history", "rotator history openai-prod -n 5"),
)
@click.argument("name", required=False, default="")
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@json_option
def history(name: str, limit: int, as_json: bool) -> int:
    """The last rotations, newest first."""
    with closing(service()) as found, found.journal.database.read() as connection:
        rows = cases.rotation_rows(connection, name, limit)
        if name and not rows and cases.playbook_row(connection, name) is None:
            found.playbooks().get(name)  # nobody knows it
    if as_json:
        told = [shapes.rotation(codec.rotation_of(row["state"]), row) for row in rows]
        return shapes.answer(0, rotations=told)
    if not rows:
        console.put(f"{name} was never rotated" if name else "nothing was rotated yet")
    lines = []
    for row in rows:
        took = f"{row['ended'] - row['began']:.0f} s" if row["ended"] else "unfinished"
        outcome = row["outcome"] or (
            "needs attention" if row["phase"] == Phase.STUCK else row["phase"]
        )
        outcome += ", leaked" if codec.rotation_of(row["state"]).compromised else ""
        lines.append(
            (
                words.moment(row["began"]),
                short(row["id"]),
                row["playbook"],
                outcome,
                took,
                row["actor"],
            )
        )
    console.table(lines)
    return 0


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


@click.command(
    "validate",
    context_settings=CONTEXT,
    epilog=examples(
        "rotator validate", "rotator validate openai-prod", "rotator validate ./playbooks/new.yaml"
    ),
)
@click.argument("what", nargs=-1, metavar="[PATH|NAME]...", shell_complete=playbook_names)
@json_option
def validate(what: tuple[str, ...], as_json: bool) -> int:
    """Every mistake of every playbook, with its place; without network and without the journal.

    A PATH is one file or directory, wherever it is; a NAME is one of the playbooks that rotator
    finds by itself.
    """
    know_key_patterns()
    looked = [_looked_at(one) for one in what or ("",)]
    right = sorted({name for one in looked for name in one.right})
    mistakes = list(dict.fromkeys(mistake for one in looked for mistake in one.mistakes))
    code = 2 if mistakes else 0
    for mistake in mistakes:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    if as_json:
        return shapes.answer(code, shapes.mistakes(mistakes), playbooks=right)
    where = ", ".join(dict.fromkeys(place for one in looked for place in one.places))
    console.put(f"{where}: {len(right)} right, {count(len(mistakes), 'mistake')}", 2)
    return code


@dataclass(frozen=True)
class Validated:
    places: tuple[str, ...]
    right: tuple[str, ...]
    mistakes: tuple[Mistake, ...]


def _looked_at(what: str) -> Validated:
    """Raises ConfigError for what is neither a path nor the name of a playbook."""
    from rotator import settings
    from rotator.playbook.directory import Directory

    here = settings.load()
    path = Path(what).expanduser()
    if what and (os.sep in what or path.suffix in (".yaml", ".yml") or path.exists()):
        if not path.exists():
            raise ConfigError(
                f"{path} does not exist",
                "a file or directory; or the name of a playbook, without .yaml",
            )
        if path.parent.name == "providers" and path.is_file():
            return _catalog_file(path)
        loaded = Directory((path,), trusted=here.trust).load()
        return Validated(loaded.looked, tuple(loaded.playbooks), tuple(loaded.mistakes))
    loaded = here.directory.load()
    if not what:
        return Validated(loaded.looked, tuple(loaded.playbooks), tuple(loaded.mistakes))
    mistakes = tuple(loaded.mistakes_of(what))
    return Validated((what,), () if mistakes else (loaded.get(what).name,), mistakes)


def _catalog_file(path: Path) -> Validated:
    from rotator.playbook import catalog
    from rotator.playbook.mistakes import PlaybookMistakes

    try:
        catalog.load(path)
    except PlaybookMistakes as wrong:
        return Validated((str(path),), (), tuple(wrong.mistakes))
    return Validated((str(path),), (path.stem,), ())
