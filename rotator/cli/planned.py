"""What a rotation would do: plan, and `rotate --dry-run`. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    know_key_patterns,
    playbook_names,
    service,
)
from rotator.counting import span
from rotator.model import Finding, Level
from rotator.usecases.exit_codes import End, Exit, worst

if TYPE_CHECKING:
    from rotator.engine.preflight import Examined
    from rotator.views.plan import PlannedRotation

_MARKS = {Level.OK: "✓", Level.WARNING: "!", Level.ERROR: "✗"}


@click.command(
    "plan",
    context_settings=CONTEXT,
    epilog=examples("rotator plan openai-prod", "rotator plan --offline"),
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=playbook_names)
@click.option(
    "--offline",
    is_flag=True,
    help="Ask nobody, and no journal: by the playbooks alone; without NAME, of all of them.",
)
@json_option
def plan_command(names: tuple[str, ...], offline: bool, as_json: bool) -> int:
    """What a rotation of each NAME would do, and what preflight finds."""
    if offline:
        return _offline(names, as_json)
    if not names:
        raise click.UsageError("name the playbooks, or say --offline for all of them")
    return plans(names, as_json)


def _offline(names: Sequence[str], as_json: bool) -> int:
    """By the playbooks alone: every mistake of theirs, and the steps of those that are right."""
    from rotator import settings
    from rotator.views.plan import unasked

    know_key_patterns()
    loaded = settings.load().directory.load()
    of_named = [one for name in names for one in loaded.mistakes_of(name)]
    wrong = of_named if names else loaded.mistakes
    right = [name for name in names or sorted(loaded.playbooks) if not loaded.mistakes_of(name)]
    planned = [unasked(loaded.get(name)) for name in loaded.meant(right)]
    code = (End.MISTAKE if wrong else End.SAID).code
    for mistake in wrong:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    if as_json:
        return shapes.answer(
            code, shapes.mistakes(wrong), playbooks=[_json(one) for one in planned]
        )
    for one in planned:
        _show(one, len(planned) > 1)
    return code


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
    from rotator.views.plan import Asked, plan

    asked = Asked(compromised, revoke_first, key)
    with closing(service()) as opened:
        loaded = opened.playbooks()
        planned = [plan(opened, name, asked, loaded) for name in loaded.meant(names, key)]
    code = worst(_exit_code(one) for one in planned)
    if as_json:
        return shapes.answer(code, playbooks=[_json(one) for one in planned])
    for one in planned:
        _show(one, len(planned) > 1)
    return code


def _exit_code(planned: PlannedRotation) -> Exit:
    return (End.WOULD_REFUSE if planned.refused else End.SAID).code


def findings(planned: PlannedRotation) -> Iterator[Finding]:
    """What a person is to know before it begins."""
    asked, name = planned.asked, planned.playbook.name
    if name != planned.name:
        text = f"{asked.key} is a key of {name}, not of {planned.name}: {name} would get the order"
        yield Finding(Level.WARNING, text)
    if planned.gone:
        text = f"the playbook {name} is gone: no new key would be made"
        yield Finding(Level.WARNING, text, f"put it back, or `rotator rename {name} NEW`")
    yield from planned.seen.findings
    if (refused := planned.dying.refused) is not None:
        yield Finding(Level.ERROR, refused.message, refused.hint)


def _json(planned: PlannedRotation) -> dict[str, Any]:
    playbook, seen = planned.playbook, planned.seen
    plan = playbook.plan
    return {
        "playbook": playbook.name,
        "exit_code": _exit_code(planned),
        "in_force": shapes.key(seen.key) if seen.known else None,
        "sure": seen.known,
        "offline": planned.offline,
        "under_way": seen.running or None,
        "dies_first": _keys(planned) or None,
        "replaced": planned.dying.replaced,
        "provider": playbook.provider_name,
        "supplied": plan.supplied,
        "stores": [{"name": entry.name, "follows": entry.follows} for entry in playbook.stores],
        "consumers": [{"name": one.name, "evidence": str(one.evidence)} for one in plan.consumers],
        "probes": [probe.name for probe in playbook.probes],
        "passes": plan.policy.passes,
        "grace_seconds": planned.grace,
        "quiet_seconds": planned.quiet,
        "soak_seconds": planned.soak,
        "folder": playbook.folder,
        "paths": planned.paths,
        "findings": [
            {"level": str(one.level), "text": one.text, "hint": one.hint or None}
            for one in findings(planned)
        ],
    }


def _keys(planned: PlannedRotation) -> str:
    return ", ".join(str(key) for key in planned.dying.keys)


def _show(planned: PlannedRotation, named: bool) -> None:
    if named:
        console.put(planned.playbook.name)
    rows = _steps(planned)
    if not planned.dying.replaced:  # another key dies, and that is all
        rows = [(step, text) for step, text in rows if step in ("first", "in force")]
    if paths := planned.paths:
        meanings = (f"{written} is {path}" for written, path in paths.items())
        rows.append(("paths", " · ".join(meanings)))
    console.table(rows, indent=2)
    for finding in findings(planned):
        hint = f" ({finding.hint})" if finding.hint else ""
        console.put(f"  {_MARKS[finding.level]} {finding.text}{hint}", 4)


def _steps(planned: PlannedRotation) -> list[tuple[str, str]]:
    playbook, seen, dying = planned.playbook, planned.seen, _keys(planned)
    first = f"{dying}: revoked before anything else, whoever holds it"
    stores = (
        f"{entry.name} (followed)" if entry.follows else entry.name for entry in playbook.stores
    )
    consumers = [
        f"{entry.name} ({consumer.evidence})"
        for entry, consumer in zip(playbook.consumers, playbook.plan.consumers, strict=True)
    ]
    probes = " · ".join(probe.name for probe in playbook.probes) or "no probe"
    return [
        *([("first", first)] if dying else []),
        ("in force", "nobody was asked" if planned.offline else _in_force(seen)),
        ("generate", _new_key(planned)),
        ("store", " · ".join(stores)),
        ("restart", " → ".join(consumers) or "nobody"),
        ("verify", f"{probes}, the key accepted {_in_a_row(playbook.plan.policy.passes)}"),
        ("revoke", "nothing is left to revoke" if dying else _old_key(planned)),
    ]


def _new_key(planned: PlannedRotation) -> str:
    coming = planned.seen.coming
    if coming is not None:
        return f"{coming} ({coming.hint}) is made"
    if planned.playbook.plan.supplied:
        return "a person supplies a new key"
    return f"a new key by {planned.playbook.provider_name}"


def _old_key(planned: PlannedRotation) -> str:
    soak = f", deactivated for {span(planned.soak)}" if planned.soak else ""
    if planned.asked.compromised:
        return f"the old key right after that: no grace, no quiet{soak}; nobody may hold it"
    quiet = f", quiet for {span(planned.quiet)}" if planned.quiet else ""
    return f"the old key after {span(planned.grace)}{quiet}{soak}"


def _in_a_row(passes: int) -> str:
    return f"{passes} times in a row" if passes > 1 else "once"


def _in_force(seen: Examined) -> str:
    """Which key this is about."""
    if seen.running:
        key = seen.key or "no key yet"
        return f"{key}; a rotation is under way ({seen.running}): it is carried on"
    if not seen.known:
        return "it is not sure which key is in force"
    if seen.key is None:
        return "no key: no store holds one, and the journal knows none; this would be the first"
    return words.key_with_hint(seen.key)
