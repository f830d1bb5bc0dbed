"""The command line: exit codes, `error:` and `hint:`, JSON; on real files, a program as
provider.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from rotator.cli import entry
from rotator.cli.main import cli
from rotator.cli.rotate import rotate_command
from rotator.playbook import registry
from rotator.views import callers
from rotator.views.explain import Event, Why
from tests.contract.test_providers import _SCRIPT

PLAYBOOK = """
description: a key made by a program
schedule: {{every: 30d}}
generate:
  uses: command
  generate: [{python}, -IS, {folder}/keys.py, generate, {folder}/keys.json]
  list: [{python}, -IS, {folder}/keys.py, list, {folder}/keys.json]
  revoke: [{python}, -IS, {folder}/keys.py, revoke, {folder}/keys.json]
  probe: [{python}, -IS, {folder}/keys.py, probe, {folder}/keys.json]
store: {{uses: file, path: {folder}/key, create: true}}
revoke: {{grace: 0s, quiet: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, list_lag: 0s, step: 2s}}
"""


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`rotator …` (or `rotate …`) in a fresh home, on a machine whose crontab calls it."""
    crontab = home / "machine" / "etc" / "crontab"
    crontab.parent.mkdir(parents=True)
    crontab.write_text("*/5 * * * * rotator rotate --due\n")
    monkeypatch.setattr(callers, "ROOT", home / "machine")
    monkeypatch.setenv("ROTATOR_HOME", str(home / "state"))
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(home / "playbooks"))
    (home / "keys.py").write_text(_SCRIPT)
    (home / "playbooks" / "one.yaml").write_text(
        PLAYBOOK.format(python=sys.executable, folder=home)
    )

    def invoke(*arguments: str) -> Said:
        program, command = (
            ("rotate", rotate_command) if arguments[0] == "rotate" else ("rotator", cli)
        )
        monkeypatch.setattr(
            sys, "argv", [program, *(arguments[1:] if program == "rotate" else arguments)]
        )
        with pytest.raises(SystemExit) as ended:
            entry._run(command, program)
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return invoke


def test_the_first_key_is_made_where_there_was_none(run: Callable[..., Said], home: Path) -> None:
    said = run("rotate", "one", "--wait")
    assert said.code == 0 and "verified in" in said.out, said
    assert (home / "key").read_text() == "cmd-secret-value-k0"


def test_a_rotation_as_json(run: Callable[..., Said], home: Path) -> None:
    run("rotate", "one", "--wait")
    said = run("rotate", "one", "--wait", "--json")
    (found,) = said.json["playbooks"]
    assert (said.code, found["rotation"]["outcome"], found["exit_code"]) == (0, "verified", 0)
    assert [step["step"] for step in found["steps"]] == [
        "preflight",
        "generate",
        "store",
        "verify",
        "revoke",
    ]
    keys = json.loads((home / "keys.json").read_text())
    assert [key["alive"] for key in keys.values()] == [False, True]


def test_due_rotates_once_and_then_has_nothing_to_do(run: Callable[..., Said]) -> None:
    assert "1 rotated" in run("rotate", "--due").out
    assert "nothing was due" in run("rotate", "--due").out


def test_due_counts_what_it_did(run: Callable[..., Said], home: Path) -> None:
    """Refused, or waiting for a person: neither is called rotated."""
    asked = (
        "schedule: {every: 30d}\ngenerate: {uses: operator}\nstore: {uses: file, path: %s, create:"
        " true}\n"
    )
    probed = "verify: [{uses: command, run: [sh, -c, 'cat >/dev/null']}]\n"
    (home / "playbooks" / "person.yaml").write_text(asked % (home / "person-key") + probed)
    (home / "playbooks" / "wrong.yaml").write_text(
        (asked % (home / "typo")).replace(", create: true", "") + probed
    )
    first = run("rotate", "--due")
    assert "3 were looked at: 1 rotated, 1 waits for a person, 1 refused." in first.out, first


