"""A variable that is already in the environment wins over the .env file, with most of its readers.

So a process that was started anew may run with the old key all the same: its supervisor exports it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator.clients import procfs
from rotator.core.state import Outcome
from rotator.model import Change, single
from rotator.secret import Secret
from rotator.usecases.service import Request
from tests.integration.conftest import Bench
from tests.servers.tools import wait_for

_APP = """
import os, pathlib, time
pid = pathlib.Path("app.pid"); new = pid.with_suffix(".new")
new.write_text(str(os.getpid())); new.rename(pid)
time.sleep(60)
"""
_SUPERVISOR = 'while :; do "$0" app.py; done'
_PLAYBOOK = """
generate: {uses: memory, issuer: one}
store: [{uses: dotenv, path: app.env, key: APP_KEY}]
restart: [{uses: process, pid_file: app.pid, signal: TERM%s}]
evidence: started
revoke: {grace: 0s, quiet: 0s, soak: 0s, watch: 0s}
limits: {pass_interval: 1ms, step: 5s, list_lag: 0s}
"""
Start = Callable[..., None]


@pytest.fixture
def bench(tmp_path: Path, memory_world: object) -> Iterator[Bench]:
    found = Bench(tmp_path, f"sqlite:///{tmp_path / 'journal.db'}")
    yield found
    found.service.close()


@pytest.fixture
def start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """The app under a supervisor that exports these variables."""
    monkeypatch.chdir(bench.folder)
    running: list[subprocess.Popen[bytes]] = []

    def started(**exported: str) -> None:
        (bench.folder / "app.py").write_text(_APP)
        argv = ["/bin/sh", "-c", _SUPERVISOR, sys.executable]
        environment = {"PATH": os.environ["PATH"], **exported}
        running.append(subprocess.Popen(argv, env=environment, start_new_session=True))
        wait_for("the app", (bench.folder / "app.pid").exists, 20)

    yield started
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _book(bench: Bench, more: str = "") -> str:
    """The playbook, and the .env file with the key in force; that key."""
    old = bench.stored
    path = bench.folder / "playbooks" / "one.yaml"
    text = _PLAYBOOK.replace("app.", f"{bench.folder}/app.") % more
    path.write_text(text)
    (bench.folder / "app.env").write_text(f"APP_KEY={old}\n")
    (bench.folder / "app.env").chmod(0o600)
    return old


def test_a_process_whose_environment_keeps_the_old_key_is_no_proof_of_the_new_one(
    bench: Bench, start: Start
) -> None:
    """It was started anew, and the old key is all that it has: that one must live."""
    old = _book(bench)
    start(APP_KEY=old)
    report = bench.service.rotate("one", Request(wait=True))
    assert report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK, report
    assert "in its environment" in report.rotation.problem and "APP_KEY" in report.rotation.problem
    assert bench.live == [old] and (bench.folder / "app.env").read_text() == f"APP_KEY={old}\n"
    pid = procfs.from_pid_file(bench.folder / "app.pid").pid
    assert procfs.variable(pid, "APP_KEY") == Secret(old)


@pytest.mark.parametrize("exports", [False, True])
def test_where_the_file_wins_or_stands_alone_the_new_process_is_the_proof(
    bench: Bench, start: Start, exports: bool
) -> None:
    old = _book(bench, ", overrides: true" if exports else "")
    start(**({"APP_KEY": old} if exports else {}))
    report = bench.service.rotate("one", Request(wait=True))
    assert report.code == 0, report
    (new,) = bench.live
    assert new != old and (bench.folder / "app.env").read_text() == f"APP_KEY={new}\n"


def test_on_the_way_back_a_process_whose_environment_has_the_old_key_is_signalled_all_the_same(
    bench: Bench, start: Start
) -> None:
    """That its environment fits is no proof: its reader may let the file win, which had the new
    key when it started.
    """
    old = _book(bench)
    start(APP_KEY=old)
    before = time.time()
    report = bench.service.rotate("one", Request(wait=True))
    assert report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK, report
    started = procfs.from_pid_file(bench.folder / "app.pid").started_at
    assert started > before and started > (bench.folder / "app.env").stat().st_mtime


def test_a_look_is_told_of_what_an_environment_keeps_and_not_of_what_the_file_may_have_won(
    bench: Bench, start: Start
) -> None:
    """The process that shows the key in force may hold another, which the file had when it
    started: only its start tells.
    """
    old = _book(bench)
    start(APP_KEY=old)
    playbook = bench.service.playbooks().get("one")
    assert playbook is not None
    restarter = playbook.consumers[0].restarter

    def held(in_force: str) -> str | None:
        (one,) = restarter.shown(Change("look", 0.0, single(in_force))).instances
        return one.holds.reveal() if one.holds is not None else None

    assert held("another-key-that-is-in-force") == old
    assert held(old) is None
