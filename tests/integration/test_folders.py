"""The installed command, started in one folder after the other: the same playbook means the same
files.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_providers import _SCRIPT

PLAYBOOK = """\
generate:
  uses: command
  generate: [{python}, -IS, ../keys.py, generate, ../keys.json]
  list: [{python}, -IS, ../keys.py, list, ../keys.json]
  revoke: [{python}, -IS, ../keys.py, revoke, ../keys.json]
  probe: [{python}, -IS, ../keys.py, probe, ../keys.json]
store: {{uses: file, path: ../app/key}}
restart: {{uses: command, run: [../app/restart.sh], ready: [test, -e, ../app/restarted]}}
evidence: answers
revoke: {{grace: 0s, quiet: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, list_lag: 0s, step: 5s}}
"""


@dataclass
class World:
    """A project of which the playbooks are a part, as in a repository."""

    folder: Path

    def __post_init__(self) -> None:
        self.project, self.elsewhere = self.folder / "project", self.folder / "elsewhere"
        for path in (self.project / "playbooks", self.project / "app", self.elsewhere):
            path.mkdir(parents=True)
        (self.project / "keys.py").write_text(_SCRIPT)
        (self.project / "app" / "restart.sh").write_text("#!/bin/sh\npwd >../app/restarted\n")
        (self.project / "app" / "restart.sh").chmod(0o755)
        first = {"label": "", "value": "cmd-secret-value-k0", "alive": True}
        (self.project / "keys.json").write_text(json.dumps({"k0": first}))
        (self.project / "app" / "key").write_text(first["value"])
        self.write(PLAYBOOK)
        assert self.run(self.project, "rotator", "adopt", "one", "--id", "k0").returncode == 0

    @property
    def file(self) -> Path:
        return self.project / "playbooks" / "one.yaml"

    def write(self, text: str) -> None:
        self.file.write_text(text.format(python=sys.executable))

    def run(self, start: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        program, *rest = words
        environment = {
            **os.environ,
            "ROTATOR_HOME": str(self.folder / "state"),
            "ROTATOR_PLAYBOOKS": str(self.project / "playbooks"),
        }
        argv = [str(Path(sys.executable).with_name(program)), *rest]
        return subprocess.run(
            argv,
            cwd=start,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def stored(self) -> str:
        return (self.project / "app" / "key").read_text().strip()

    @property
    def living(self) -> list[str]:
        """The values that the issuer accepts now."""
        found = json.loads((self.project / "keys.json").read_text())
        return [key["value"] for key in found.values() if key["alive"]]

    def journal(self, statement: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.folder / "state" / "journal.db") as connection:
            return connection.execute(statement, values).fetchall()

    def from_before(self) -> None:
        """What the journal keeps is made what it was before: paths as they stand in the playbook,
        and no folder.
        """
        there, written = f"{self.project}/", "../"
        for column in ("definition", "state"):
            for one, text in self.journal(f"SELECT id, {column} FROM rotations"):
                found = json.loads(text.replace(there, written))
                found.pop("folder", None)
                self.journal(
                    f"UPDATE rotations SET {column} = ? WHERE id = ?", json.dumps(found), one
                )
        self.journal("UPDATE store_versions SET store = replace(store, ?, ?)", there, written)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_same_file_is_written_from_every_folder(world: World) -> None:
    seen = set()
    for start in (world.project, world.project / "playbooks", world.elsewhere, Path("/")):
        done = world.run(start, "rotate", "one")
        assert done.returncode == 0, done.stderr
        assert f"file {world.project}/app/key" in done.stdout, "shown absolute"
        assert world.living == [world.stored]
        seen.add(world.stored)
    assert len(seen) == 4
    assert (world.project / "app" / "restarted").read_text().strip() == str(
        world.project / "playbooks"
    )
    assert not list(world.elsewhere.iterdir())
    assert len(list(world.folder.rglob("key"))) == 1, "no other file was made"


def test_the_plan_shows_the_file_that_would_be_written(world: World) -> None:
    plan = json.loads(world.run(world.elsewhere, "rotator", "plan", "one", "--json").stdout)
    plan = plan["playbooks"][0]
    assert [store["name"] for store in plan["stores"]] == [f"file {world.project}/app/key"]
    assert plan["paths"]["../app/restart.sh"] == f"{world.project}/app/restart.sh"
    told = world.run(world.elsewhere, "rotator", "plan", "one").stdout
    assert f"../app/restart.sh is {world.project}/app/restart.sh" in told


@pytest.mark.parametrize(
    "verb", [("rotate", "one"), ("rotator", "plan", "one"), ("rotator", "validate")]
)
def test_a_file_as_it_was_read_before_is_named(world: World, verb: tuple[str, ...]) -> None:
    """A playbook from before, run as always from the project's folder: both places, exit 2, nothing
    changed.
    """
    world.write(PLAYBOOK.replace("path: ../app/key", "path: app/key"))
    done = world.run(world.project, *verb)
    assert done.returncode == 2
    assert (
        f"{world.project}/playbooks/app/key is not there, but {world.project}/app/key is"
        in done.stderr
    )
    assert f"hint: move it there, or write {world.project}/app/key" in done.stderr
    assert world.living == [world.stored] == ["cmd-secret-value-k0"]


def test_an_old_key_from_before_is_not_revoked_by_a_guess(world: World) -> None:
    """Its rotation kept relative paths: it asks, and goes on once a person has written the absolute
    ones.
    """
    world.write(PLAYBOOK.replace("grace: 0s", "grace: 1h"))
    assert world.run(world.project, "rotate", "one").returncode == 0
    world.from_before()
    done = world.run(world.elsewhere, "rotator", "revoke", "one")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"is it {world.project}/" in done.stderr and f"or {world.folder}/" in done.stderr
    assert "write the absolute path into the playbook" in done.stderr
    assert world.living == ["cmd-secret-value-k0", "cmd-secret-value-k1"]
    world.write(PLAYBOOK.replace("grace: 0s", "grace: 1h").replace("../", f"{world.project}/"))
    done = world.run(world.elsewhere, "rotator", "revoke", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.living == ["cmd-secret-value-k1"] == [world.stored]


def test_a_rotation_under_way_from_before_goes_on_in_the_playbooks_folder(world: World) -> None:
    """There both readings are one place: the plan's names are those of before, its
    stores the same.
    """
    made_by_hand = (
        "generate: {{uses: operator}}\nverify: {{uses: command, run: [test, -e, ../keys.json]}}\n"
    )
    world.write(made_by_hand + PLAYBOOK[PLAYBOOK.index("store:") :])
    assert world.run(world.project, "rotate", "one").returncode == 5
    world.from_before()
    done = world.run(
        world.elsewhere, "rotator", "supply", "one", "--id", "k9", stdin="cmd-secret-value-k9"
    )
    assert done.returncode == 2 and "is it " in done.stderr, done.stdout + done.stderr
    assert world.stored == "cmd-secret-value-k0"
    start = world.project / "playbooks"
    done = world.run(start, "rotator", "supply", "one", "--id", "k9", stdin="cmd-secret-value-k9")
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert world.stored == "cmd-secret-value-k9"
    assert not list(world.elsewhere.iterdir())


def test_a_store_whose_name_became_absolute_is_the_same_store(world: World) -> None:
    """What the journal knows of its versions stands under the relative name; the rotation after
    that is as any.
    """
    assert world.run(world.project, "rotate", "one").returncode == 0
    world.from_before()
    done = world.run(world.elsewhere, "rotate", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.living == [world.stored] == ["cmd-secret-value-k2"]
