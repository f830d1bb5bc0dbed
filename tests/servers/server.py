"""A real server in a directory of its own, on 127.0.0.1: started, its parts killed or frozen by id,
stopped.

Some live in a *box*: network, mount and process namespaces of their own. Nothing of the machine's
network, firewall or containers is touched, and what their daemons write outside of their directory
stays in the box, in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tests.servers.tools import (
    CACHE,
    ENV,
    HERE,
    Failed,
    children,
    may_install,
    proc_start,
    say,
    wait_for,
)

_BOXED = str(HERE / "boxed.py")
# In a network namespace of ours: outgoing connections take none of the ports on which tests let
# services listen.
OWN_PORTS = "echo 10000 14999 >/proc/sys/net/ipv4/ip_local_port_range"


@dataclass
class Part:
    """One process of a server. `inner` is the program itself where it was started inside a box."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    box: int | None = None
    grace: float = 10.0
    signal: int = signal.SIGTERM
    pid: int = 0
    start: int | None = None
    inner: int = 0
    inner_start: int | None = None

    @property
    def lives(self) -> bool:
        return self.start is not None and proc_start(self.pid) == self.start

    @property
    def target(self) -> int:
        """Whom a signal is for."""
        return self.inner if self.inner and proc_start(self.inner) == self.inner_start else self.pid