def test_a_broken_playbook_is_told_and_the_others_are_done(
    run: Callable[..., Said], home: Path
) -> None:
    (home / "playbooks" / "bad.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    said = run("rotate", "--due")
    assert said.code == 2 and "did you mean 'openai'?" in said.err and "1 rotated" in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("rotate",), 2, "say --due"),
        (("rotate", "nobody"), 2, "there is no playbook 'nobody'"),
        (("rotate", "one", "--revoke-first"), 2, "say --compromised"),
        (("rotate", "one", "--nonsense"), 2, "No such option"),
        (("resume", "one"), 6, "has nothing to resume"),
        (("supply", "one"), 6, "does not wait for a key"),
        (("show", "r-zzzzz"), 2, "there is no rotation"),
        (("plugins", "nonsense"), 2, "there is no plugin"),
        (("check", "nonsense"), 2, "no provider 'nonsense'"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_a_hint(
    run: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("some-new-key"))
    said = run(*arguments)
    assert said.code == code and f"{words}" in said.err and "hint: " in said.err, said


def test_a_key_that_a_program_printed_before_it_failed_is_nowhere(
    run: Callable[..., Said], home: Path
) -> None:
    """Nobody knows it yet, so no redactor does: not on the terminal, in the journal, in the audit
    log.
    """
    key = "zq7nobodyknowsthisone"
    text = (home / "keys.py").read_text()
    (home / "keys.py").write_text(
        f"import sys\nif sys.argv[1] == 'generate':\n    print('{key}'); sys.exit('made {key}, then"
        f" failed')\n{text}"
    )
    said = [
        run("rotate", "one"),
        run("show", "one", "--json"),
        run("audit", "export"),
        run("status"),
        run("doctor"),
    ]
    assert (
        said[0].code != 0
        and "ended with 1: what it printed is not shown" in said[0].err + said[1].out
    ), said[:2]
    assert not any(key in one.out + one.err for one in said)
    kept = [path.read_bytes() for path in (home / "state").rglob("*") if path.is_file()]
    assert kept and not any(key.encode() in found for found in kept)


OURS = {
    name: f"canary-of-{name}"
    for name in ("ADMIN_KEY", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "KUBECONFIG")
}


@pytest.mark.parametrize("inherit", [[], ["AWS_SECRET_ACCESS_KEY", "ADMIN_KEY"]])
def test_what_a_program_starts_does_not_have_rotators_own_credentials(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch, inherit: list[str]
) -> None:
    """The application that `restart.sh` starts would have the admin key and the sealing key for as
    long as it runs.
    """
    key = base64.b64encode(b"k" * 32).decode()
    for name, value in {**OURS, "ROTATOR_KEY": key, "SOME_OTHER": "stays"}.items():
        monkeypatch.setenv(name, value)
    seen = home / "application.environ"
    (home / "restart.sh").write_text(
        f'#!/bin/sh\nsh -c \'tr "\\\\0" "\\\\n" </proc/$$/environ\' >{seen}\n'
    )
    (home / "restart.sh").chmod(0o755)
    restart = (
        f"restart: [{{uses: command, run: [{home}/restart.sh], inherit:"
        f" {json.dumps(inherit)}}}]\nevidence: none\n"
    )
    with (home / "playbooks" / "one.yaml").open("a") as file:
        file.write(restart)
    (home / "playbooks" / "two.yaml").write_text(  # another one's administrator counts, too
        "generate: {uses: openrouter, management_key: {env: ADMIN_KEY}}\nstore: [{uses: file, path:"
        " /nowhere/key}]\n"
    )
    assert run("rotate", "one").code == 0
    had = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert had["SOME_OTHER"] == "stays" and had["ROTATOR_CHANGE"]
    assert {name: had[name] for name in OURS if name in had} == {
        name: OURS[name] for name in inherit
    }
    assert {name for name in had if name.startswith("ROTATOR_")} == {
        "ROTATOR_CHANGE",
        "ROTATOR_SINCE",
    }
    assert key not in seen.read_text()


def test_a_forged_audit_log_is_told_until_it_is_begun_anew(
    run: Callable[..., Said], home: Path
) -> None:
    assert (said := run("audit", "verify")).code == 0 and "nothing yet" in said.out
    assert run("rotate", "one", "--wait").code == 0 and run("audit", "verify").code == 0
    assert (
        said := run("audit", "restart", "--reason", "why not")
    ).code == 6 and "is whole" in said.err
    with sqlite3.connect(home / "state" / "journal.db") as journal:
        journal.execute("DELETE FROM checkpoints")
    for verb in (("audit", "verify"), ("db", "check"), ("doctor",)):
        said = run(*verb)
        assert said.code == 1 and "remembers that it signed checkpoint" in said.out + said.err, said
    assert run("rotate", "one", "--wait").code == 0, "a broken log is no outage"
    assert run("audit", "verify").code == 1
    assert run("audit", "export", str(home / "unsigned.jsonl")).code == 0
    assert run("audit", "verify", str(home / "unsigned.jsonl")).code == 1
    assert run("audit", "restart", "--reason", " ").code == 2
    assert run("audit", "restart", "--reason", "ticket 4711").code == 0
    assert (
        said := run("audit", "verify")
    ).code == 0 and "ticket 4711; nobody vouches for" in said.out
    assert (
        run("rotate", "one", "--wait").code == 0
        and run("doctor").code == run("db", "check").code == 0
    )
    assert run("audit", "export", str(home / "signed.jsonl")).code == 0
    said = run("audit", "verify", str(home / "signed.jsonl"))
    assert said.code == 0 and "ticket 4711" in said.out and "--key tells" in said.out
    assert run("audit", "verify", "--json").json["restarts"][0]["reason"] == "ticket 4711"


def test_the_audit_goes_outside_and_a_place_that_is_away_is_told(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTATOR_AUDIT_EXPORT", f"cat >>{home}/outside/all.jsonl")
    said = run("rotate", "one", "--wait")
    assert said.code == 0 and "was not taken outside" in said.err, "it holds nothing up"
    assert (said := run("doctor")).code == 1 and "not taken" in said.out
    assert said.err.count("was not taken outside") == 0, "who looks does not wait for it"
    (home / "outside").mkdir()
    assert run("rotate", "one", "--wait").err == "" and run("doctor").code == 0
    key = run("audit", "key").out.strip()
    said = run("audit", "verify", str(home / "outside" / "all.jsonl"), "--key", key)
    assert said.code == 0 and ", 0 records after the last one" in said.out
    assert run("audit", "verify", "--checkpoints", str(home / "outside" / "all.jsonl")).code == 0


def test_a_failing_program_changes_nothing(run: Callable[..., Said], home: Path) -> None:
    (home / "keys.py").write_text("import sys; sys.exit('the vault is closed')")
    said = run("rotate", "one")
    assert (
        said.code == 6 and "the vault is closed" in said.err and "nothing was changed" in said.err
    )


def test_a_plan_shows_what_would_happen_and_changes_nothing(
    run: Callable[..., Said], home: Path
) -> None:
    said = run("rotate", "one", "--dry-run")
    assert said.code == 0 and "the old key after 0 s" in said.out and not (home / "key").exists()
    assert run("plan", "one", "--json").json["playbooks"][0]["stores"] == [
        {"name": f"file {home}/key", "follows": False}
    ]


def test_a_plan_offline_asks_nobody(run: Callable[..., Said], home: Path) -> None:
    """Neither the provider, nor a store, nor a journal: it works where none of them is."""
    (home / "keys.py").write_text(f"open({str(home / 'asked')!r}, 'w')")
    said = run("plan", "--offline")
    assert said.code == 0 and "nobody was asked" in said.out, said
    assert f"file {home}/key" in said.out and "the old key after 0 s" in said.out
    assert not (home / "asked").exists() and not (home / "state").exists()
    (found,) = run("plan", "one", "--offline", "--json").json["playbooks"]
    assert (found["offline"], found["sure"], found["findings"]) == (True, False, [])


def test_a_plan_offline_tells_every_mistake(run: Callable[..., Said], home: Path) -> None:
    (home / "playbooks" / "two.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    said = run("plan", "--offline")
    assert said.code == 2 and "two.yaml:1:18" in said.err and "did you mean 'openai'" in said.err
    assert f"file {home}/key" in said.out, "the other one is planned all the same"
    assert run("plan", "one", "--offline").code == 0, "a mistake of another one is not asked for"
    assert run("plan", "two", "--offline", "--json").json["playbooks"] == []
    assert run("plan", "three", "--offline").code == 2
    assert run("plan").code == 2


def test_looking_back(run: Callable[..., Said], home: Path) -> None:
    run("rotate", "one", "--wait", "--reason", "drill")
    assert run("status", "--json").json["playbooks"][0]["state"] == "ok"
    short = run("history", "--json").json["rotations"][0]["short"]
    shown = run("show", short)
    assert "drill" in shown.out and "pivot" in shown.out and "cmd-secret" not in shown.out
    assert run("audit", "verify").code == 0
    export = home / "audit.jsonl"
    assert run("audit", "export", str(export)).code == 0
    key = run("audit", "key").out.strip()
    assert run("audit", "verify", str(export), "--key", key).code == 0
    export.write_text(export.read_text().replace("drill", "thrill"))
    said = run("audit", "verify", str(export))
    assert said.code == 1 and "was changed" in said.err


def test_a_pause_by_tag_is_ended_by_its_tag(run: Callable[..., Said], home: Path) -> None:
    """Whoever types the playbook's name is told which pause holds it."""
    path = home / "playbooks" / "one.yaml"
    path.write_text(path.read_text() + "tags: [payments]\n")
    assert run("pause", "--tag", "payments", "--until", "3d", "--reason", "the launch").code == 0
    assert run("status", "--json").json["playbooks"][0]["pause"]["reason"] == "the launch"
    refused = run("rotate", "one")
    assert refused.code == 6 and "the launch" in refused.err and "--tag payments" in refused.err
    told = run("resume", "one")
    assert told.code == 6 and "`rotator resume --tag payments`" in told.err
    assert run("rotate", "--due").code == 0 and not (home / "key").exists()
    assert run("resume", "--tag", "payments").code == 0
    assert run("rotate", "one", "--wait").code == 0 and (home / "key").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "one", "--until", "yesterday", "--reason", "x"),
        ("pause", "one", "--until", "2001-01-01", "--reason", "x"),
        ("pause", "--until", "3d", "--reason", "x"),
        ("pause", "one", "--all", "--until", "3d", "--reason", "x"),
        ("pause", "nobody", "--until", "3d", "--reason", "x"),
    ],
)
def test_a_pause_that_is_none_is_refused(
    run: Callable[..., Said], arguments: tuple[str, ...]
) -> None:
    said = run(*arguments)
    assert said.code in (2, 6) and "error:" in said.err and "hint:" in said.err


