"""Looking back: show, history. Changes nothing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    service,
)
from rotator.core.state import Phase
from rotator.engine.keeper import short
from rotator.errors import ConfigError
from rotator.journal import cases, codec

if TYPE_CHECKING:
    pass


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
