"""Keys that are typed, named or answered where none belongs, and words that would steer
a terminal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_commands import Said, run

__all__ = ["run"]
KEY = "sk-svcacct-Q9zPastedPastedPasted77kk22LLmm44"
NASTY = f"leaked {KEY}\r\nerror: forged\x1b[2J\x9b31m\u202e"


def everything(home: Path, said: Said) -> str:
    """What was told, and what the journal keeps."""
    with closing(sqlite3.connect(home / "state" / "journal.db")) as journal:
        return said.out + said.err + "".join(journal.iterdump())


def obeyed(said: Said) -> list[str]:
    """What a terminal would not print but obey."""
    return [char for char in said.out + said.err if not char.isprintable() and char != "\n"]


def forged(said: Said) -> bool:
    """Whether a line of ours began in the middle of somebody's words."""
    return any(line.startswith("error: forged") for line in (said.out + said.err).splitlines())


@pytest.mark.parametrize(
    "typed",
    [
        ["rotate", "one", f"--{KEY}"],
        ["supply", "one", KEY],
        ["check", KEY],
        ["plugins", KEY],
        ["show", KEY],
        ["rotate", KEY],
        ["pause", "one", "--until", KEY, "--reason", "x"],
        ["revoke", "one", "--key", KEY],
        ["audit", "verify", KEY],
        [KEY],
    ],
)
def test_a_key_that_is_typed_where_none_belongs_is_not_repeated(
    run: Callable[..., Said], typed: list[str]
) -> None:
    said = run(*typed)
    assert said.code != 0 and KEY not in said.out + said.err and said.err.startswith("error: "), (
        said
    )


IN_THE_PLACE_OF_A_NAME = """
generate: {{uses: openai, project: p, admin_key: {{{kind}: {key}}}}}
store: {{uses: file, path: {home}/k, create: true}}
"""


@pytest.mark.parametrize("kind", ["env", "file"])
@pytest.mark.parametrize(
    "command",
    [["rotate", "one", "--dry-run"], ["plan", "one", "--json"], ["rotate", "one"], ["doctor"]],
)
def test_a_key_in_the_place_of_its_name_is_not_told(
    run: Callable[..., Said], home: Path, command: list[str], kind: str
) -> None:
    playbook = IN_THE_PLACE_OF_A_NAME.format(kind=kind, key=KEY, home=home)
    (home / "playbooks" / "one.yaml").write_text(playbook)
    said = run(*command)
    wrong = "needs the name of a variable, and this is none" if kind == "env" else "does not exist"
    assert wrong in said.out + said.err and KEY not in said.out + said.err, said


def test_what_is_no_name_of_a_variable_is_a_mistake_before_the_journal_keeps_it(
    run: Callable[..., Said], home: Path
) -> None:
    run("rotate", "one", "--wait")
    (home / "playbooks" / "one.yaml").write_text(
        IN_THE_PLACE_OF_A_NAME.format(kind="env", key=KEY, home=home)
    )
    said = run("rotate", "one")
    assert said.code == 2 and KEY not in everything(home, said)


@pytest.mark.parametrize(
    "command",
    [
        ["pause", "one", "--until", "1h"],
        ["rotate", "one"],
        ["undo", "one"],
        ["audit", "restart"],
    ],
)
def test_a_reason_holds_no_key_and_begins_no_line(
    run: Callable[..., Said], home: Path, command: list[str]
) -> None:
    run("rotate", "one", "--wait")
    given = run(*command, "--reason", NASTY)
    shown = [
        ["status"],
        ["status", "--json"],
        ["show", "one"],
        ["audit", "tail"],
        ["history", "--json"],
    ]
    for said in (given, *(run(*arguments) for arguments in shown)):
        assert KEY not in everything(home, said)
        assert not obeyed(said) and not forged(said)


def test_other_peoples_words_steer_no_terminal(run: Callable[..., Said], home: Path) -> None:
    """A playbook's description, a program's last words: as they are met by rotate, show, doctor,
    status.
    """
    playbook = (home / "playbooks" / "one.yaml").read_text()
    evil = 'description: "\\e]0;title\\a\\e[2J \\u202e x\\nerror: forged"'
    (home / "restart.sh").write_text(
        "#!/bin/sh\nprintf 'a\\033[2Jb\\b\\177\\342\\200\\256c' >&2\nexit 3\n"
    )
    (home / "restart.sh").chmod(0o755)
    playbook = playbook.replace("description: a key made by a program", evil)
    playbook += f"restart: {{uses: command, run: [{home}/restart.sh]}}\nevidence: none\n"
    (home / "playbooks" / "one.yaml").write_text(playbook)
    for command in (
        ["rotate", "one"],
        ["show", "one"],
        ["status"],
        ["doctor"],
        ["status", "--json"],
        ["audit", "tail"],
    ):
        said = run(*command)
        assert not obeyed(said), (command, obeyed(said))
        assert not forged(said)


@pytest.mark.parametrize("where", ["{} text/html x", "text/html {} x", "text/html x-{}-x"])
def test_an_answer_that_names_the_key_is_kept_without_it(
    run: Callable[..., Said], home: Path, where: str
) -> None:
    """Where no JSON came, too: in the type of the content, or in the content."""
    from tests.hostile.test_answers import serving

    def answer(connection) -> None:  # type: ignore[no-untyped-def]
        kind, _, body = where.format(ADMIN).partition(" ")
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n{body}".encode())
        connection.shutdown(2)

    ADMIN = "adm1n-CANARYadminCANARY00112233"
    (home / "admin").write_text(ADMIN)
    (home / "admin").chmod(0o600)
    (home / "key").write_text("a-key-that-is-in-force-8f3k2m9x7q")
    with serving(answer) as url:
        (home / "playbooks" / "one.yaml").write_text(
            f"generate: {{uses: openai, project: p, base_url: '{url}', admin_key: {{file:"
            f" {home}/admin}}}}\nstore: {{uses: file, path: {home}/key}}\n"
        )
        said = run("rotate", "one")
    assert "is not JSON but" in said.err and ADMIN not in everything(home, said)
    assert ADMIN not in json.dumps(run("show", "one", "--json").json)


def test_a_mistake_that_quotes_a_playbook_begins_no_line(
    run: Callable[..., Said], home: Path
) -> None:
    """The name of a setting, and of a playbook's file."""
    playbook = home / "playbooks" / "one.yaml"
    playbook.write_text(playbook.read_text() + '"odd\\nerror: forged\\e[2J": 1\n')
    for command in (["validate"], ["rotate", "one"], ["plan", "one"], ["status"], ["doctor"]):
        said = run(*command)
        assert not obeyed(said) and not forged(said), (command, said)
