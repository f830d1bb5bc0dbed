"""The daemon under traffic: it rotates by the clock, and survives every signal."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.demo.world import _installed
from tests.acceptance.daemons import Machine, machine
from tests.acceptance.nasty import Nasty, silent
from tests.servers.tools import wait_for

SIGNALS = 3 * min(50, int(os.environ.get("ROTATOR_KILLS", "3")))
A_STOP = 25.0  # seconds after SIGTERM in which it has ended


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, 1) as found:
        yield found


@pytest.mark.slow
def test_twenty_rotations_by_the_clock(tmp_path: Path) -> None:
    """Each once at the start, as it was never rotated, and once a minute later."""
    with machine(tmp_path, 10) as world:
        world.start_daemon()
        wait_for("twenty rotations", lambda: len(world.rotations()) >= 20, 120, alive=world._died)
        wait_for("the last old key", lambda: not world.unfinished(), 30)
        assert world.stop_daemon() < A_STOP
        world.promises_hold()
        assert {outcome for _, _, outcome in world.rotations()} == {"verified"}
        assert set(Counter(name for name, _, _ in world.rotations()).values()) == {2}
        for name in world.names:
            first, second = [began for of, began, _ in world.rotations() if of == name]
            assert 56 <= second - first <= 75, "a timer may come 3 s early; it came in time"
        assert world.requests > 1000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_signals_at_random_instants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGTERM, SIGKILL and SIGHUP, in turn: one live key a service, no failed request."""
    chance, sent, slowest = random.Random(17), Counter[str](), 0.0
    with machine(tmp_path, 6) as world:
        world.start_daemon()
        wait_for("the first ones", lambda: len(world.rotations()) >= 6, 60, alive=world._died)
        for number in range(SIGNALS):
            world.a_minute_passes(world.names[number % 6])
            kind = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)[number % 3]
            sent[kind.name] += 1
            if kind is not signal.SIGKILL:
                world.wait_until_ready()  # before it is, any of these ends a process
            time.sleep(chance.uniform(0.0, 2.0))
            if kind is signal.SIGHUP:
                assert world.daemon is not None
                world.daemon.send_signal(kind)
                continue
            slowest = max(slowest, world.stop_daemon(kind))
            world.start_daemon()
        wait_for("what was begun", lambda: not world.unfinished(), 120, alive=world._died)
        world.wait_until_ready()
        world.stop_daemon()
        world.promises_hold()
        assert {outcome for _, _, outcome in world.rotations()} == {"verified"}
        assert len(world.rotations()) >= SIGNALS / 2
        assert slowest < A_STOP
        with capsys.disabled():
            ended, requests = len(world.rotations()), world.requests
            print(
                f"\n{dict(sent)}: {ended} rotations, {requests} requests, 0 failed;"
                f" the slowest SIGTERM took {slowest:.1f} s"
            )


def test_a_program_that_does_not_end_is_cut_and_the_next_one_carries_on(tmp_path: Path) -> None:
    """Its process group is ended with it; SIGTERM is over in time, with 0."""
    world = Nasty(tmp_path)
    try:
        daemon, pid = _in_its_program(world)
        begun = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0 and time.monotonic() - begun < A_STOP
        wait_for("its program's end", lambda: _gone(pid), 5)
        world.restart("true")
        assert world.ends("rotate", "--due", within=60).returncode == 0
        wait_for("the end", lambda: world.ends("rotate", "--due", within=60) and _one(world), 30)
        assert world.stored != world.first
    finally:
        world.close()


def test_a_provider_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    world = Nasty(tmp_path)
    try:
        with silent() as url:
            world.book(step="600s")
            path = tmp_path / "playbooks" / "app.yaml"
            good = path.read_text()
            book = json.loads(good)
            book["generate"]["base_url"] = url
            path.write_text(json.dumps(book))
            _schedule(world)
            daemon = _daemon(world)
            wait_for("the first call", lambda: _phase(tmp_path) == "preflight", 40)
            time.sleep(0.5)
            begun = time.monotonic()
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0 and time.monotonic() - begun < A_STOP
        path.write_text(good)
        assert world.stored == world.first and _one(world)
    finally:
        world.close()


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    world = Nasty(tmp_path)
    try:
        daemon, pid = _in_its_program(world)
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        begun = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 128 + signal.SIGTERM and time.monotonic() - begun < 3
        wait_for("its program's end", lambda: _gone(pid), 10)
    finally:
        world.close()


