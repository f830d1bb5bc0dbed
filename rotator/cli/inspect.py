"""Looking: status, show, history, plan, validate. Changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import words
from rotator.cli.common import CONTEXT, closing, json_option, name_argument, service, show_json
from rotator.core.state import DEAD_PHASES, Phase
from rotator.engine.keeper import short
from rotator.errors import ConfigError, RotatorError
from rotator.journal import cases, codec
from rotator.playbook.durations import words as span
from rotator.playbook.places import meant
from rotator.playbook.playbook import Playbook
from rotator.service import Service

if TYPE_CHECKING:
    from rotator.engine.preflight import Examined
    from rotator.model import Finding


@click.command("status", context_settings=CONTEXT)
@json_option
def status(as_json: bool) -> int:
    """All playbooks: when each is due, what waits, and who must act."""
    with closing(service()) as found:
        loaded = found.playbooks()
        rows = [_row(found, name, loaded.playbooks.get(name)) for name in _all_names(found)]
    for mistake in loaded.mistakes:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    if as_json:
        show_json(rows)
    else:
        width = max((len(row["playbook"]) for row in rows), default=0)
        for row in rows:
            print(f"{row['playbook']:<{width}}  {row['state']:<16}  {row['rotated']:<18}  {row['next']}")
    return 4 if any(row["attention"] for row in rows) else 2 if loaded.mistakes else 0


def _all_names(found: Service) -> list[str]:
    """Today's playbooks, and those of which something is unfinished."""
    from sqlalchemy import select

    from rotator.journal import tables

    with found.journal.database.read() as connection:
        open_ones = {row[0] for row in connection.execute(select(tables.debts.c.playbook).where(tables.OPEN))}
        open_ones |= {row[0] for row in connection.execute(select(tables.rotations.c.playbook).where(tables.ACTIVE))}
    return sorted({*found.playbooks().playbooks, *open_ones})


def _row(found: Service, name: str, playbook: Playbook | None) -> dict[str, Any]:
    with found.journal.database.read() as connection:
        case = cases.load(connection, name)
        row = cases.playbook_row(connection, name)
    last = row["last_success"] if row else None
    rotation = case.rotation
    pause = found.paused(name, playbook)
    attention = [debt.attention for debt in case.debts if debt.open and debt.attention]
    if rotation is not None and rotation.phase is Phase.STUCK:
        attention.insert(0, rotation.question)
    waiting = [debt for debt in case.debts if debt.open and debt.phase not in DEAD_PHASES]
    if attention:
        state = "needs attention"
    elif rotation is not None and rotation.plan.supplied and rotation.phase is Phase.GENERATE:
        state = "waiting for key"
    elif rotation is not None and rotation.phase is not Phase.ENDED:
        state = f"rotating: {rotation.phase}"
    else:
        state = f"{len(waiting)} old key{'s' if len(waiting) > 1 else ''} waiting" if waiting else "ok"
    orphan = rotation.possible_orphan if rotation is not None and rotation.phase is Phase.ENDED else ""
    if orphan and state == "ok":
        state = "possible orphan"
    due = playbook.due_at(last) if playbook else None
    overdue = bool(playbook and playbook.shape.max_age and last and found.clock.now() - last > playbook.shape.max_age)
    if pause is not None and not attention:
        state = "paused"
    return {
        "playbook": name,
        "state": "overdue" if overdue and state == "ok" else state,
        "rotated": f"rotated {words.age(last)}" if last else "never rotated",
        "paused": {"until": pause.until, "reason": pause.reason, "by": pause.who} if pause else None,
        "next": "; ".join(attention)
        or (f"until {words.moment(pause.until)}: {pause.reason}" if pause else "")
        or (f"look in the provider's console for {orphan}" if state == "possible orphan" else "")
        or (f"`rotator supply {name}`" if state == "waiting for key" else "")
        or _next(due, found.clock.now(), playbook),
        "attention": attention,
        "due": due,
        "last_success": last,
        "debts": [words.debt_json(debt) for debt in case.debts if debt.open],
    }


