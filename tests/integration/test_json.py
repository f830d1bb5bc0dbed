"""What `--json` prints: one object from each verb, of the same shapes, with data for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from rotator.cli.main import cli
from rotator.cli.rotate import rotate_command
from tests.integration.test_commands import Said, run  # noqa: F401  (a fixture)

Run = Callable[..., Said]
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_SHAPES = {
    "key": {"id", "hint", "fingerprint"},
    "rotation": {
        *(
            "id",
            "short",
            "playbook",
            "phase",
            "outcome",
            "problem",
            "question",
            "hint",
            "old_key",
            "new_key",
        ),
        *("compromised", "back", "possible_orphan", "by", "reason", "began", "ended"),
    },
    "old_keys": {
        "key",
        "cause",
        "phase",
        "open",
        "attention",
        "until",
        "at_once",
        "ending",
        "proof",
    },
    "pause": {"scope", "since", "until", "reason", "by"},
    "errors": {"message", "hint", "place"},
    "todo": {"who", "what", "command", "at", "hint", "steps"},
    "findings": {"subject", "ok", "text", "hint"},
    "steps": {"step", "ok", "done", "error", "warnings", "seconds"},
}
_SHAPES |= {"old_key": _SHAPES["key"], "new_key": _SHAPES["key"], "in_force": _SHAPES["key"]}
_SHAPES |= {"rotations": _SHAPES["rotation"], "killed": _SHAPES["old_keys"]}
_TIMES = {"at", "until", "since", "began", "ended", "due", "last_success", "time"}


def walk(found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with the name it stands under; of a list, each entry with the list's."""
    if isinstance(found, list):
        for one in found:
            yield from walk(one, name)
        return
    yield name, found
    if isinstance(found, dict):
        for inner, value in found.items():
            yield from walk(value, inner)


def has_its_shape(said: Said, command: str) -> None:
    found = said.json
    assert found["command"] == command and found["exit_code"] == said.code, said
    for name, value in walk({key: value for key, value in found.items() if key != "records"}):
        if (
            isinstance(value, dict)
            and (wanted := _SHAPES.get(name))
            and not (name == "findings" and "level" in value)
        ):
            assert set(value) == wanted, name
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert value < 1e8, f"{name} is a time in seconds"
        if name in _TIMES and value is not None:
            assert _ISO.fullmatch(value), name
        if isinstance(value, str):
            assert value != "" and not re.search(r"\d (s|min|h|d) ago|due in", value), (
                f"{name}: {value}"
            )


