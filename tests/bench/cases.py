"""The cases of `make bench`.

Aims are in brackets; what was done to reach them is in docs/performance.md.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rotator.integrations.memory import world as memory
from rotator.usecases.service import Request
from tests.bench.worlds import World, known, multiply

_COMMAND_RUNS = 25
_WAITERS, _WAIT = 1000, 2.0
_FINISHED = 100_000
_PLAYBOOKS = 1000


def peak() -> float:
    """MiB, of this process or the largest of those that it waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(one).ru_maxrss for one in who) / 1024


def line(what: str, median: str, ratio: str = "") -> None:
    print(f"  {what:<58} {median:<14} {ratio}", flush=True)


def bare_commits(folder: Path, number: int) -> float:
    """Seconds that so many synchronous SQLite commits of one row take."""
    with contextlib.closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE IF NOT EXISTS t (x)")
        begun = time.perf_counter()
        for _ in range(number):
            bare.execute("INSERT INTO t VALUES (1)")
        return time.perf_counter() - begun


def rotation() -> None:
    """a rotation with all its plugins in memory, on SQLite, beside as many bare
    synchronous commits
    """
    world = World(1)
    actions = 0

    def seen(unit: object, call: object, performed: object, took: float) -> None:
        nonlocal actions
        actions += performed is not None

    world.service.observe = seen
    seconds, ratios, each = [], [], []
    for _ in range(110):
        world.transactions = actions = 0
        begun = time.perf_counter()
        report = world.service.rotate(world.names[0])
        took = time.perf_counter() - begun
        assert report.code == 0
        seconds.append(took)
        each.append(took / actions)
        ratios.append(took / bare_commits(world.folder, world.transactions))
    world.close()
    measured = f"{statistics.median(ratios[10:]):.1f} x {world.transactions} bare commits (4)"
    line("a rotation", f"{statistics.median(seconds[10:]) * 1000:.1f} ms", measured)
    line(
        f"each of its {actions} actions", f"{statistics.median(each[10:]) * 1000:.2f} ms", "(2 ms)"
    )


def commands() -> None:
    """commands, started anew each time, beside `python -c pass`, alternating"""
    world = World(20)
    for name in world.names:
        assert world.service.rotate(name).code == 0
    world.close()
    environment = {
        **os.environ,
        "ROTATOR_HOME": str(world.folder),
        "ROTATOR_PLAYBOOKS": f"{world.folder}/playbooks",
    }
    beside = Path(sys.executable).parent
    measured = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "rotate --help (8)": [str(beside / "rotate"), "--help"],
        "rotator status, 20 playbooks (20)": [str(beside / "rotator"), "status"],
    }
    for other in (["aws", "--version"], ["kubectl", "version", "--client"]):
        if shutil.which(other[0]) and not subprocess.run(other, capture_output=True).returncode:
            measured[" ".join(other)] = other
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled, too
    for argv in measured.values():
        subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(_COMMAND_RUNS):
        for name, argv in measured.items():
            begun = time.perf_counter()
            subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - begun)
    bare = statistics.median(seconds["python -c pass"])
    for name, found in seconds.items():
        median = statistics.median(found)
        line(name, f"{median * 1000:.0f} ms", f"{median / bare:.1f} x")


