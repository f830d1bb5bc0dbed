"""What a process shows of itself: whose environment is gone, who has another's number, who stays
the same one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.clients import procfs
from rotator.clients.procfs import Missing
from rotator.errors import NotFound, TransientError
from rotator.integrations.memory import world as memory
from rotator.model import Change, Evidence, Finding, single
from rotator.playbook.registry import Registry
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.report import Report
from rotator.usecases.service import Request, Service

# What a service does first; then it writes its pid file and waits for a signal.
_HEAD = "import ctypes, os, pathlib, signal, sys, time\npid_file, env_file = sys.argv[1:3]\n"
_TAIL = """
new = pathlib.Path(pid_file + '.new'); new.write_text(str(os.getpid())); new.rename(pid_file)
while True: time.sleep(60)
"""
_ERASES = """
fields = open('/proc/self/stat').read().rpartition(')')[2].split()
begin, end = int(fields[47]), int(fields[48])  # env_start, env_end: see proc(5)
title = {title!r}[:end - begin]
ctypes.memmove(begin, title + bytes({whole} * (end - begin - len(title))), len(title) or end - begin)
if {whole}: ctypes.memset(begin + len(title), 0, end - begin - len(title))
"""
_ENDS = "signal.signal(signal.SIGHUP, lambda *_: os._exit(0))\n"
_EXECUTES_ITSELF = """
def again(*_):
    env = dict(os.environ, KEY=pathlib.Path(env_file).read_text().strip().partition('=')[2])
    os.execve(sys.executable, [sys.executable, *sys.argv], env)
signal.signal(signal.SIGHUP, again)
"""
_TWO_MASTERS = """
def again(*_):
    if os.fork() == 0:
        env = dict(os.environ, KEY=pathlib.Path(env_file).read_text().strip().partition('=')[2])
        os.execve(sys.executable, [sys.executable, sys.argv[0], pid_file + '.2', env_file], env)
signal.signal(signal.SIGUSR2, again)
"""
_PLAYBOOK = """
description: a service of this machine
generate: {{uses: memory, issuer: {name}}}
store: [{{uses: dotenv, path: {folder}/.env, key: KEY}}]
restart: [{{uses: process, pid_file: {folder}/app.pid, signal: {signal}, env: KEY}}]
evidence: {evidence}
revoke: {{grace: 0s, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, step: 3s, list_lag: 0s}}
"""


class App:
    """A service that gets the variable KEY from its .env file as it stands there, and a supervisor
    that starts it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.pid_file, self.env_file = folder, folder / "app.pid", folder / ".env"
        self.starts = 0
        self.others: list[procfs.Process] = []  # that it started itself
        self._ended = False
        self._keeper: threading.Thread | None = None
        self.holds("old-value")

    def holds(self, key: str) -> None:
        self.env_file.write_text(f"KEY={key}\n")
        self.env_file.chmod(0o600)

    def start(self, does: str = "", variable: bool = True, argv: list[str] | None = None) -> int:
        (self.folder / "app.py").write_text(_HEAD + does + _TAIL)
        argv = argv or [
            sys.executable,
            str(self.folder / "app.py"),
            str(self.pid_file),
            str(self.env_file),
        ]
        self._keeper = threading.Thread(target=self._keep, args=(argv, variable))
        self._keeper.start()
        until(lambda: self.pid_file.exists() and self.pid_file.read_text().strip())
        return int(self.pid_file.read_text())

    def _keep(self, argv: list[str], variable: bool) -> None:
        while not self._ended:
            key = {"KEY": self.env_file.read_text().strip().partition("=")[2]} if variable else {}
            with subprocess.Popen(argv, env={"PATH": os.environ["PATH"], **key}) as running:
                self.starts += 1
                while running.poll() is None and not self._ended:
                    time.sleep(0.02)
                running.kill()

    def stop(self) -> None:
        self._ended = True
        if self._keeper is not None:
            self._keeper.join()
        for (
            process
        ) in self.others:  # never by a number that stands in a file: tests write any there
            with contextlib.suppress(ProcessLookupError):
                procfs.send(process, signal.SIGKILL)

    def watched(self, **settings: Any) -> Any:
        plugin: Any = Registry().find("restarter", "process")
        return plugin(pid_file=str(self.pid_file), **settings)

    def change(self) -> Change:
        """The new key stands in the file from now on."""
        self.holds("new-value")
        return Change("r.1", time.time(), single("new-value"))


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as found:
        yield found
        found.kill()