@pytest.mark.slow
def test_a_journal_that_others_have_locked_does_not_hold_up_the_end(one: Machine) -> None:
    """Not even in the middle of a rotation: the next process goes on with it."""
    one.start_daemon()
    path = one.folder / "state" / "journal.db"
    wait_for("the rotation", lambda: one.unfinished() > 0, 40, 0.01, alive=one._died)
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert one.stop_daemon() < A_STOP
        other.execute("ROLLBACK")
    one.start_daemon()
    wait_for("its end", lambda: one.rotations() and not one.unfinished(), 60, alive=one._died)
    one.stop_daemon()
    one.promises_hold()


def test_a_broken_playbook_is_seen_and_the_others_go_on(one: Machine) -> None:
    one.start_daemon()
    one.wait_until_ready()
    assert one.metric("rotator_config_last_reload_successful") == 1
    one.written("broken", "generate: {uses: openai\n")
    wait_for("the gauge", lambda: one.metric("rotator_config_last_reload_successful") == 0, 10)
    assert one.metric("rotator_playbooks") == 1 and one.ask("/readyz")[0] == 200
    code, told = one.ask("/-/reload", "POST")
    assert code == 400 and "playbooks/broken.yaml:2:1: is not YAML" in told
    wait_for("its rotation", lambda: len(one.rotations()) == 1, 30)
    (one.folder / "playbooks" / "broken.yaml").unlink()
    wait_for("the gauge", lambda: one.metric("rotator_config_last_reload_successful") == 1, 10)
    assert one.ask("/-/reload", "POST")[0] == 200
    one.playbook("service-0", schedule={"every": "30d"}, tags=["changed"])
    wait_for("the change", lambda: _due_in(one) > 86_400, 15)
    (one.folder / "playbooks" / "service-0.yaml").unlink()
    one.playbook("another", store=[{"uses": "dotenv", "path": "/nowhere/.env", "key": "A"}])
    series = 'rotator_key_next_due_timestamp_seconds{playbook="service-0"}'
    wait_for("the end of its series", lambda: one.metric(series) is None, 10)


def _due_in(world: Machine) -> float:
    series = 'rotator_key_next_due_timestamp_seconds{playbook="service-0"}'
    return (world.metric(series) or 0.0) - time.time()