def test_doctor_explains_one_playbook(run: Callable[..., Said]) -> None:
    run("rotate", "one", "--wait")
    told = run("doctor", "--explain", "one")
    assert told.code == 0 and "rotated" in told.out and "next:" in told.out
    assert run("doctor", "--explain", "one", "--json").json["why"] == []
    assert run("doctor", "--explain", "nobody").code == 2


def test_doctor_explains_in_json_by_codes_that_no_wording_changes(
    run: Callable[..., Said],
) -> None:
    """Each stands in the page about JSON."""
    assert run("rotate", "one").code == 0
    assert run("pause", "--all", "--until", "1h", "--reason", "the launch").code == 0
    found = run("doctor", "--explain", "one", "--json").json
    (paused,) = [one for one in found["why"] if one["code"] == "paused"]
    assert "the launch" in paused["text"] and paused["old_key"] is None
    assert {"code", "old_key", "at", "text"} == set(found["next"][0])
    assert "pause_ends" in {one["code"] for one in found["next"]}
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    assert not [code for code in (*Why, *Event) if f"`{code}`" not in page]


def test_upkeep(run: Callable[..., Said], home: Path) -> None:
    run("rotate", "one", "--wait")
    assert run("db", "check").code == 0
    assert run("db", "backup", str(home / "copy.db")).code == 0
    assert run("db", "rekey").code == 0 and run("db", "check").code == 0
    assert run("db", "upgrade").code == 0
    assert run("rotate", "one", "--wait").code == 0