def verbs(group: click.Group = cli, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        real: Any = command._real() if hasattr(command, "_real") else command
        if isinstance(real, click.Group):
            yield from verbs(real, f"{before}{name} ")
        else:
            yield f"{before}{name}", real


VERBS = {**dict(verbs()), "rotate": rotate_command}
READY = {  # what a verb is given so that it does its work; those that are not here need nothing
    "rename": ["nobody", "one"],
    "show": ["one"],
    "keys": ["one"],
    "history": ["one"],
    "plan": ["one"],
    "undo": ["one"],
    "revoke": ["one"],
    "confirm": ["one"],
    "supply": ["one"],
    "adopt": ["one"],
    "abandon": ["one"],
    "forget": ["one"],
    "pause": ["one", "--until", "3d", "--reason", "the launch"],
    "resume": ["one"],
    "completion": ["bash"],
    "audit restart": ["--reason", "why not"],
    "plugins": ["dotenv"],
}


LOOKING = [
    "status",
    "show",
    "keys",
    "history",
    "plan",
    "validate",
    "doctor",
    "check",
    "plugins",
    "completion",
]
LOOKING += ["audit tail", "audit export", "audit verify", "audit key", "db check"]
ACTING = sorted(set(VERBS) - {"demo", "schema", *LOOKING})  # what is refused has its shape as well


def test_each_verb_prints_one_object_of_the_same_shapes(
    run: Run,  # noqa: F811
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After two rotations, in the grace of an old key: what works, and what is refused."""
    import io

    playbook = home / "playbooks" / "one.yaml"
    playbook.write_text(playbook.read_text().replace("grace: 0s", "grace: 1h"))
    assert run("rotate", "one").code == run("rotate", "one").code == 0
    given = {**READY, "db backup": [str(home / "copy.db")], "rotate": ["one"]}
    for verb in [*LOOKING, *ACTING]:
        monkeypatch.setattr("sys.stdin", io.StringIO("some-new-key"))
        has_its_shape(run(*verb.split(), *given.get(verb, []), "--json"), verb)
    for more in (
        ["rotate", "--due"],
        ["rotate", "one", "--dry-run"],
        ["doctor", "--explain", "one"],
    ):
        has_its_shape(run(*more, "--json"), more[0])


def test_what_is_mistyped_is_one_object_too(run: Run) -> None:  # noqa: F811
    for verb in sorted(set(VERBS) - {"schema"}):
        said = run(*verb.split(), "--nonsense", "--json")
        assert said.code == 2 and said.json["errors"][0]["message"].startswith("No such option")
        has_its_shape(said, verb)


STATES = ["rolled back", "refused", "waits for a key", "paused", "due"]
_FAILS_ONCE = """restart: {{uses: command, run: [sh, -c, 'test -e {flag} || {{ touch {flag}; exit 1; }}']}}
evidence: none
"""


@pytest.mark.parametrize("state", STATES)
def test_status_tells_the_state_as_data(run: Run, home: Path, state: str) -> None:  # noqa: F811
    playbook = home / "playbooks" / "one.yaml"
    if state == "waits for a key":
        playbook.write_text(
            f"generate: {{uses: operator}}\nstore: {{uses: file, path: {home}/key, create: true}}\n"
            "verify: [{uses: command, run: [/bin/cat]}]\n"
        )
    elif state == "rolled back":
        assert run("rotate", "one").code == 0
        playbook.write_text(playbook.read_text() + _FAILS_ONCE.format(flag=home / "failed"))
    elif state == "refused":
        playbook.write_text(playbook.read_text().replace(", create: true", ""))
    if state == "paused":
        run("pause", "one", "--until", "3d", "--reason", "the launch")
    elif state != "due":
        run("rotate", "one")
    said = run("status", "--json")
    has_its_shape(said, "status")
    (row,) = said.json["playbooks"]
    assert row["state"] == state, row
    if state in ("rolled back", "refused"):
        assert row["rotation"]["outcome"] == state and row["rotation"]["problem"]
        assert row["todo"][0]["who"] == "person" and row["todo"][0]["command"] == "rotate one"
    if state == "waits for a key":
        assert row["todo"] == [
            {
                "who": "person",
                "what": "make the new key in the provider's console",
                "command": "rotator supply one",
                "at": None,
                "hint": None,
                "steps": [],
            }
        ]


def test_a_refusal_before_anything_begins_is_an_object(run: Run, home: Path) -> None:  # noqa: F811
    (home / "playbooks" / "bad.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    said = run("rotate", "nobody", "--json")
    has_its_shape(said, "rotate")
    assert (
        said.code == 2 and "nobody" in said.json["errors"][0]["message"] and "error: " in said.err
    )
    said = run("validate", "--json")
    has_its_shape(said, "validate")
    assert said.json["playbooks"] == ["one"] and said.json["errors"][0]["place"].endswith(
        "bad.yaml:1:18"
    )


def test_json_lines_are_unchanged_without_the_option(run: Run) -> None:  # noqa: F811
    run("rotate", "one")
    assert all("event" in json.loads(line) for line in run("audit", "tail").out.splitlines())


def test_every_part_of_a_shape_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    for shape in _SHAPES.values():
        assert not [part for part in shape if f"`{part}`" not in page]
    for verb in VERBS:
        assert f"`{verb}`" in page or f"`{verb.split()[0]} …`" in page or verb == "schema", verb
