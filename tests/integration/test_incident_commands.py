"""What the verbs of an incident say and how they end: exit codes, sentences, hints, JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_commands import Said, run

__all__ = ["run"]

Run = Callable[..., Said]


def change(home: Path, before: str, after: str) -> None:
    path = home / "playbooks" / "one.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.fixture
def rotated(run: Run, home: Path) -> Run:
    """Twice: a key in force, and an old one in its grace."""
    assert run("rotate", "one").code == 0
    change(home, "grace: 0s", "grace: 24h")
    assert run("rotate", "one").code == 0
    return run


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ("restart: {{uses: command, run: [{missing}]}}\nevidence: none", "restart"),
        (
            "restart: {{uses: command, run: ['true'], ready: [{missing}]}}\nevidence: answers",
            "restart",
        ),
        ("verify: [{{uses: provider}}, {{uses: command, run: [{missing}]}}]", "probe"),
    ],
)
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("#!/bin/sh\n"), "cannot be executed"),
        (
            lambda path: (path.write_text("#!/no/such/shell\n"), path.chmod(0o755)),
            "needs /no/such/shell",
        ),
    ],
)
def test_a_program_that_cannot_run_is_found_before_anything_is_made(
    run: Run, home: Path, part: str, where: str, make: Callable[[Path], None], says: str
) -> None:
    """By `rotate`, and by the plan, the dry run and the doctor alike."""
    missing = home / "restart.sh"
    make(missing)
    change(home, "revoke: {", part.format(missing=missing) + "\nrevoke: {")
    for command in (("rotate", "one"), ("rotate", "one", "--dry-run"), ("plan", "one")):
        said = run(*command)
        assert said.code == 6 and says in said.out + said.err, said
    assert run("doctor").code == 1
    assert not (home / "key").exists()


def test_a_program_by_its_name_alone_is_looked_for_in_the_path(run: Run, home: Path) -> None:
    change(
        home,
        "revoke: {",
        "restart: {uses: command, run: [no-such-program-here]}\nevidence: none\nrevoke: {",
    )
    said = run("plan", "one")
    assert said.code == 6 and "the program no-such-program-here does not exist" in said.out


def test_the_programs_of_stores_and_providers_too(run: Run, home: Path) -> None:
    change(home, "store: {uses: file", "store: {uses: command, write: [/no/store]}\nx: {")
    path = home / "playbooks" / "one.yaml"
    path.write_text(
        "\n".join(line for line in path.read_text().splitlines() if not line.startswith("x: "))
    )
    change(home, f"probe: [{sys.executable}, ", "probe: [/no/probe, ")
    said = run("plan", "one")
    assert (
        said.code == 6
        and "/no/store does not exist" in said.out
        and "/no/probe does not exist" in said.out
    )
    assert "  generate  a new key by command" in said.out, "the plan is shown all the same"


def test_all_mistakes_at_once_and_the_very_same_as_rotate_tells(run: Run, home: Path) -> None:
    """A provider whose list fails, a store that cannot be read, a restarter that is not there."""
    (home / "keys.py").write_text("import sys; sys.exit(3)")
    change(home, "revoke: {", "restart: {uses: process, pid_file: /no/app.pid}\nrevoke: {")
    (home / "key").mkdir()
    planned, rotated = run("plan", "one"), run("rotate", "one")
    assert planned.code == rotated.code == 6
    for words in ("ended with 3", "app.pid is not there"):
        assert words in planned.out and words in rotated.out + rotated.err, (planned, rotated)
    assert "in force  it is not sure which key is in force" in planned.out


def test_a_plan_says_which_key_it_is_about(run: Run, home: Path) -> None:
    first = run("plan", "one")
    assert first.code == 0 and "in force  no key: no store holds one" in first.out
    assert run("rotate", "one").code == 0
    again = run("rotate", "one", "--dry-run")
    assert again.code == 0 and "in force  k" in again.out, again.out


def test_a_dry_run_of_an_incident_shows_what_it_would_do(rotated: Run) -> None:
    plain = rotated("rotate", "one", "--dry-run")
    assert "the old key after 1 d" in plain.out
    leaked = rotated("rotate", "one", "--dry-run", "--compromised")
    assert leaked.code == 0 and "no grace, no quiet" in leaked.out and "first " not in leaked.out
    first = rotated("rotate", "one", "--dry-run", "--compromised", "--revoke-first")
    assert first.code == 0 and "revoked before anything else" in first.out
    assert rotated("keys", "one").out.count("alive") == 2, "nothing was changed"
    unknown = rotated(
        "rotate", "one", "--dry-run", "--compromised", "--revoke-first", "--key", "nonsense"
    )
    assert unknown.code == 6 and "nobody knows the key nonsense" in unknown.out


def test_keys_only_looks(rotated: Run) -> None:
    said = rotated("keys", "one")
    assert said.code == 1 and "old, grace" in said.out and "in force" in said.out
    assert rotated("revoke", "one").code == 0
    after = rotated("keys", "one", "--json")
    assert after.code == 0 and [one["alive"] for one in after.json["keys"]].count(True) == 1
    assert rotated("keys", "nobody").code == 2


def test_keys_of_all_and_those_that_no_journal_knows(run: Run, home: Path) -> None:
    """Never rotated: it is the store that says which key is in use.

    A journal that was lost: the label says whose.
    """
    nothing = run("keys", "one")
    assert nothing.code == 1 and "no key is known" in nothing.out, (
        "nothing was seen, so nothing is all right"
    )
    assert run("rotate", "one").code == 0
    shutil.rmtree(home / "state")
    said = run("keys")
    assert said.out.startswith("one\n") and "the journal does not know it; it works" in said.out
    assert said.code == 0, "it is in the store and works"
    assert run("keys", "--key", "k0").code == 2
    (home / "key").write_text("nonsense")
    assert run("keys", "one").code == 1


def test_keys_says_which_leaked_while_it_is_in_force_still(rotated: Run, home: Path) -> None:
    assert rotated("keys", "one", "--key", "k1").code == 0
    change(
        home,
        "revoke: {",
        "restart: {uses: command, run: ['true'], ready: ['false']}\nevidence: answers\nrevoke: {",
    )
    assert rotated("rotate", "one", "--compromised").code == 4
    said = rotated("keys", "one", "--key", "k1")
    assert said.code == 1 and "in force, and leaked; it works" in said.out, said


def test_the_dry_run_of_a_rotation_under_way_names_both_keys(rotated: Run, home: Path) -> None:
    change(
        home,
        "revoke: {",
        "restart: {uses: command, run: ['true'], ready: ['false']}\nevidence: answers\nrevoke: {",
    )
    assert rotated("rotate", "one", "--compromised").code == 4
    said = rotated("rotate", "one", "--compromised", "--dry-run")
    assert (
        "in force  k1; a rotation is under way (stuck)" in said.out and "generate  k2 (" in said.out
    ), said.out


def test_the_dry_run_of_a_key_of_nobody_here_touches_no_other_key(rotated: Run, home: Path) -> None:
    said = rotated("rotate", "one", "--compromised", "--revoke-first", "--key", "k0", "--dry-run")
    assert said.code == 0 and "first     k0" in said.out and "generate" not in said.out, said.out


def test_the_dry_run_of_a_playbook_that_is_gone_says_that_no_new_key_would_be_made(
    rotated: Run, home: Path
) -> None:
    (home / "playbooks" / "one.yaml").rename(home / "playbooks" / "two.yaml")
    said = rotated("rotate", "one", "--compromised", "--revoke-first", "--dry-run")
    assert (
        said.code == 0 and "first     k1, k0" in said.out and "no new key would be made" in said.out
    ), said


def test_what_became_of_the_leaked_key_is_the_last_that_is_said(rotated: Run) -> None:
    said = rotated("rotate", "one", "--compromised", "--reason", "seen in a log")
    assert said.code == 0 and "k1 is dead, proven: it was refused" in said.out, said
    shown = rotated("show", "one").out
    assert "verified · the old key leaked" in shown and "seen in a log" in shown
    assert "verified, leaked" in rotated("history", "one").out


def test_an_order_that_was_refused_is_to_be_given_once_more(rotated: Run, home: Path) -> None:
    """No order of it is kept: the clock would rotate it as if nothing had happened, with a grace of
    a day.
    """
    change(home, "generate: [", "generate: [/no/such/program, ")
    said = rotated("rotate", "one", "--compromised")
    assert said.code == 6 and "`rotate one --compromised` once more" in said.err, said


def test_an_incident_says_what_became_of_each_key(rotated: Run, home: Path) -> None:
    said = rotated("rotate", "one", "--compromised", "--revoke-first", "--reason", "seen in a log")
    assert said.code == 0 and said.out.count("is dead, proven") == 2 and "verified" in said.out
    again = rotated("rotate", "one", "--compromised", "--revoke-first", "--json")
    (killed,) = again.json["playbooks"][0]["killed"]
    assert killed["ending"] == "dead" and killed["proof"] == "refused"
    assert rotated("rotate", "one", "--key", "x").code == 2


def test_a_provider_that_cannot_destroy_asks_a_person(rotated: Run, home: Path) -> None:
    text = (home / "playbooks" / "one.yaml").read_text()
    (home / "playbooks" / "one.yaml").write_text(
        "\n".join(line for line in text.splitlines() if "keys.py, revoke," not in line)
    )
    assert rotated("rotate", "one").code == 0
    said = rotated("rotate", "one", "--compromised", "--revoke-first")
    assert said.code == 5 and "lives until a person destroys it" in said.err, said
    assert "rotator confirm one" in said.err and "rotator keys one" in said.err
    assert rotated("status").code == 4


def test_a_provider_that_does_not_answer_is_told_and_tried_again(rotated: Run, home: Path) -> None:
    script = (home / "keys.py").read_text()
    change(home, "limits: {", "limits: {")
    (home / "keys.py").write_text("import sys\nif sys.argv[1] == 'revoke': sys.exit(75)\n" + script)
    said = rotated("rotate", "one", "--compromised", "--revoke-first")
    assert said.code == 4 and "still lives" in said.err and "tried again" in said.err
    (home / "keys.py").write_text(script)
    assert rotated("resume", "one", "--wait").code == 0
    assert rotated("keys", "one").code == 0


def test_a_rotation_is_abandoned_renamed_and_forgotten(rotated: Run, home: Path) -> None:
    change(home, "revoke: {", "restart: {uses: command, run: ['false']}\nevidence: none\nrevoke: {")
    assert rotated("rotate", "one", "--compromised").code == 4
    ended = rotated("abandon", "one", "--json")
    assert ended.code in (0, 4) and ended.json["key"]["hint"]
    assert rotated("abandon", "one").code == 6
    change(home, "run: ['false']", "run: ['true']")
    assert rotated("rotate", "one", "--wait", "--compromised").code in (0, 4)
    (home / "playbooks" / "one.yaml").rename(home / "playbooks" / "two.yaml")
    assert rotated("rename", "one", "two").code == 0
    assert rotated("history", "two").out.count("two") >= 3
    (home / "playbooks" / "two.yaml").unlink()
    refused = rotated("forget", "two")
    assert refused.code == 6 and refused.err
    assert rotated("forget", "two", "--key", "nonsense").code == 6


def test_abandoned_in_words(run: Run, home: Path) -> None:
    assert run("rotate", "one").code == 0
    change(home, "revoke: {", "restart: {uses: command, run: ['false']}\nevidence: none\nrevoke: {")
    assert run("rotate", "one", "--compromised").code == 4
    said = run("abandon", "one", "--reason", "enough")
    assert "abandoned, as ordered" in said.out and "rotator keys one" in said.out
    (home / "playbooks" / "one.yaml").unlink()
    for key in ("keys.json",):
        (home / key).write_text("[]")
    assert run("forget", "one").code in (0, 6)


def test_resume_takes_the_playbook_as_it_is_today(run: Run, home: Path) -> None:
    assert run("rotate", "one").code == 0
    change(home, "revoke: {", "restart: {uses: command, run: ['false']}\nevidence: none\nrevoke: {")
    assert run("rotate", "one", "--compromised").code == 4
    change(home, "run: ['false']", "run: ['true']")
    told = run("resume", "one")
    assert (
        told.code == 4
        and "the playbook says otherwise by now" in told.err
        and "--today" in told.err
    )
    said = run("resume", "one", "--today")
    assert said.code == 0 and "as today: restart" in said.out, said
    assert run("resume", "--all", "--today").code == 2
    assert run("resume", "one", "--give-up", "x").code == 2