def test_a_lost_key_is_told_and_can_be_left_behind(run: Callable[..., Said], home: Path) -> None:
    run("rotate", "one", "--wait")
    (home / "state" / "rotator.key").unlink()
    assert run("db", "check").code == 1 and run("doctor").code == 1
    said = run("db", "rekey", "--lost")
    assert said.code == 0 and "audit restart --reason" in said.out and run("db", "check").code == 1
    assert run("rotate", "one", "--wait").code == 0 and run("audit", "verify").code == 1
    assert run("audit", "restart", "--reason", "the key was lost").code == 0
    assert (
        run("rotate", "one", "--wait").code == 0
        and run("audit", "verify").code == run("db", "check").code == 0
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", ["journal.db", "rotator.key"])
def test_doctor_sees_a_journal_or_a_key_that_somebody_else_put_there(
    run: Callable[..., Said], home: Path, name: str
) -> None:
    assert run("rotate", "one").code == 0 and run("doctor").code == 0
    os.chown(home / "state" / name, 12345, 12345)
    said = run("doctor")
    assert said.code == 1 and f"{home / 'state' / name} belongs to uid 12345" in said.out, said


def test_doctor_sees_a_home_that_others_may_write_to(run: Callable[..., Said], home: Path) -> None:
    assert run("rotate", "one").code == 0
    (home / "state").chmod(0o777)
    said = run("doctor")
    assert said.code == 1 and "home: " in said.out and "may be written by everyone" in said.out, (
        said
    )


def test_doctor_and_check(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run("doctor").code == 0
    assert "OPENAI_API_KEY is not set" in run("check").out
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-abcdefghijklmnopqrstuv\n")
    assert "stray spaces or newlines" in run("check", "openai").out
    monkeypatch.setenv("OPENAI_API_KEY", "nonsense")
    assert "does not look like" in run("check", "openai").out
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-abcdefghijklmnopqrstuv")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    assert "cannot be tried" in run("check", "openai").out


def test_check_has_a_line_for_each_key_of_a_pool(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_API_KEY_10", "OPENAI_API_KEY_2"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("OPENAI_API_KEY_3", "")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "/run/key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    lines = [line.split()[2] for line in run("check", "openai").out.splitlines() if "set (" in line]
    assert lines == ["OPENAI_API_KEY", "OPENAI_API_KEY_2", "OPENAI_API_KEY_10"]
    monkeypatch.delenv("OPENAI_API_KEY")
    said = run("check", "openai").out
    assert "OPENAI_API_KEY_2 is set" in said and "OPENAI_API_KEY is not set" not in said


OWN_FILE = """
name: Ours
console: https://ours.example/keys
docs: https://ours.example/docs
env: [OURS_API_KEY]
pattern: 'ours-[a-z]{{8}}'
settings: {{admin_key: {{secret: true, help: Makes keys}}, team: {{help: The team}}}}
api: {{{base}auth: {{bearer: admin_key}}}}
create:
  - request: {{POST: '/keys', json: {{name: '{{label}}'}}}}
    answer: {{secret: key, id: id}}
list: {{request: {{GET: /keys}}, each: {{in: data, id: id, label: [name], hint: hint}}}}
revoke:
  - request: {{DELETE: '/keys/{{id}}'}}
    gone: [404]
probe: {{request: {{GET: {probe}, auth: {{bearer: key}}}}, refused: [401]}}
"""


def test_check_knows_the_catalog_files_beside_the_playbooks(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `rotate` does: by their variable, their address and their pattern."""
    folder = home / "playbooks" / "providers"
    folder.mkdir()
    ours = folder / "ours.yaml"
    ours.write_text(OWN_FILE.format(base="base: 'http://127.0.0.1:9', ", probe="/me"))
    monkeypatch.delenv("OURS_BASE_URL", raising=False)
    assert "ours: OURS_API_KEY is not set" in run("check", "ours").out
    monkeypatch.setenv("OURS_API_KEY", "ours-abc")
    assert "does not look like a key of Ours" in run("check").out
    monkeypatch.setenv("OURS_API_KEY", "ours-abcdefgh")
    refused = run("check", "ours")
    assert refused.code == 1 and "cannot be tried: 127.0.0.1 cannot be reached" in refused.out
    ours.write_text(OWN_FILE.format(base="base: null, ", probe="/me"))
    said = run("check", "ours").out
    assert "it is self-hosted" in said and "export OURS_BASE_URL=" in said
    ours.write_text(OWN_FILE.format(base="base: 'http://127.0.0.1:9', ", probe="'/{team}/me'"))
    said = run("check", "ours").out
    assert "a playbook alone can try it" in said and "for its request has team" in said
    ours.write_text(OWN_FILE.format(base="base: 'http://127.0.0.1:9', ", probe="/me") + "nmae: x\n")
    wrong = run("check")
    assert (
        run("check", "ours").code == 2
        and "providers/ours.yaml:" in wrong.out
        and "'nmae'" in wrong.out
    )
    assert "OPENAI_API_KEY" in wrong.out, "a broken file takes no other one down"
    ours.write_text(
        OWN_FILE.format(base="base: 'http://127.0.0.1:9', ", probe="/me").replace("env: [O", "#")
    )
    assert "names no variable" in run("check", "ours").out


def test_a_directory_that_may_not_be_written_is_told(run: Callable[..., Said], home: Path) -> None:
    (home / "state").write_text("a file where the state directory should be")
    said = run("status")
    assert said.code == 1 and "error: " in said.err and "Traceback" not in said.err


def test_a_mistake_of_a_catalog_file_is_counted_once(run: Callable[..., Said], home: Path) -> None:
    """However many playbooks name it: they are told as what is not loaded for that."""
    (home / "playbooks" / "providers").mkdir()
    (home / "playbooks" / "providers" / "ours.yaml").write_text("name: [\n")
    text = (home / "playbooks" / "one.yaml").read_text()
    for name in ("two", "three"):
        new = text.replace("uses: command\n", "uses: ours\n", 1).replace("/key,", f"/{name},")
        (home / "playbooks" / f"{name}.yaml").write_text(new)
    said = run("validate")
    assert said.code == 2 and said.err.count("error:") == 1 and "providers/ours.yaml" in said.err
    assert said.out.endswith(": 1 right, 1 mistake; not loaded for that: three, two\n")
    assert len(run("validate", "--json").json["errors"]) == 1
    assert run("status").err.count("error:") == 1
    assert "1 mistake in 1 file; " in run("rotate", "--due").out
    broken = run("rotate", "two")
    assert broken.code == 2 and "the catalog file of 'ours' is wrong" in broken.err


def test_doctor_says_who_will_ever_call_and_that_nobody_does(
    run: Callable[..., Said], home: Path
) -> None:
    crontab = home / "machine" / "etc" / "crontab"
    crontab.write_text("# */5 * * * * rotator rotate --due\n")
    said = run("doctor")
    assert said.code == 1
    assert "1 playbook has a schedule, and nobody calls `rotate --due` (last: never)" in said.out
    units = crontab.parent / "systemd" / "system"
    (units / "timers.target.wants").mkdir(parents=True)
    (units / "keys.service").write_text("[Service]\nExecStart=/opt/rotator/bin/rotate --due\n")
    (units / "keys.timer").write_text("[Timer]\nOnUnitActiveSec=5min\n")
    said = run("doctor")
    assert "keys.timer is installed and not started" in said.out
    assert "hint: `systemctl enable --now keys.timer`" in said.out
    (units / "timers.target.wants" / "keys.timer").symlink_to(units / "keys.timer")
    said = run("doctor")
    assert said.code == 0 and "`rotate --due` was never called yet (keys.timer)" in said.out
    (units / "timers.target.wants" / "keys.timer").unlink()
    assert run("rotate", "--due").code == 0
    said = run("doctor")
    assert said.code == 0 and "`rotate --due` was last called " in said.out
    (units / "rotatord.service").write_text(
        "[Service]\nExecStart=/opt/rotator/bin/rotator daemon\n"
    )
    assert run("doctor").code == 0


@pytest.mark.parametrize(("verb", "code"), [("validate", 2), ("plugins", 2), ("doctor", 2)])
def test_a_package_whose_plugin_is_never_used_is_named_and_stops_nothing(
    verb: str, code: int, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = metadata.EntryPoint("store.file", "acme:Store", "rotator.plugins")
    monkeypatch.setattr(registry, "_offered", lambda: (point,))
    assert run("rotate", "one").code == 0
    said, told = run(verb), "store.file is never used: rotator has a store of that name itself"
    assert said.code == code and told in said.out + said.err
    assert told in run(verb, "--json").out


def test_validate_needs_neither_network_nor_journal(run: Callable[..., Said], home: Path) -> None:
    assert run("validate").code == 0 and not (home / "state").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_one_line_away(run: Callable[..., Said], shell: str) -> None:
    assert f"{shell}_source" in run("completion", shell).out


def test_every_verb_explains_itself(run: Callable[..., Said]) -> None:
    for verb in cli.commands:
        said = run(verb, "--help")
        assert said.code == 0 and "Usage:" in said.out


LOOKING = [
    "rotate --due",
    "rotate one",
    "rotate one --dry-run",
    "plan one",
    "validate",
    "status",
    "doctor",
]


@pytest.mark.parametrize("verb", LOOKING)
@pytest.mark.parametrize(
    "wrong", ["a directory that is not there", "an empty directory", "nothing is said or there"]
)
def test_no_playbook_is_no_success(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch, verb: str, wrong: str
) -> None:
    """A clock that rotates nothing for ever must not be green: exit 2, and where playbooks were
    looked for.
    """
    (home / "empty").mkdir()
    looked = [str(home / "typo")]
    if wrong == "an empty directory":
        looked = [str(home / "empty")]
    elif wrong == "nothing is said or there":
        monkeypatch.chdir(home / "empty")
        looked = [str(home / "empty/playbooks"), "/etc/rotator/playbooks"]
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", "" if len(looked) > 1 else looked[0])
    said = run(*verb.split())
    told = said.out + said.err
    assert (
        said.code == 2 and all(place in told for place in looked) and "ROTATOR_PLAYBOOKS" in told
    ), said
    assert "Traceback" not in told


def test_a_missing_directory_beside_a_good_one_is_told_and_the_good_one_works(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leak must be stopped though another directory is not mounted; the clock does what it can,
    and exits 2.
    """
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", f"{home / 'playbooks'}{os.pathsep}{home / 'gone'}")
    assert run("rotate", "one", "--wait").code == 0
    said = run("rotate", "--due")
    assert said.code == 2 and f"{home / 'gone'}: the directory does not exist" in said.err
    assert "1 was looked at, nothing was due" in said.out


def test_what_the_journal_knows_is_shown_though_its_playbook_is_gone(
    run: Callable[..., Said], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (home / "playbooks" / "one.yaml").read_text()
    (home / "playbooks" / "one.yaml").write_text(text.replace("grace: 0s", "grace: 1h"))
    run("rotate", "one")
    run("rotate", "one")
    (home / "playbooks" / "one.yaml").unlink()
    said = run("status")
    assert said.code == 2 and "its playbook is gone" in said.out and "holds no playbook" in said.err


def test_a_dry_run_of_whatever_is_due_is_refused(run: Callable[..., Said]) -> None:
    """It planned nothing, and was green."""
    said = run("rotate", "--due", "--dry-run")
    assert said.code == 2 and "`rotator status` tells which are due" in said.err