def errors(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level == "error"]


def signalled(watched: Any, change: Change) -> None:
    """As the engine does: again while it says 'not now'."""
    while True:
        try:
            return watched.restart(change)
        except TransientError as error:
            time.sleep(error.retry_in or 0.05)


# --- what the environment shows ---
OVERWRITTEN = {
    "erased": _ERASES.format(title=b"", whole=True),
    "a title": _ERASES.format(title=b"app: master process", whole=True),
    "a title over the beginning": _ERASES.format(title=b"er [app]\0", whole=False),
    "blanks": _ERASES.format(title=b" " * 4096, whole=False),
}


@pytest.mark.parametrize("does", OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_an_overwritten_environment_tells_nothing_and_its_process_counts_by_its_start(
    does: str, app: App
) -> None:
    pid = app.start(does)
    found = procfs.variable(pid, "KEY")
    assert found in (
        Missing.OVERWRITTEN,
        Secret("old-value"),
    )  # a short title leaves the rest readable
    assert procfs.variable(pid, "ANOTHER") is Missing.OVERWRITTEN
    watched, change = app.watched(signal="TERM", env="KEY"), app.change()
    assert not errors(watched.preflight()) and not watched.progress(change).converged
    signalled(watched, change)
    until(lambda: watched.progress(change).converged)
    (instance,) = watched.progress(change).instances
    assert instance.started_at > change.since and (instance.holds is None) == bool(instance.untold)


def test_a_service_that_reads_its_file_itself_never_shows_the_variable(app: App) -> None:
    """python-dotenv's way: told before the start, and never taken for restarted."""
    app.start(_ENDS, variable=False)
    watched = app.watched(signal="TERM", env="KEY")
    (finding,) = watched.preflight()
    assert "does not show KEY: its environment has no such variable" in finding.text
    assert "leave `env` out" in finding.hint
    change = app.change()
    signalled(watched, change)
    until(lambda: app.starts == 2)
    until(lambda: "has no such variable" in watched.progress(change).text)
    assert not watched.progress(change).converged


def test_a_wrapper_in_the_pid_file_is_told(app: App) -> None:
    """It started the program, and has no key itself."""
    inner = (
        f"KEY=$(cat {app.env_file}) {sys.executable} {app.folder}/app.py {app.folder}/inner.pid"
        f" {app.env_file}"
    )
    app.start(variable=False, argv=["sh", "-c", f"echo $$ > {app.pid_file}; {inner}; :"])
    until((app.folder / "inner.pid").exists)
    app.others.append(procfs.from_pid_file(app.folder / "inner.pid"))
    told = errors(app.watched(signal="TERM", env="KEY").preflight())
    assert len(told) == 2 and "(sh) does not show KEY" in told[1]
    (text,) = errors(app.watched(signal="TERM").preflight())
    assert (
        f"is a shell that runs {app.others[0]}" in text
        and "leave that one, with the old key" in text
    )


def test_a_script_that_passes_the_signal_on_is_no_wrapper(app: App) -> None:
    inner = f"{sys.executable} {app.folder}/app.py {app.folder}/inner.pid {app.env_file}"
    script = f"trap 'kill $child; exit' TERM; {inner} & child=$!; echo $$ > {app.pid_file}; wait"
    app.start(variable=False, argv=["sh", "-c", script])
    until((app.folder / "inner.pid").exists)
    app.others.append(procfs.from_pid_file(app.folder / "inner.pid"))
    assert not errors(app.watched(signal="TERM").preflight())


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_a_process_of_another_user_is_told_before_the_start(app: App) -> None:
    """Who may neither read its environment nor signal it is told both."""
    number = app.start()
    with tempfile.NamedTemporaryFile("w", suffix=".pid") as pid_file:  # where everybody may read
        pid_file.write(str(number))
        pid_file.flush()
        Path(pid_file.name).chmod(0o644)
        plugin: Any = Registry().find("restarter", "process")
        told = " ".join(
            as_nobody(
                lambda: errors(plugin(pid_file=pid_file.name, signal="TERM", env="KEY").preflight())
            )
        )
    assert "may not be signalled" in told and "its environment may not be read" in told


def as_nobody(act: Callable[[], list[str]]) -> list[str]:
    """What another user gets, in a process of its own."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(write, "\n".join(act()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        found = told.read().splitlines()
    os.wait()
    return found


# --- whom the pid file names ---
def test_a_process_younger_than_the_pid_file_did_not_write_it(
    app: App, stranger: subprocess.Popen[bytes]
) -> None:
    """A dead service's number, which somebody else has by now: refused before the start, and before
    each signal.
    """
    app.pid_file.write_text(str(stranger.pid))
    os.utime(app.pid_file, (time.time() - 86_400,) * 2)
    watched = app.watched(signal="HUP")
    (finding,) = watched.preflight()
    assert f"names process {stranger.pid} (sleep), which started 86400 s after" in finding.text
    with pytest.raises(NotFound, match="another one"):
        watched.restart(app.change())
    assert not watched.progress(app.change()).converged and stranger.poll() is None
    os.utime(app.pid_file)  # the way out where only the clock was set
    assert not errors(watched.preflight())


def test_a_number_that_was_given_on_right_before_the_signal_is_seen(
    stranger: subprocess.Popen[bytes],
) -> None:
    """The file was read, the service ended, the number went to somebody else: that one is not
    signalled.
    """
    found = procfs.process(stranger.pid)
    assert found is not None
    ended = procfs.Process(found.pid, found.started_at - 5, found.start - 500, "app")
    with pytest.raises(ProcessLookupError):
        procfs.send(ended, signal.SIGTERM)
    assert stranger.poll() is None
    procfs.send(found, signal.SIGTERM)
    assert stranger.wait() == -signal.SIGTERM


@pytest.mark.parametrize(
    "text", ["", "\n", "-1", "0", "1_0", "٣", "app", "99999999999999999999", "0x10", "3000000000"]
)
def test_what_is_no_number_of_a_process_names_none(text: str, app: App) -> None:
    """-1 would mean everybody, 0 our own group."""
    app.pid_file.write_text(text)
    with pytest.raises(NotFound, match="names no running process"):
        procfs.from_pid_file(app.pid_file)


def test_a_thread_is_no_process(app: App) -> None:
    """A signal to its number would reach the process that it belongs to."""
    begun, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (begun.set(), over.wait()))
    thread.start()
    begun.wait()
    app.pid_file.write_text(str(thread.native_id))
    with pytest.raises(NotFound, match=f"is a thread of process {os.getpid()}"):
        procfs.from_pid_file(app.pid_file)
    over.set()
    thread.join()


def test_a_process_that_will_not_act_on_the_signal_is_told(app: App) -> None:
    """Started with nohup, say; or stopped."""
    pid = app.start("signal.signal(signal.SIGHUP, signal.SIG_IGN)\n")
    assert [
        text
        for text in errors(app.watched(signal="HUP", env="KEY").preflight())
        if "ignores SIGHUP" in text
    ]
    assert errors(app.watched(signal="WINCH", env="KEY").preflight())
    os.kill(pid, signal.SIGSTOP)
    until(
        lambda: "is stopped" in " ".join(errors(app.watched(signal="TERM", env="KEY").preflight()))
    )
    os.kill(pid, signal.SIGCONT)


def test_a_process_that_waits_for_the_signal_acts_on_it_though_its_parent_ignored_it(
    app: App,
) -> None:
    """Started with nohup, and it waits for its signals in a thread: sigwait, signalfd."""
    ignored, blocked = (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
        "signal.pthread_sigmask(0, [signal.SIGHUP])",
    )
    app.start(f"{ignored}\n{blocked}\n")
    assert errors(app.watched(signal="HUP", env="KEY").preflight()) == []
    (told,) = errors(app.watched(signal="HUP").preflight())
    assert "handles SIGHUP itself" in told


# --- one that goes on as the same process ---
def test_one_that_executes_itself_again_has_the_same_number_and_start_and_the_new_key(
    app: App,
) -> None:
    pid = app.start(_EXECUTES_ITSELF)
    watched, change = app.watched(signal="HUP", env="KEY"), app.change()
    began = procfs.process(pid)
    assert not errors(watched.preflight()) and not watched.progress(change).converged
    signalled(watched, change)
    until(lambda: watched.progress(change).converged)
    (instance,) = watched.progress(change).instances
    assert instance.holds == Secret("new-value") and began is not None
    assert (found := procfs.process(pid)) is not None and found.start == began.start
    watched.restart(change)
    time.sleep(0.1)
    assert watched.progress(change).converged and app.starts == 1


def test_where_nothing_would_show_it_another_proof_is_asked_for_before_the_start(app: App) -> None:
    """A handled HUP may mean anything; TERM means an end; an environment that shows the key, or a
    program, tells.
    """
    app.start(_ENDS)
    (text,) = errors(app.watched(signal="HUP").preflight())
    assert "handles SIGHUP itself" in text
    assert not errors(app.watched(signal="TERM").preflight())
    assert not errors(app.watched(signal="HUP", env="KEY").preflight())
    assert not errors(app.watched(signal="HUP", ready=["true"]).preflight())


def test_a_program_says_when_it_runs_with_the_key(app: App) -> None:
    """75 is 'not yet'; without a variable that is all there is, and it is called so."""
    app.start(_EXECUTES_ITSELF)
    mark = app.folder / "reloaded"
    watched = app.watched(
        signal="HUP", ready=["sh", "-c", f"test -e {mark} || {{ echo loading; exit 75; }}"]
    )
    assert (
        watched.evidence is Evidence.ANSWERS
        and app.watched(env="KEY", ready=["true"]).evidence is Evidence.READ
    )
    change = app.change()
    signalled(watched, change)
    assert (asked := watched.progress(change)).text == "loading" and not asked.converged
    mark.touch()
    assert watched.progress(change).converged


def test_a_second_master_beside_the_first_is_no_restart(app: App) -> None:
    """gunicorn's USR2: the first one stays, with the old key, until it is told to leave."""
    pid = app.start(_TWO_MASTERS)
    watched, change = app.watched(signal="USR2", env="KEY"), app.change()
    signalled(watched, change)
    second = app.folder / "app.pid.2"
    until(second.exists)
    app.others.append(procfs.from_pid_file(second))
    assert procfs.variable(app.others[0].pid, "KEY") == Secret("new-value")
    told = watched.progress(change)
    assert not told.converged
    assert told.text == f"{procfs.process(pid)} was sent SIGUSR2 and still shows another key in KEY"


# --- whole rotations ---
@pytest.fixture
def rotate(app: App, tmp_path: Path) -> Iterator[Callable[..., Report]]:
    name = tmp_path.name
    app.holds(memory.WORLD.issuer(name).create("by hand").value)
    (tmp_path / "playbooks").mkdir()
    settings = Settings(
        tmp_path, playbooks=(tmp_path / "playbooks",), database_url=f"sqlite:///{tmp_path}/j.db"
    )
    service = Service(settings, "test")

    def run(evidence: str, number: str = "TERM") -> Report:
        text = _PLAYBOOK.format(name=name, folder=tmp_path, evidence=evidence, signal=number)
        (tmp_path / "playbooks" / "one.yaml").write_text(text)
        return service.rotate("one", Request(wait=True))

    yield run
    service.close()


def test_an_erased_environment_costs_one_restart_and_is_never_called_read(
    app: App, rotate: Any
) -> None:
    app.start(OVERWRITTEN["erased"])
    old = app.env_file.read_text()
    refused = rotate("read")
    assert refused.code == 6 and app.env_file.read_text() == old
    assert refused.rotation and "overwritten its environment" in refused.rotation.problem
    report = rotate("started")
    assert report.code == 0 and app.starts == 2 and app.env_file.read_text() != old


def test_a_rotation_of_a_service_that_executes_itself_again(app: App, rotate: Any) -> None:
    app.start(_EXECUTES_ITSELF)
    assert rotate("read", "HUP").code == 0 and app.starts == 1


def test_in_undo_an_instance_that_shows_what_it_showed_before_is_well(
    app: App, rotate: Any
) -> None:
    """Its reader takes the quotes of the file for part of the value: it never shows the key, and
    never did.
    """
    key = app.env_file.read_text().strip().partition("=")[2]
    app.env_file.write_text(f'KEY="{key}"\n')
    app.start()
    report = rotate("none")
    assert report.code == 3 and app.env_file.read_text() == f'KEY="{key}"\n'
    until(lambda: procfs.variable(int(app.pid_file.read_text()), "KEY") == Secret(f'"{key}"'))
