"""A link that leads to itself, no room for one file more, a plugin that raises what
nobody foresaw.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator import deadline
from rotator.clients import programs
from rotator.demo.world import _installed
from rotator.errors import TransientError
from rotator.integrations.files.file import FileStore
from tests.integration.test_commands import Said, run

__all__ = ["run"]
Run = Callable[..., Said]


def _change(home: Path, was: str, now: str) -> None:
    path = home / "playbooks" / "one.yaml"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, now))


@pytest.mark.parametrize(
    "command", [["rotate", "one"], ["plan", "one"], ["doctor"], ["adopt", "one"]]
)
@pytest.mark.parametrize("store", ["file", "dotenv"])
def test_a_loop_of_links_is_told_as_one(
    run: Run, home: Path, command: list[str], store: str
) -> None:
    (home / "a").symlink_to("b")
    (home / "b").symlink_to("a")
    key = ", key: KEY" if store == "dotenv" else ""
    was = f"store: {{uses: file, path: {home}/key, create: true}}"
    _change(home, was, f"store: {{uses: {store}, path: {home}/a{key}}}")
    said = run(*command)
    assert said.code != 0 and "Too many levels of symbolic links" in said.out + said.err, said
    assert "internal" not in said.out + said.err and "did not foresee" not in said.out + said.err


def test_too_few_files_are_refused_before_anything_begins(home: Path) -> None:
    command = f"ulimit -n 16; exec {' '.join(_installed('rotate'))} --due"
    environment = {
        **os.environ,
        "ROTATOR_HOME": str(home / "state"),
        "ROTATOR_PLAYBOOKS": str(home / "playbooks"),
    }
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "may open 16 files only" in done.stderr, done
    assert not (home / "state" / "journal.db").exists()


def test_a_program_that_has_no_room_now_is_asked_again() -> None:
    """All numbers of files are taken at this moment: it did not run, and may later."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, before[1]))
        with pytest.raises(TransientError, match="cannot be started now: Too many open files"):
            programs.run(["/bin/true"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for file in taken:
            os.close(file)
    with deadline.until(deadline.within(20)):
        assert programs.run(["/bin/true"]).code == 0


@pytest.mark.parametrize(
    "error", [RuntimeError, RecursionError, NotImplementedError, KeyError, AssertionError]
)
def test_a_plugin_that_raises_what_nobody_foresaw_ends_its_own_rotation_alone(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Its rotation is refused and told, in `plan` as in `rotate`, and the other playbooks go on."""

    def fails(store: FileStore) -> object:
        if store.path.endswith("odd"):
            raise error("nobody foresaw this")
        return []

    text = (home / "playbooks" / "one.yaml").read_text()
    (home / "playbooks" / "odd.yaml").write_text(
        text.replace(f"path: {home}/key", f"path: {home}/odd")
    )
    monkeypatch.setattr(FileStore, "preflight", fails)
    planned, said = run("plan", "odd"), run("rotate", "--due")
    assert planned.code == 6 and "did not foresee" in planned.out, planned
    assert said.code == 6 and (home / "key").exists(), said
