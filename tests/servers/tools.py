"""What the test servers stand on: commands, waiting, processes by id and start time, a cache of
what was installed.

The cache is $ROTATOR_TEST_CACHE, else ~/.cache/rotator-tests. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("ROTATOR_TEST_CACHE") or Path.home() / ".cache" / "rotator-tests")
ENV = dict(
    os.environ, PATH=os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
)
HOST = "127.0.0.1"
_RANGE = Path(
    "/proc/sys/net/ipv4/ip_local_port_range"
)  # what the system gives to outgoing connections
_PORTS = range(
    15_000, max(20_000, int(_RANGE.read_text().split()[0])) if _RANGE.exists() else 32_768
)
_given: set[int] = set()  # by this process, so that no two servers are told the same


class Failed(Exception):
    """Something could not be installed or started."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def may_install() -> bool:
    """In CI, and where a person says so: `python -m tests.servers NAME install`."""
    return bool(os.environ.get("CI")) or "install" in sys.argv


def run(argv: Sequence[Any], **kw: Any) -> str:
    """Run a command; its output comes with the exception when it fails."""
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.STDOUT)
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("env", ENV)
    p = subprocess.run([str(a) for a in argv], text=True, **kw)
    if p.returncode:
        raise Failed(
            f"{' '.join(map(str, argv))[:300]}: exit status"
            f" {p.returncode}\n{(p.stdout or '')[-3000:]}"
        )
    return p.stdout or ""


def asked(place: str, method: str, path: str) -> tuple[int, str]:
    """Status and body of an answer by HTTP; 0 where nobody listens."""
    connection = http.client.HTTPConnection(place, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def wait_for(
    what: str,
    condition: Callable[[], Any],
    seconds: float = 60.0,
    every: float = 0.05,
    alive: Callable[[], Any] | None = None,
) -> Any:
    """Wait until condition() is true; alive() returning a text means that waiting is pointless."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, Failed, ValueError, KeyError) as error:
            last = error
        if alive and (dead := alive()):
            raise Failed(f"{what}: {dead}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s ({last})")
        time.sleep(every)


def free_port() -> int:
    """A port that nobody has, outside of those that the system gives to outgoing connections.

    One of those may be taken between this answer and the server's start: a connection that is
    waiting to be forgotten holds its port for a minute.
    """
    return port_before(1) + 1


def port_before(count: int) -> int:
    """A port after which as many are free, none of them one that the system gives away
    by itself.
    """
    while True:
        first = random.SystemRandom().choice(_PORTS[:-count])
        ports = range(first + 1, first + 1 + count)
        if _given.isdisjoint(ports) and all(map(_is_free, ports)):
            _given.update(ports)
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


def proc_start(pid: int | None) -> int | None:
    """The start time of a process, which with its id names it for good; None when it is gone (or a
    zombie).
    """
    if not pid:
        return None
    try:
        f = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if f[0] in "ZX" else int(f[19])


def children(pid: int) -> list[int]:
    out = []
    for t in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            out += [int(c) for c in t.read_text().split()]
    return out


@contextlib.contextmanager
def cached(name: str, key: str) -> Iterator[tuple[Path, bool]]:
    """Yields (directory, whether it must be filled now).

    One process fills it; a half-filled one is begun anew.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{name}-{key}"
    done = path / ".complete"
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            yield path, False
            return
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        yield path, True
        done.touch()


def digest(*things: Any) -> str:
    h = hashlib.sha256()
    for t in things:
        h.update(t.read_bytes() if isinstance(t, Path) else str(t).encode())
        h.update(b"\0")
    return h.hexdigest()[:12]


def apt(*packages: str, tools: Sequence[str]) -> None:
    """Install Debian packages unless all the tools are there.

    Skips the test where that may not be.
    """
    there = (
        Path(tool).exists() if tool.startswith("/") else shutil.which(tool, path=ENV["PATH"])
        for tool in tools
    )
    missing = [tool for tool, found in zip(tools, there, strict=True) if not found]
    if not missing:
        return
    if os.geteuid() or not may_install():
        pytest.skip(
            f"not installed: {' '.join(missing)} (as root: apt install {' '.join(packages)})"
        )
    say(f"apt-get install {' '.join(packages)} (missing: {' '.join(missing)})")
    CACHE.mkdir(parents=True, exist_ok=True)
    env = dict(ENV, DEBIAN_FRONTEND="noninteractive")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    with open(CACHE / ".apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # services must not be started by their packages: the tests start their own
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            try:
                run(install, env=env)
            except Failed:
                run(["apt-get", "update", "-q"], env=env)
                run(install, env=env)
        finally:
            if ours:
                policy.unlink()


def go_build(name: str, package: str, ldflags: str = "") -> Path:
    """The program of our Go module in HERE/name, built into the cache if it is not there."""
    source = HERE / name
    with cached(name, digest(ldflags, package, *sorted(source.iterdir()))) as (path, fill):
        if fill:
            begun = time.monotonic()
            say(f"building {name} with go build ...")
            env = dict(ENV, CGO_ENABLED="0", GOTOOLCHAIN="local")
            flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {ldflags}"]
            run(["go", "build", *flags, "-o", path / name, package], cwd=source, env=env)
            say(f"built {name} in {time.monotonic() - begun:.0f} s")
    return path / name