def test_what_a_command_left_is_taken_up(one: Machine) -> None:
    """`rotate NAME` works beside it; where that is killed, the daemon carries on at once."""
    one.playbook("service-0", schedule={"every": "30d"})
    one.start_daemon()
    one.wait_until_ready()
    wait_for("the first rotation", lambda: len(one.rotations()) == 1, 30)
    wait_for("its end", lambda: not one.unfinished(), 30)
    assert one.command("rotate", "service-0").returncode == 0
    for number in range(3):
        beside = subprocess.Popen(
            [*_installed("rotate"), "service-0"],
            env=one.environment,
            cwd=one.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ended = len(one.rotations())
        wait_for("its beginning", lambda: one.unfinished() > 0, 30)
        time.sleep(0.1 * number)
        beside.kill()
        beside.wait()
        killed = time.monotonic()
        wait_for("the daemon", lambda: len(one.rotations()) > ended, 30)  # noqa: B023
        wait_for("its end", lambda: not one.unfinished(), 30)
        assert time.monotonic() - killed < 15
    one.stop_daemon()
    one.promises_hold()


def test_systemd_is_told_of_each_stage(one: Machine, tmp_path: Path) -> None:
    """READY comes after the first look at what is due, signs of life come from the loop."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        one.start_daemon(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="3000000")
        assert _told(manager, "READY=1").startswith("READY=1\nSTATUS=1 playbooks")
        assert one.ask("/readyz")[0] == 200
        _told(manager, "WATCHDOG=1")
        assert one.daemon is not None
        one.daemon.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in _told(manager, "RELOADING=1")
        _told(manager, "READY=1")
        one.daemon.send_signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC=" in _told(manager, "STOPPING=1")
        assert one.daemon.wait(30) == 0
    assert "NOTIFY_SOCKET" not in one.log.read_text()


def _told(manager: socket.socket, wanted: str) -> str:
    while True:
        text = manager.recv(4096).decode()
        if wanted in text.splitlines():
            return text


def test_where_it_cannot_listen_nothing_is_begun(one: Machine) -> None:
    host, _, port = one.address.rpartition(":")
    with socket.create_server((host, int(port))):
        ended = one.command("rotator", "daemon", "--listen", one.address)
    assert (
        ended.returncode == 2
        and f"cannot listen at {one.address}: Address already in use" in ended.stderr
    )
    assert not one.rotations() and not one.unfinished()
    for place in ("9187", "somewhere", "host:port", "host:70000"):
        ended = one.command("rotator", "daemon", "--listen", place)
        assert ended.returncode == 2 and "is no place to listen at" in ended.stderr, place


def test_it_listens_at_a_socket_of_its_owner_and_group(one: Machine, tmp_path: Path) -> None:
    """One that a killed daemon left is no hindrance; one on which somebody answers is."""
    path = tmp_path / "rotator.sock"
    one.start_daemon("--listen", str(path))
    wait_for("the socket", path.exists, 20)
    assert path.stat().st_mode & 0o777 == 0o660
    wait_for("an answer", lambda: b"200 OK" in _by_socket(path, "/readyz"), 20)
    assert b'"playbooks"' in _by_socket(path, "/api/v1/status")
    second = one.command("rotator", "daemon", "--listen", str(path))
    assert second.returncode == 2 and "Address already in use" in second.stderr
    one.stop_daemon(signal.SIGKILL)
    one.start_daemon("--listen", str(path))
    wait_for("an answer", lambda: b"200 OK" in _by_socket(path, "/readyz"), 20)
    one.stop_daemon()
    assert not path.exists(), "nobody is to knock there"


def _by_socket(path: Path, what: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return b""
        asking.sendall(f"GET {what} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        found = b""
        while more := asking.recv(65536):
            found += more
        return found


def _schedule(world: Nasty) -> None:
    path = world.folder / "playbooks" / "app.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schedule": {"every": "30d"}}))


def _daemon(world: Nasty) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_installed("rotator"), "daemon", "--listen", "off"],
        env=world.environment,
        cwd=world.folder,
        stdin=subprocess.DEVNULL,
        stderr=(world.folder / "daemon.log").open("ab"),
    )


def _in_its_program(world: Nasty) -> tuple[subprocess.Popen[bytes], Path]:
    """A daemon whose restart has just begun, and does not end; the file with the program's id."""
    pid = world.folder / "program.pid"
    world.restart(f"echo $$ > {pid}; sleep 300")
    world.book(step="600s", timeout=600)
    _schedule(world)
    daemon = _daemon(world)
    wait_for("the program", pid.exists, 40)
    return daemon, pid


def _one(world: Nasty) -> bool:
    return len(world.live) == 1


def _phase(folder: Path) -> str:
    path = folder / "state" / "journal.db"
    if not path.exists():
        return ""
    with contextlib.closing(sqlite3.connect(path)) as journal:
        try:
            row = journal.execute("SELECT phase FROM rotations WHERE active").fetchone()
        except sqlite3.OperationalError:
            return ""
    return str(row[0]) if row else ""


def _gone(pid_file: Path) -> bool:
    """Ended, whether anybody has taken notice or not."""
    try:
        return "State:\tZ" in Path(f"/proc/{int(pid_file.read_text())}/status").read_text()
    except FileNotFoundError:
        return True