def waiting() -> None:
    """1,000 rotations side by side, each waiting 2 s for its consumers, on 16 threads"""
    world = World(_WAITERS)
    one = World(1, "one")
    for _ in range(20):
        assert one.service.rotate(one.names[0]).code == 0
    database, real, costs = one.service.journal.database, one.service.journal.database.write, []

    @contextlib.contextmanager
    def timed():  # type: ignore[no-untyped-def]
        begun = time.perf_counter()
        with real() as connection:
            yield connection
        costs.append(time.perf_counter() - begun)

    database.write = timed  # type: ignore[method-assign]
    for _ in range(50):
        assert one.service.rotate(one.names[0]).code == 0
    cost = statistics.median(costs)
    one.close()
    start = memory.WORLD.start

    def slowly(name: str) -> memory.Consumer:
        consumer = start(name)
        consumer.started_at += _WAIT
        return consumer

    memory.WORLD.start = slowly  # type: ignore[method-assign]
    world.transactions = 0
    begun = time.perf_counter()
    reports = world.service.rotate_all(world.names, Request())
    took = time.perf_counter() - begun
    assert all(report.code == 0 for report in reports), next(r for r in reports if r.code)
    bare = bare_commits(world.folder, world.transactions)
    world.close()
    floor = max(_WAIT, world.transactions * cost)
    line(
        f"all of them, {world.transactions} transactions",
        f"{took:.1f} s",
        f"{took / floor:.2f} x {floor:.1f} s (1.5)",
    )
    line(
        "one of the journal's transactions",
        f"{cost * 1000:.2f} ms",
        f"as many bare commits: {bare:.1f} s",
    )