def _next(due: float | None, now: float, playbook: Playbook | None) -> str:
    if playbook is None:
        return "its playbook is gone"
    if due is None:
        return "on demand"
    return "due now" if due <= now else f"due in {span(due - now)}"


@click.command("show", context_settings=CONTEXT)
@click.argument("which")
@json_option
def show(which: str, as_json: bool) -> int:
    """One rotation (its id, or the playbook's last): each step, attempt and decision."""
    with closing(service()) as found, found.journal.database.read() as connection:
        row = cases.find_rotation(connection, which) if which.startswith("r-") or len(which) == 26 else None
        if row is None:
            rows = cases.rotation_rows(connection, which, 1)
            row = rows[0] if rows else None
        if row is None:
            raise ConfigError(f"there is no rotation {which}", "`rotator history` lists them")
        rotation = codec.rotation_of(row["state"])
        records = _records(connection, rotation.id)
        debts = cases.debts_of(connection, rotation.id)
    if as_json:
        show_json(
            {**(words.rotation_json(rotation) or {}), "debts": [words.debt_json(d) for d in debts], "records": records}
        )
        return 0
    state = rotation.outcome or (
        f"needs attention: {rotation.question}" if rotation.phase is Phase.STUCK else rotation.phase
    )
    print(f"{rotation.playbook} · {short(rotation.id)} ({rotation.id}) · {state}")
    print(f"by {row['actor']}" + (f": {row['reason']}" if row["reason"] else ""))
    for record in records:
        print(_line(record))
    for debt in debts:
        print(f"old key: {words.debt_words(debt)}")
    return 0


def _records(connection: Any, rotation: str) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from rotator.journal import tables

    found = connection.execute(
        select(tables.audit.c.record).where(tables.audit.c.chain == rotation).order_by(tables.audit.c.seq)
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
        *record.get("warnings", []),
    ]
    took = f" {record['seconds']} s" if record.get("seconds") else ""
    return f"  {record['time'][11:23]}  " + " ".join(str(part) for part in parts if part) + took


@click.command("keys", context_settings=CONTEXT)
@name_argument
@click.option("--key", default="", metavar="ID", help="This one alone.")
@json_option
def keys(name: str, key: str, as_json: bool) -> int:
    """Each key of NAME that the journal knows: in force or old, accepted or refused now. Only looks, makes nothing.

    Exit 0 where every old key is dead and the one in force works; else 1.
    """
    from rotator.keys import look

    with closing(service()) as found:
        seen = look(found, name, key)
    if as_json:
        told = [{"key": str(one.key), "role": one.role, "alive": one.alive, "how": one.how} for one in seen]
        show_json(told)
    else:
        marks = {True: "alive", False: "dead", None: "unknown"}
        for one in seen:
            hint = f" ({one.key.hint})" if one.key.id and len(one.key.hint) > 1 else ""
            print(f"{marks[one.alive]:<8} {one.key}{hint}: {one.role}; {one.how}")
    right = [one.alive is (one.role in ("in force", "new, under way")) for one in seen]
    return 0 if all(right) else 1


@click.command("history", context_settings=CONTEXT)
@click.argument("name", required=False, default="")
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@json_option
def history(name: str, limit: int, as_json: bool) -> int:
    """The last rotations, newest first."""
    with closing(service()) as found, found.journal.database.read() as connection:
        rows = cases.rotation_rows(connection, name, limit)
    if as_json:
        show_json(
            [
                {
                    "id": row["id"],
                    "short": short(row["id"]),
                    "playbook": row["playbook"],
                    "outcome": row["outcome"],
                    "began": row["began"],
                    "ended": row["ended"],
                    "actor": row["actor"],
                    "reason": row["reason"],
                }
                for row in rows
            ]
        )
        return 0
    for row in rows:
        took = f"{row['ended'] - row['began']:.0f} s" if row["ended"] else "unfinished"
        print(
            f"{words.moment(row['began'])}  {short(row['id'])}  {row['playbook']:<24} "
            f"{row['outcome'] or row['phase']:<14} "
            f"{took:<10} {row['actor']}"
        )
    return 0