class Server:
    """One kind of server: subclasses give `install` and `up`, whose processes go
    through `spawn`.
    """

    root = False  # whether it must be run by root

    def __init__(self, directory: Path) -> None:
        self.dir = Path(directory).resolve()
        self.parts: list[Part] = []
        self.cgroups: list[str] = []
        self.env: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.dir / "server.json").read_text())
            self.parts, self.cgroups = [Part(**part) for part in found["parts"]], found["cgroups"]
            self.env = found["env"]

    @classmethod
    def install(cls) -> None:
        """Fetch or build what it needs; does nothing when it is there.

        Skips the test where that may not be.
        """

    def up(self) -> dict[str, Any]:
        """Start it; what a client must know, as variables."""
        raise NotImplementedError

    def after(self) -> None:
        """More to do when its processes are gone."""

    def start(self) -> Self:
        if self.root and os.geteuid():
            pytest.skip(f"{type(self).__name__} needs root")
        self.install()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o700)
        begun = time.monotonic()
        try:
            self.env = {name: str(value) for name, value in self.up().items()}
        except (Failed, OSError) as error:
            words = self._last_words()
            self.stop()
            if may_install():
                raise Failed(f"{error}\n{words}") from error
            pytest.skip(f"{type(self).__name__} cannot run here: {error}")
        except BaseException:
            self.stop()
            raise
        self._save()
        say(f"{type(self).__name__}: up in {time.monotonic() - begun:.2f} s")
        return self

    def _last_words(self) -> str:
        logs = [self.dir / f"{part.name}.log" for part in self.parts if not part.lives]
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in logs
            if log.exists()
        )

    def stop(self) -> None:
        """A box goes first: everything in it ends with it, at once."""
        for part in sorted(
            self.parts, key=lambda part: (part.name != "box", -self.parts.index(part))
        ):
            self._end(part)
        self.after()
        for name in self.cgroups:
            _remove_cgroup(name)
        self.parts, self.cgroups = [], []
        if self.dir.exists():
            self._save()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Each living process's name and id, of the program itself where it was started inside a
        box.
        """
        return {part.name: part.inner or part.pid for part in self.parts if part.lives}

    def restart(self, name: str, kill: bool = False) -> None:
        """Stop one process and start it again in the same way; kill: without a chance to finish."""
        part = self._part(name)
        self._end(part, signal.SIGKILL if kill else None)
        self._launch(part, "ab")

    def kill(self, name: str) -> None:
        """Without a chance to finish; `restart` brings it back."""
        self._end(self._part(name), signal.SIGKILL)

    def forget(self, prefix: str) -> None:
        """End those of this name for good."""
        for part in [part for part in self.parts if part.name.startswith(prefix)]:
            self._end(part)
            self.parts.remove(part)
        self._save()

    def _part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def _save(self) -> None:
        found = {
            "parts": [asdict(part) for part in self.parts],
            "cgroups": self.cgroups,
            "env": self.env,
        }
        beside = self.dir / "server.json.new"
        beside.write_text(json.dumps(found, indent=1))
        beside.chmod(0o600)
        beside.replace(self.dir / "server.json")

    # --- for subclasses ---
    def spawn(self, name: str, argv: Sequence[Any], box: int | None = None, **more: Any) -> int:
        """Start a process in a group of its own, logging to DIR/name.log; box: inside that box's
        namespaces.
        """
        words = [str(word) for word in argv]
        if box:
            words = ["nsenter", "-t", str(box), "-n", "-m", "-p", f"--wd={self.dir}", "--", *words]
        return self._launch(Part(name, words, box=box, **more), "wb")

    def _launch(self, part: Part, mode: str) -> int:
        with (self.dir / f"{part.name}.log").open(mode) as log:
            process = subprocess.Popen(
                part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                cwd=self.dir,
                env={**ENV, **part.env},
            )
        part.pid, part.start, part.inner, part.inner_start = (
            process.pid,
            proc_start(process.pid),
            0,
            None,
        )
        self.parts = [other for other in self.parts if other.name != part.name] + [part]
        threading.Thread(target=process.wait, daemon=True).start()  # no zombie while we live
        if part.box:
            part.inner = wait_for(
                part.name, lambda: children(part.pid), 5, 0.01, lambda: self.ended(part.name)
            )[0]
            part.inner_start = proc_start(part.inner)
        self._save()
        return part.inner or part.pid

    def ended(self, *names: str) -> str:
        """A text when one of these processes is gone (for wait_for)."""
        gone = [
            part.name for part in self.parts if (not names or part.name in names) and not part.lives
        ]
        return f"{gone[0]} ended" if gone else ""

    def _end(self, part: Part, how: int | None = None) -> None:
        def send(number: int) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(part.target, number)

        if part.lives:
            send(how or part.signal)
        end = time.monotonic() + part.grace
        while part.lives:
            if time.monotonic() > end:
                send(signal.SIGKILL)
                end += 5
            time.sleep(0.02)
        if (
            part.start is not None and proc_start(part.pid) is None
        ):  # else the id is another's by now
            with contextlib.suppress(OSError):
                os.killpg(part.pid, signal.SIGKILL)  # what it left running in its group

    def box(self, *more: str) -> int:
        """Process id of the first process of a new box: ending it ends everything in it.

        `more` is run in it first.
        """
        ready = self.dir / "box.ready"
        ready.unlink(missing_ok=True)
        setup = "; ".join(("set -e", "ip link set lo up", OWN_PORTS, *self._own_view(), *more))
        namespaces = [
            "-n",
            "-m",
            "-p",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
            "--",
        ]
        first = ["sh", "-c", f'{setup}; exec "$0" "$1" init "$2"', sys.executable, _BOXED, ready]
        pid = self.spawn("box", ["unshare", *namespaces, *first], grace=2, signal=signal.SIGKILL)
        wait_for("box", ready.exists, 20, 0.02, self.ended)
        return int(wait_for("box", lambda: children(pid), 5, 0.02)[0])

    def _own_view(self) -> Iterator[str]:
        """What the daemons in a box write outside of their directory stays in the box,
        in memory.
        """
        over = self.dir / "box"
        over.mkdir(exist_ok=True)
        yield f"mount -t tmpfs box '{over}'"
        for folder in ("/etc", "/var/lib", "/var/log", "/usr/libexec"):
            if Path(folder).is_dir() and not self.dir.is_relative_to(folder):
                upper = f"{over}/{folder[1:].replace('/', '-')}"
                layers = f"lowerdir={folder},upperdir={upper},workdir={upper}.work"
                yield f"mkdir '{upper}' '{upper}.work'; mount -t overlay box -o '{layers}' {folder}"
        if not any(path.is_relative_to("/run") for path in (self.dir, CACHE.resolve(), HERE)):
            yield "mount -t tmpfs box /run"

    def forward(
        self, name: str, listen_ns: str, listen: str, connect_ns: str, connect: str
    ) -> None:
        """Carry TCP connections from an address in one network namespace (a process id, or "self")
        to another's.
        """
        ready = self.dir / f"{name}.ready"
        ready.unlink(missing_ok=True)
        argv = [sys.executable, _BOXED, "forward", listen_ns, listen, connect_ns, connect, ready]
        self.spawn(name, argv, grace=1, signal=signal.SIGKILL)
        wait_for(name, ready.exists, 20, 0.02, lambda: self.ended(name))

    def cgroup(self) -> str:
        """A cgroup of our own (in each hierarchy of v1, or in v2); removed by stop."""
        name = "rotator-" + hashlib.sha256(str(self.dir).encode()).hexdigest()[:10]
        for root in _cgroup_mounts("cgroup") or _cgroup_mounts("cgroup2"):
            _make_cgroup(root, root / name)
        self.cgroups = [name]
        self._save()
        return f"/{name}"


def _cgroup_mounts(kind: str) -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] == kind]


def _make_cgroup(root: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):  # v1: a new cpuset is empty and takes no process
        with contextlib.suppress(OSError):
            if (folder / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((root / name).read_text())
    if not _cgroup_mounts("cgroup"):
        with contextlib.suppress(OSError):
            controllers = (folder / "cgroup.controllers").read_text().split()
            (folder / "cgroup.subtree_control").write_text(
                " ".join(f"+{name}" for name in controllers)
            )


def _remove_cgroup(name: str) -> None:
    """Its processes may take a moment to be gone."""

    def removed() -> bool:
        for root in _cgroup_mounts("cgroup") + _cgroup_mounts("cgroup2"):
            for folder in sorted((root / name).glob("**/"), reverse=True):
                folder.rmdir()
        return True

    with contextlib.suppress(Failed):
        wait_for("cgroup", removed, 5, 0.1)


def wipe(server: Server) -> None:
    server.stop()
    shutil.rmtree(server.dir, ignore_errors=True)
