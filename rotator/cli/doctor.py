"""What would hinder a rotation, or has gone wrong unseen: doctor."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rotator import trust
from rotator.cli import console, overview, shapes, words
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    service,
)
from rotator.cli.findings import Checked, show_findings
from rotator.core.state import Phase
from rotator.counting import count
from rotator.errors import RotatorError
from rotator.journal import cases, killed
from rotator.model import Level
from rotator.playbook.registry import Registry
from rotator.secret import redact
from rotator.settings import Settings
from rotator.usecases.service import Service
from rotator.views.explain import Explanation, explain


@click.command(
    "doctor",
    context_settings=CONTEXT,
    epilog=examples("rotator doctor", "rotator doctor --explain openai-prod"),
)
@click.option(
    "--explain",
    "name",
    default="",
    metavar="NAME",
    help="Why NAME was not rotated, or its old key not revoked; what is next.",
)
@json_option
def doctor(name: str, as_json: bool) -> int:
    """What would hinder a rotation, or has gone wrong unseen. Changes nothing."""
    with closing(service()) as found:
        if name:
            told = explain(found, name)
            row = (
                overview.row(found, name, found.playbooks().playbooks.get(name)).json()
                if as_json
                else {}
            )
            return _explain(told, row)
        return show_findings(list(_examine(found)), as_json)


def _explain(told: Explanation, row: dict[str, Any]) -> int:
    """`row`: how it stands as data, where a program asks."""
    code = 0 if told.clean else 1
    if row:
        why, breaks = ([redact(line) for line in lines] for lines in (told.why, told.breaks))
        ahead = [{"at": shapes.at(one.at), "what": redact(one.what)} for one in told.next]
        return shapes.answer(code, **row, why=why, breaks=breaks, next=ahead)
    console.put(told.name)
    for fact in told.stands:
        console.put(f"  {redact(fact)}", 4)
    for title, lines in (
        ("what holds it up", told.why),
        ("what would stop a rotation now", told.breaks),
    ):
        if lines:
            console.put(f"{title}:")
            for line in lines:
                console.put(f"  ✗ {redact(line)}", 4)
    if told.next:
        console.put("next:")
        when = [words.moment(one.at) if one.at is not None else "a person" for one in told.next]
        console.table(
            [(at, redact(one.what)) for at, one in zip(when, told.next, strict=True)], indent=2
        )
    return code


def _examine(found: Service) -> Iterator[Checked]:
    loaded = found.playbooks()
    for mistake in loaded.mistakes:
        yield Checked(mistake.place, False, mistake.text, mistake.hint, code=2)
    yield from _examine_home(found.settings)
    try:
        journal = found.journal
    except RotatorError as error:
        yield Checked("journal", False, error.message, error.hint)
        return
    yield Checked("journal", True, journal.database.where)
    sealed = journal.sealer is not None
    yield Checked(
        "sealing key",
        sealed,
        "opens the journal" if sealed else journal.no_key.message,
        journal.no_key.hint,
    )
    yield from _examine_audit(found)
    free = shutil.disk_usage(found.settings.home).free
    yield Checked(
        "disk", free > 50_000_000, f"{free // 1_000_000} MB free", "the journal needs room to write"
    )
    registry = Registry(found.directory.paths)
    yield Checked(
        "plugins",
        True,
        " and ".join(count(len(registry.names(kind)), kind) for kind in ("provider", "store")),
    )
    with found.journal.database.read() as connection:
        without = killed.names(connection)
    for name in sorted(without):
        if (key := found.without(name)) is not None:
            yield Checked(name, False, words.without(name, key), words.then(name))
    for name, playbook in sorted(loaded.playbooks.items()):
        yield from _examine_playbook(found, name, playbook)


def _examine_home(settings: Settings) -> Iterator[Checked]:
    """Whoever may write there may put another journal, or a sealing key that they know, in the
    place of ours.
    """
    journal = (
        Path(settings.url.removeprefix("sqlite:///"))
        if settings.url.startswith("sqlite:")
        else None
    )
    for name, place in (
        ("home", settings.home),
        ("journal", journal),
        ("sealing key", settings.key.file),
    ):
        why = trust.foreign(place) if place is not None else ""
        if (
            why and "its group, gid " not in why
        ):  # a volume of a pod's own: nobody else has that group
            hint = (
                f"{trust.OURS_OR_ROOTS}: chown and chmod go-w {place}; was it put there by somebody"
                " else?"
            )
            yield Checked(name, False, f"{place} {why}", hint)


def _examine_audit(found: Service) -> Iterator[Checked]:
    from rotator.audit import checkpoint, outside

    with found.journal.database.read() as connection:
        wrong = checkpoint.standing(connection, found.journal)
        behind = outside.behind(connection) if found.settings.audit_export else 0
    hint = (
        "`rotator audit verify` tells more; `rotator audit restart --reason …` begins anew and"
        " names it for ever"
    )
    yield Checked("audit", not wrong, wrong or "it is the one whose checkpoints were signed", hint)
    if found.settings.audit_export:
        told = (
            f"{count(behind, 'checkpoint was', 'checkpoints were')} not taken"
            if behind
            else "has all checkpoints"
        )
        yield Checked(
            "audit_export",
            not behind,
            told,
            "`rotator audit export` tries at once, and says why not",
        )


def _examine_playbook(found: Service, name: str, playbook) -> Iterator[Checked]:  # type: ignore[no-untyped-def]
    from rotator.engine import preflight

    with found.journal.database.read() as connection:
        case, current = cases.load(connection, name), cases.current_key(connection, name)
    if case.rotation is not None and case.rotation.phase is Phase.STUCK:
        yield Checked(name, False, case.rotation.question, f"`rotator show {name}`")
    for debt in case.debts:
        if debt.open and debt.attention:
            yield Checked(name, False, words.debt_words(debt), f"`rotator show {name}`")
    findings = preflight.examine(found.journal, playbook, found.clock.now()).findings
    with contextlib.suppress(
        RotatorError
    ):  # what keeps the list from being had is among the findings
        if current is not None and current.id and playbook.provider.can_list:
            if current.id not in {record.id for record in playbook.provider.inventory()}:
                yield Checked(
                    name,
                    False,
                    f"its current key {current} is gone at the provider",
                    f"somebody deleted it: `rotate {name} --compromised`",
                )
    for finding in findings:
        yield Checked(name, finding.level is Level.OK, finding.text, finding.hint)
    if not findings:
        yield Checked(name, True, "nothing hinders a rotation")