@click.command("plan", context_settings=CONTEXT)
@name_argument
@json_option
def plan_command(name: str, as_json: bool) -> int:
    """What a rotation of NAME would do, and what preflight finds."""
    return plan(name, as_json)


def plan(name: str, as_json: bool, compromised: bool = False, revoke_first: bool = False, key: str = "") -> int:
    """The plan is always shown, with everything that the very preflight of a rotation finds."""
    from rotator.engine import preflight
    from rotator.model import Level

    with closing(service()) as found:
        playbook, journal, now = found.playbooks().get(name), found.journal, found.clock.now()
        seen = preflight.examine(journal, playbook, now, compromised, revoke_first)
        findings = list(seen.findings)
        dying = _dying(found, playbook, key, findings) if revoke_first else ""
    steps, paths = _steps(playbook, seen, compromised, dying), meant(playbook.written, playbook.definition)
    if as_json:
        show_json(
            {
                "playbook": name,
                "steps": steps,
                "folder": playbook.folder,
                "paths": paths,
                "findings": [{"level": str(f.level), "text": f.text, "hint": f.hint} for f in findings],
            }
        )
    else:
        for step, text in steps.items():
            print(f"  {step:<10} {text}")
        if paths:
            print(f"  {'paths':<10} {' · '.join(f'{written} is {path}' for written, path in paths.items())}")
        marks = {Level.OK: "✓", Level.WARNING: "!", Level.ERROR: "✗"}
        for finding in findings:
            print(f"  {marks[finding.level]} {finding.text}" + (f" ({finding.hint})" if finding.hint else ""))
    return 6 if any(finding.level is Level.ERROR for finding in findings) else 0


def _dying(found: Service, playbook: Playbook, key: str, findings: list[Finding]) -> str:
    """The keys that would die first, in words; why none would is a finding."""
    from rotator import model
    from rotator.engine import incident

    with found.journal.database.read() as connection:
        case = cases.load(connection, playbook.name)
    try:
        return ", ".join(str(one) for one in incident.targets(found.journal, playbook, case, key, found.clock.now()))
    except RotatorError as error:
        findings.append(model.Finding(model.Level.ERROR, error.message, error.hint))
        return "nobody knows which key"


def _steps(playbook: Playbook, seen: Examined, compromised: bool, dying: str) -> dict[str, str]:
    plan, revoke = playbook.plan, playbook.shape.revoke
    quiet = f", quiet for {span(revoke.quiet)}" if revoke.quiet else ""
    soak = f", deactivated for {span(revoke.soak)}" if plan.can_deactivate and revoke.soak else ""
    by = "a person supplies a new key" if plan.supplied else f"a new key by {playbook.provider_name}"
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
        "generate": by,
        "store": " · ".join(entry.name + (" (followed)" if entry.follows else "") for entry in playbook.stores),
        "restart": " → ".join(shows) or "nobody",
        "verify": f"{probes}, the key accepted {plan.policy.passes} times in a row",
        "revoke": "nothing is left to revoke" if dying else old,
    }


def _in_force(seen: Examined) -> str:
    """Which key this is about."""
    if seen.running:
        return f"a rotation is under way ({seen.running}): it is carried on"
    if not seen.known:
        return "it is not sure which key is in force"
    if seen.key is None:
        return "no key: no store holds one, and the journal knows none; this would be the first"
    return f"{seen.key} ({seen.key.hint})" if seen.key.id and len(seen.key.hint) > 1 else str(seen.key)


@click.command("validate", context_settings=CONTEXT)
@json_option
def validate(as_json: bool) -> int:
    """Every mistake of every playbook, with its place; without network and without the journal."""
    from rotator import settings

    loaded = settings.load().directory.load()
    if as_json:
        show_json(
            {
                "playbooks": sorted(loaded.playbooks),
                "mistakes": [{"place": m.place, "text": m.text, "hint": m.hint} for m in loaded.mistakes],
            }
        )
    else:
        for mistake in loaded.mistakes:
            words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
        print(f"{', '.join(loaded.looked)}: {len(loaded.playbooks)} right, {len(loaded.mistakes)} mistakes")
    return 2 if loaded.mistakes else 0
