"""The daemon with many playbooks: what its loop costs, and what the process holds."""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rotator.daemon.log import Log
from rotator.daemon.loop import Loop
from rotator.daemon.metrics import Metrics
from rotator.daemon.reloads import Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.playbook.directory import Directory
from rotator.usecases.service import Request
from tests.bench.worlds import World, known

_MANY = 10_000


def daemon() -> None:
    from tests.bench.cases import line

    world = World(_MANY, "d")
    with world.service.journal.database.write() as connection:
        known(connection, world.names)
    begun = time.perf_counter()
    Directory((world.folder / "playbooks",)).load()
    line(f"{_MANY} playbooks read", f"{time.perf_counter() - begun:.1f} s", "(5 s)")
    loop = _loop(world)
    loop._tick()
    line("a look whether anything is due", _ms(loop._is_due), "once a second")
    line("a tick that finds nothing", _ms(loop._tick), "(20 ms)")
    line("a look whether a file changed", _ms(loop.reloads.again), "a fiftieth of the time at most")
    line("a scrape of the metrics", _ms(Metrics(loop).text))
    world.close()
    memory, ready = _process(world.folder)
    line("the process: until it is ready", f"{ready:.1f} s")
    line("its memory", f"{memory:.0f} MiB", "(250 MiB)")

    world = World(_MANY, "w", grace="1h")
    reports = world.service.rotate_all(world.names, Request())
    assert all(report.code == 0 and report.debts for report in reports)
    loop, before = _loop(world), threading.active_count()
    loop._tick()
    line(f"{_MANY} old keys in grace: a tick", _ms(loop._tick), "(100 ms)")
    line("threads that wait for them", str(threading.active_count() - before), "(0)")
    world.close()


def _loop(world: World) -> Loop:
    settings, clock = world.service.settings, world.service.clock
    reloads = Reloads(settings, world.service.directory, clock.now, lambda: settings)
    return Loop(world.service, reloads, Log("error", "text"), Supervisor())


def _ms(act: Callable[[], object]) -> str:
    found = []
    for _ in range(15):
        begun = time.perf_counter()
        act()
        found.append(time.perf_counter() - begun)
    return f"{statistics.median(found) * 1000:.2f} ms"


def _process(folder: Path) -> tuple[float, float]:
    """MiB that `rotator daemon` holds ten seconds after its start, and seconds until it was ready."""
    place = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        manager.settimeout(60)
        begun = time.perf_counter()
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("rotator")), "daemon", "--listen", "127.0.0.1:0"],
            env={
                **os.environ,
                "ROTATOR_HOME": str(folder),
                "ROTATOR_PLAYBOOKS": f"{folder}/playbooks",
                "NOTIFY_SOCKET": place,
            },
            stderr=subprocess.DEVNULL,
        )
        while b"READY=1" not in manager.recv(4096):
            pass
        ready = time.perf_counter() - begun
    time.sleep(10)
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024, ready
