"""The one door to /proc: which process it is, when it started, what its environment held when it did."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rotator import plain
from rotator.errors import PermanentError
from rotator.secret import Secret

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """`started_at` is Unix seconds; (pid, started_at) is never used twice."""

    pid: int
    started_at: float


def process(pid: int) -> Process | None:
    """The process with this id, None where there is none (a zombie counts as none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    since_boot = int(fields[19]) / _TICKS
    return Process(pid, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot)


def from_pid_file(path: Path) -> Process | None:
    """The process that a pid file names."""
    try:
        return process(int(plain.text(path).split()[0]))
    except (OSError, ValueError, IndexError, PermanentError):
        return None


def variable(pid: int, name: str) -> Secret | None:
    """A variable of the environment that a process was started with; None where /proc does not tell."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    start = f"{name}=".encode()
    found = next((entry for entry in environment.split(b"\0") if entry.startswith(start)), None)
    return Secret(found[len(start) :].decode(errors="replace")) if found is not None else None


def filesystem_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that a path is on (`ext4`, `nfs4`, …), '' where /proc does not tell."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    real, best, found = str(path.resolve()), "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # the last mount on a place is the one that is seen
            best, found = point, right.split()[0]
    return found
