"""Names, hints and help: what is mistyped is told by the verb that it was typed to, before anything
runs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from rotator.cli.main import cli
from tests.integration.test_commands import Said, run  # noqa: F401  (a fixture)
from tests.integration.test_json import READY, VERBS

Run = Callable[..., Said]


def _keys(home: Path) -> list[str]:
    made = home / "keys.json"
    return list(json.loads(made.read_text())) if made.exists() else []


@pytest.mark.parametrize(
    "names", [("one", "nope"), ("nope", "one"), ("one", "bad"), ("one", "one", "nope")]
)
@pytest.mark.parametrize("options", [(), ("--wait",), ("--dry-run",), ("--json",)])
def test_a_mistyped_name_among_others_is_told_before_anything_runs(
    run: Run,  # noqa: F811
    home: Path,
    names: tuple[str, ...],
    options: tuple[str, ...],
) -> None:
    (home / "playbooks" / "bad.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    said = run("rotate", *names, *options)
    assert (
        said.code == 2 and ("'nope'" in said.err or "opnai" in said.err) and "hint: " in said.err
    ), said
    assert _keys(home) == [] and run("history", "--json").json["rotations"] == []


def test_a_leak_is_not_held_up_by_another_playbooks_mistake(run: Run, home: Path) -> None:  # noqa: F811
    (home / "playbooks" / "bad.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    assert run("rotate", "one").code == 0
    assert run("rotate", "one", "bad", "--compromised").code == 2 and len(_keys(home)) == 2
    said = run("rotate", "one", "nope", "--compromised")
    assert said.code == 2 and len(_keys(home)) == 2, (
        "what was mistyped is another thing than what is broken"
    )


NAMED = [verb for verb, given in READY.items() if "one" in given and verb != "rename"]


@pytest.mark.parametrize("verb", NAMED)
def test_each_verb_says_that_nobody_knows_the_name(
    run: Run,  # noqa: F811
    home: Path,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it asks for anything: a key that was typed for a name that does not exist was typed in
    vain.
    """

    class Never:
        def isatty(self) -> bool:
            return True

        def read(self) -> str:
            raise AssertionError("it asked before it looked")

    def asked(*_: object, **__: object) -> str:
        raise AssertionError("it asked before it looked")

    monkeypatch.setattr("sys.stdin", Never())
    monkeypatch.setattr(click, "prompt", asked)
    given = ["nope" if word == "one" else word for word in READY[verb]]
    said = run(verb, *given)
    assert said.code in (2, 6) and "nope" in said.err and "hint: " in said.err, said


def test_rename_and_explain_know_no_stranger_either(run: Run) -> None:  # noqa: F811
    assert run("rename", "nope", "one").code == run("doctor", "--explain", "nope").code == 2


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_usage_hint_names_its_own_verb(run: Run, verb: str) -> None:  # noqa: F811
    said = run(*verb.split(), "--nonsense")
    typed = verb if verb == "rotate" else f"rotator {verb}"
    assert said.code == 2 and f"hint: `{typed} --help` shows" in said.err, said


@pytest.mark.parametrize("verb", ["", "audit", "db", *sorted(VERBS)])
def test_each_help_page_fits_and_has_examples_that_can_be_typed(
    run: Run,  # noqa: F811
    home: Path,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(home)
    (home / "audit.jsonl").touch()
    said = run(*verb.split(), "--help")
    assert said.code == 0 and all(len(line) <= 80 for line in said.out.splitlines()), said.out
    assert "..." not in said.out.partition("Commands:")[2], "a verb is told in a whole sentence"
    shown = said.out.partition("Example")[2].splitlines()[1:]
    lines = [line.strip() for line in shown if line.strip()]
    assert lines and all(line.startswith(("rotate", "rotator", "eval")) for line in lines), said.out
    for line in lines:
        words = shlex.split(
            line.split(" | ")[0].split(" <")[0].split(" >")[0].replace("$(date +%F)", "1")
        )
        if words[0] == "eval":
            continue
        name = (
            "rotate"
            if words[0] == "rotate"
            else next((one for one in VERBS if words[1 : 1 + len(one.split())] == one.split()), "")
        )
        assert name and (not verb or name == verb or name.startswith(f"{verb} ")), line
        rest = words[1:] if name == "rotate" else words[1 + len(name.split()) :]
        VERBS[name].make_context(name, rest)


def test_each_verb_has_json(run: Run) -> None:  # noqa: F811
    for verb, command in VERBS.items():
        if verb == "daemon":  # it stays, and answers by HTTP
            continue
        assert any(option.name == "as_json" for option in command.params), verb
    assert set(cli.commands) >= {"status", "audit", "db"}


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("one", 0, "one: 1 right, 0 mistakes"),
        ("bad", 2, "there is no provider 'opnai'"),
        ("nope", 2, "there is no playbook 'nope'"),
        ("{home}/playbooks", 2, "1 right, 1 mistake"),
        ("{home}/playbooks/one.yaml", 0, "1 right, 0 mistakes"),
        ("{home}/elsewhere/new.yaml", 2, "new.yaml:1:18"),
        ("{home}/elsewhere/gone.yaml", 2, "gone.yaml does not exist"),
        ("{home}/playbooks/providers/acme.yaml", 2, "acme.yaml"),
        ("gone.yml", 2, "gone.yml does not exist"),
    ],
)
def test_one_file_one_directory_or_one_name_is_validated(
    run: Run,  # noqa: F811
    home: Path,
    what: str,
    code: int,
    words: str,
) -> None:
    bad = "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    (home / "playbooks" / "bad.yaml").write_text(bad)
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "new.yaml").write_text(bad)
    (home / "playbooks" / "providers").mkdir()
    (home / "playbooks" / "providers" / "acme.yaml").write_text("name: Acme\n")
    said = run("validate", what.format(home=home))
    assert said.code == code and words in said.out + said.err, said
    assert not (home / "state").exists(), "it needs no journal"


def test_history_of_a_name_that_nobody_knows_is_an_error(run: Run, home: Path) -> None:  # noqa: F811
    said = run("history", "nope")
    assert said.code == 2 and "there is no playbook 'nope'" in said.err
    assert run("history", "one").out == "one was never rotated\n"
    run("rotate", "one")
    (home / "playbooks" / "one.yaml").rename(home / "playbooks" / "two.yaml")
    assert run("history", "one").code == 0, "the journal knows it still"