def history() -> None:
    """the journal with 100 and with 100,000 finished rotations"""
    from rotator.cli.history import history as history_command
    from rotator.cli.overview import status

    seconds: dict[str, dict[int, float]] = {}
    for number in (100, _FINISHED):
        world = World(10)
        for name in world.names * 10:
            assert world.service.rotate(name).code == 0
        if number > 100:
            multiply(world.service, number // 100 - 1)
        with world.service.journal.database.read() as connection:
            found = connection.exec_driver_sql("SELECT count(*) FROM rotations").scalar()
        assert found == number
        world.service.due(Request())  # the daily look for orphans is over
        environment = {
            "ROTATOR_HOME": str(world.folder),
            "ROTATOR_PLAYBOOKS": f"{world.folder}/playbooks",
        }
        os.environ.update(environment)
        acts: dict[str, Callable[[], object]] = {
            "status": lambda: status.main([], standalone_mode=False),
            "history": lambda: history_command.main([], standalone_mode=False),
            "history of one": lambda: history_command.main(["p0001"], standalone_mode=False),
            "a tick with nothing to do": lambda world=world: world.service.due(Request()),
            "a rotation": lambda world=world: world.service.rotate(world.names[0]),
        }
        for name, act in acts.items():
            seconds.setdefault(name, {})[number] = _median(act, 15)
        size = (world.folder / "journal.db").stat().st_size
        world.close()
        shutil.rmtree(world.folder)
    for name, found in seconds.items():
        line(
            name,
            f"{found[_FINISHED] * 1000:.1f} ms",
            f"{found[_FINISHED] / found[100]:.2f} x {found[100] * 1000:.1f} ms (2)",
        )
    line("the journal", f"{size / 1e6:.0f} MB", f"{size / _FINISHED / 1000:.1f} kB a rotation")


def _median(act: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        with contextlib.redirect_stdout(io.StringIO()):
            begun = time.perf_counter()
            act()
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def tick() -> None:
    """a call of `rotate --due` that finds nothing to do, in one process: with ten and with a
    thousand playbooks
    """
    seconds: dict[int, float] = {}
    asking: dict[int, float] = {}
    for number in (10, _PLAYBOOKS):
        world = World(number, f"t{number}-")
        with world.service.journal.database.write() as connection:
            known(connection, world.names)
        world.service.due(Request())
        loaded = world.service.playbooks()
        seconds[number] = _median(lambda world=world: world.service.due(Request()), 15)
        asking[number] = _median(
            lambda world=world, loaded=loaded: world.service.agenda.due(loaded, time.time()), 15
        )
        world.close()
    each = (seconds[_PLAYBOOKS] - seconds[10]) / (_PLAYBOOKS - 10)
    line(
        f"a tick, {_PLAYBOOKS} playbooks",
        f"{seconds[_PLAYBOOKS] * 1000:.1f} ms",
        f"{each * 1000:.3f} ms a playbook",
    )
    line(
        "of it: what is due",
        f"{asking[_PLAYBOOKS] * 1000:.1f} ms",
        f"with ten: {asking[10] * 1000:.1f} ms",
    )


def daemon() -> None:
    """the daemon with 10,000 playbooks, and with 10,000 rotations that wait in grace"""
    from tests.bench.daemon import daemon as measured

    measured()


def redactor() -> None:
    """100 MB of log lines through the redactor, with eight living keys; one line in fifty holds
    one, or a header
    """
    from rotator.integrations.catalog.shipped import key_patterns
    from rotator.secret import Redactor, Secret

    redact = Redactor(key_patterns())
    alive = [Secret(f"sk-proj-{secrets.token_urlsafe(40)}") for _ in range(8)]
    lines = [_log_line(number, alive) for number in range(20_000)]
    size = sum(len(text.encode()) for text in lines)
    rounds, seconds = 100_000_000 // size + 1, []
    for _ in range(rounds):
        begun = time.perf_counter()
        for text in lines:
            redact(text)
        seconds.append(time.perf_counter() - begun)
    assert not any(secret.reveal() in redact(text) for text in lines for secret in alive)
    speed = size / statistics.median(seconds) / 1e6
    line(
        f"{rounds * size / 1e6:.0f} MB in lines of {size // len(lines)} bytes",
        f"{speed:.0f} MB/s",
        "(50 MB/s)",
    )


def _log_line(number: int, alive: list) -> str:  # type: ignore[type-arg]
    import json

    found = {
        "time": f"2026-11-21T14:00:00.{number:06d}Z",
        "level": "info",
        "event": "step done",
        "playbook": f"openai-prod-{number % 50}",
        "rotation": f"r-84fe{number}",
        "step": "restart",
        "detail": "kubernetes deployment/api 3/3 ready",
        "seconds": number / 7,
    }
    if number % 100 == 0:
        found["error"] = f"401: Incorrect API key provided: {alive[number % 8].reveal()}"
    if number % 100 == 50:
        found["header"] = "Authorization: Bearer abcdefgh1234567"
    return json.dumps(found)


def silence() -> None:
    """four playbooks, alone and behind 20 and 100 whose provider never answers: `rotate --due`"""
    from tests.acceptance.nasty import Nasty, first_end, silent

    with tempfile.TemporaryDirectory() as folder, silent() as url:
        world = Nasty(Path(folder))
        found: dict[int, list[float]] = {0: [], 20: [], 100: []}
        for tries in range(3):
            for hanging, seconds in found.items():
                seconds.append(first_end(world, f"t{tries}h{hanging}", hanging, url))
        world.close()
    alone = statistics.median(found.pop(0))
    line("the first of them has its new key, alone", f"{alone:.2f} s")
    for hanging, seconds in found.items():
        later = statistics.median(seconds) - alone
        line(f"behind {hanging}", f"{later:.2f} s later", "(1 s)")


def beside() -> None:
    """a daemon with 200 playbooks due at once: 20 of them of a provider that never answers"""
    from tests.bench.silent import beside as measured

    measured()


def cluster() -> None:
    """on a real Kubernetes and Vault: a script by hand, `rotate`, one process, taking turns; the
    floor of it
    """
    from tests.bench.cluster import cluster as measured

    measured()


def ten_keys() -> None:
    """ten keys of one workload on a real Kubernetes and Vault: `rotate` of all, and a script ten times"""
    from tests.bench.ten_keys import ten_keys as measured

    measured()


def fleet() -> None:
    """1, 2 and 4 daemons on one PostgreSQL, playbooks due at once, roll-outs of two seconds."""
    from tests.bench.fleet import fleet as measured

    measured()


CASES: dict[str, Callable[[], None]] = {
    "rotation": rotation,
    "commands": commands,
    "waiting": waiting,
    "history": history,
    "tick": tick,
    "daemon": daemon,
    "fleet": fleet,
    "redactor": redactor,
    "silence": silence,
    "beside": beside,
    "cluster": cluster,
    "ten-keys": ten_keys,
}
