"""What would hinder a rotation, or has gone wrong unseen: doctor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator import trust
from rotator.cli import console, explained, shapes, words
from rotator.cli.common import CONTEXT, closing, examples, json_option, service
from rotator.cli.findings import Line, show_findings
from rotator.cli.notify import not_sent
from rotator.core.debt_state import Debt
from rotator.counting import count
from rotator.secret import redact
from rotator.usecases.exit_codes import End
from rotator.views.callers import Callers
from rotator.views.explain import Event, Explanation, Why, explain
from rotator.views.health import Check, Checked, health
from rotator.views.nodes import NodeStatus

if TYPE_CHECKING:
    from rotator.usecases.service import Service

TEXTS: dict[Check, str] = {
    Check.MISTAKE: "{detail}",
    Check.FOREIGN_PLACE: "{place} {detail}",
    Check.JOURNAL: "{detail}",
    Check.SEALING_KEY: "{detail}",
    Check.AUDIT: "{detail}",
    Check.AUDIT_EXPORT: "{checkpoints} not taken",
    Check.DISK: "{megabytes} MB free",
    Check.CALLED: "{called}",
    Check.PLUGINS: "{plugins}",
    Check.PASSED_OVER: "{detail}",
    Check.WITHOUT_KEY: "{without}",
    Check.ROTATION_STUCK: "{detail}",
    Check.NOT_REVOKED: "{old_key}",
    Check.KEY_GONE: "its current key {key} is gone at the provider",
    Check.CHANNEL: "nobody would be told: {detail}",
    Check.NOT_SENT: "{left}",
    Check.ELSEWHERE: "{detail}",
    Check.NODES: "{nodes}",
    Check.PREFLIGHT: "{detail}",
    Check.NOTHING_HINDERS: "nothing hinders a rotation",
}
_ALL_RIGHT: dict[Check, str] = {  # in place of these where nothing is wrong
    Check.SEALING_KEY: "opens the journal",
    Check.AUDIT: "it is the one whose checkpoints were signed",
    Check.AUDIT_EXPORT: "has all checkpoints",
}
_MISTAKES = frozenset({Check.MISTAKE, Check.PASSED_OVER})
_HINTS: dict[Check, str] = {
    Check.FOREIGN_PLACE: (
        f"{trust.OURS_OR_ROOTS}: chown and chmod go-w {{place}}; was it put there by somebody else?"
    ),
    Check.AUDIT: (
        "`rotator audit verify` tells more; `rotator audit restart --reason …` begins anew and"
        " names it for ever"
    ),
    Check.AUDIT_EXPORT: "`rotator audit export` tries at once, and says why not",
    Check.DISK: "the journal needs room to write",
    Check.CALLED: "{calling}",
    Check.NODES: "`rotator status` says which; bring them up to date",
    Check.WITHOUT_KEY: "{then}",
    Check.ROTATION_STUCK: "`rotator show {subject}`",
    Check.NOT_REVOKED: "`rotator show {subject}`",
    Check.NOT_SENT: "`rotator notify --test {subject}` tries it now",
    Check.KEY_GONE: "somebody deleted it: `rotate {subject} --compromised`",
}


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
    with closing(service()) as opened:
        if name:
            return _explain(explain(opened, name), as_json)
        lines = [line(one) for one in health(opened)]
        return show_findings([*lines, *_checklist(opened)], as_json)


def _checklist(opened: Service) -> Iterator[Line]:
    """Of the folders of the playbooks and of their files; and the clock, by who was asked."""
    from rotator.clients import http
    from rotator.playbook import catalog
    from rotator.playbook.registry import Registry
    from rotator.setup import checklist

    folders = [one for path in opened.directory.paths for one in (path.absolute().parent, path)]
    for playbook in opened.playbooks().playbooks.values():
        for entry in playbook.stores:
            path, host = getattr(entry.store, "path", ""), getattr(entry.store, "host", None)
            if entry.name.startswith(("dotenv ", "file ")) and not host:
                folders.append(Path(path).parent)
    files = Registry(opened.directory.paths).catalog().values()
    patterns = [one.pattern for path in files if (one := catalog.entry(path)).pattern]
    for item in (*checklist.clocks(http.skews), *checklist.checklist(folders, patterns)):
        yield Line(item.subject, item.ok, item.text, item.hint)


def _explain(found: Explanation, as_json: bool) -> int:
    code = (End.SAID if found.clean else End.FOUND).code
    why = [redact(line) for line in explained.why(found)]
    breaks = [redact(finding.text) for finding in found.breaks]
    ahead = [(at, redact(line)) for at, line in explained.ahead(found)]
    if as_json:
        row = shapes.status(found.status)
        return shapes.answer(
            code, **row, **_as_data(found, why, breaks, [text for _, text in ahead])
        )
    console.put(found.status.name)
    for fact in explained.facts(found):
        console.put(f"  {redact(fact)}", 4)
    _put_wrong("what holds it up", why)
    _put_wrong("what would stop a rotation now", breaks)
    if ahead:
        console.put("next:")
        rows = [(words.moment(at) if at is not None else "a person", what) for at, what in ahead]
        console.table(rows, indent=2)
    return code


def _as_data(
    found: Explanation, why: list[str], breaks: list[str], ahead: list[str]
) -> dict[str, Any]:
    """Each sentence beside what does not change with its wording."""

    def about(code: Why | Event, debt: Debt | None) -> dict[str, Any]:
        return {"code": str(code), "old_key": shapes.key(debt.key if debt is not None else None)}

    return {
        "why": [
            {**about(one.why, one.debt), "text": text}
            for one, text in zip(found.reasons, why, strict=True)
        ],
        "breaks": [
            {"text": text, "hint": redact(one.hint) or None}
            for one, text in zip(found.breaks, breaks, strict=True)
        ],
        "next": [
            {**about(one.event, one.debt), "at": shapes.at(one.at), "text": text}
            for one, text in zip(found.next, ahead, strict=True)
        ],
    }


def _put_wrong(title: str, lines: list[str]) -> None:
    if lines:
        console.put(f"{title}:")
    for line in lines:
        console.put(f"  ✗ {line}", 4)


def line(checked: Checked) -> Line:
    values = _values(checked)
    text = _ALL_RIGHT.get(checked.check) if checked.ok else None
    hint = "" if checked.ok else _HINTS.get(checked.check, "").format(**values) or checked.hint
    return Line(
        checked.subject,
        checked.ok,
        text or TEXTS[checked.check].format(**values),
        hint,
        End.MISTAKE if checked.check in _MISTAKES else End.FOUND,
    )


def _called(found: Callers) -> str:
    """Who calls `rotate --due`, and when that last was."""
    last = found.last
    ago = f"{words.age(last.at, found.now)} by {last.who}" if last is not None else "never"
    if found.running:
        return f"the daemon looked what is due {ago}"
    by = f" ({', '.join(found.started)})" if found.started else ""
    if not found.scheduled:
        return f"no playbook has a schedule; `rotate --due` was last called {ago}"
    if found.nobody:
        waits = count(found.scheduled, "playbook has a schedule", "playbooks have a schedule")
        idle = f"; {' and '.join(found.idle)} is installed and not started" if found.idle else ""
        return f"{waits}, and nobody calls `rotate --due`{idle} (last: {ago})"
    return f"`rotate --due` was {'never called yet' if last is None else f'last called {ago}'}{by}"


def _calling(found: Callers) -> str:
    """What to do where nobody does."""
    if found.silent:
        return "is it started, does it fail? `systemctl list-timers`, or the log of cron"
    if found.idle:
        return f"`systemctl enable --now {found.idle[0]}`"
    return "`rotator daemon`, or a timer that calls `rotate --due`: docs/run-it.md"


def _nodes(found: Sequence[NodeStatus], channels: str) -> str:
    alive = ", ".join(dict.fromkeys(one.name for one in found if one.alive)) or "none"
    differ = ", ".join(dict.fromkeys(name for one in found for name in one.differs))
    texts = f"; they have read different texts of {differ}" if differ else ""
    notify = f"; they have other settings of [notify] for {channels}" if channels else ""
    return f"alive: {alive}{texts}{notify}"


def _values(checked: Checked) -> dict[str, object]:
    """What stands in the sentences."""
    values: dict[str, object] = {
        "subject": checked.subject,
        "detail": checked.detail,
        "place": checked.place,
        "megabytes": checked.number // 1_000_000,
        "checkpoints": count(checked.number, "checkpoint was", "checkpoints were"),
        "plugins": " and ".join(count(number, kind) for kind, number in checked.plugins),
        "key": checked.key,
    }
    if checked.key is not None:
        values["without"] = words.without(checked.subject, checked.key)
        values["then"] = words.then(checked.subject)
    values["nodes"] = _nodes(checked.nodes, checked.detail)
    if checked.callers is not None:
        values["called"] = _called(checked.callers)
        values["calling"] = _calling(checked.callers)
    if checked.channel is not None:
        values["left"] = not_sent(checked.channel)
    if checked.debt is not None:
        values["old_key"] = words.debt_words(checked.debt)
    return values
