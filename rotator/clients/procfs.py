"""The one door to /proc: which process it is, when it started, what its environment held when it
did.

Source: proc(5).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rotator import plain
from rotator.errors import NotFound, PermanentError
from rotator.secret import Secret

_TICKS = os.sysconf("SC_CLK_TCK")
# Seconds: a process starts before it writes its pid file, by a clock that is set in small steps
_WRITES_LATER = 1.0
_OWN_FIRST = ("systemd", "init")
_MOUNTS = Path("/proc/self/mountinfo")
_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh", "fish")
_ENTRY = re.compile(rb"[A-Za-z_][A-Za-z0-9_.%()-]*=")


@dataclass(frozen=True, slots=True)
class Process:
    """`started_at` is Unix seconds, `start` clock ticks since boot; (pid, start) is never used
    twice.
    """

    pid: int
    started_at: float
    start: int
    name: str
    stopped: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


class Missing(StrEnum):
    """Why a variable of a process's environment is not known."""

    ABSENT = "its environment has no such variable"
    UNREADABLE = "its environment may not be read"
    OVERWRITTEN = (
        "it has overwritten its environment (as setproctitle does, unless SPT_NOENV=1 is set)"
    )


def process(pid: int) -> Process | None:
    """The process with this id, None where there is none (a zombie counts as none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, rest = stat.rpartition(")")
    fields = rest.split()
    if fields[0] in ("Z", "X"):
        return None
    start, booted = int(fields[19]), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    name = re.sub(r"[^ -~]", "?", head.partition("(")[2])
    return Process(pid, booted + start / _TICKS, start, name, fields[0] in ("T", "t"))


def from_pid_file(path: Path) -> Process:
    """The process that wrote a pid file. Raises NotFound, saying why it is not to be had."""
    try:
        content, file = plain.read(path)
    except (OSError, PermanentError) as error:
        words = (
            error.message
            if isinstance(error, PermanentError)
            else f"{path} cannot be read: {error.strerror}"
        )
        missing = isinstance(error, FileNotFoundError)
        raise NotFound(
            f"{path} is not there" if missing else words, "does the service run, and write it?"
        ) from error
    number, *_ = content.split() or [b""]
    if not re.fullmatch(rb"[0-9]{1,10}", number):
        raise NotFound(
            f"{path} names no running process: it does not begin with a number", "is it a pid file?"
        )
    pid = int(number)
    found = process(pid)
    if found is None:
        raise NotFound(
            f"{path} names no running process: there is no {pid}" + _hidden(pid),
            "start the service first",
        )
    if (leader := _status(pid).get("Tgid", str(pid))) != str(pid):
        hint = "the pid file must name the process itself"
        raise NotFound(
            f"{path} names no running process: {pid} is a thread of process {leader}", hint
        )
    if found.started_at > file.st_mtime + _WRITES_LATER:
        later = found.started_at - file.st_mtime
        raise NotFound(
            f"{path} names {found}, which started {later:.0f} s after the file was written: it is"
            " another one",
            "is the service down? If it is this process, and the clock was set since it started:"
            f" `touch {path}`",
        )
    if pid == 1 and found.name in _OWN_FIRST:
        hint = (
            "a number from a container means nothing here: use the restarter docker, or a pid file"
            " of this machine"
        )
        raise NotFound(f"{path} names {found}, the machine's own first one", hint)
    return found


def _hidden(pid: int) -> str:
    """That /proc shows nothing of a process may be because it is another user's (hidepid)."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(pid, 0)
        except (PermissionError, OverflowError) as error:
            return " that this user may see" if isinstance(error, PermissionError) else ""
    return ""


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def may_signal(found: Process) -> bool:
    try:
        os.kill(found.pid, 0)
    except OSError as error:
        return error.errno != errno.EPERM
    return True


def handles(found: Process, number: signal.Signals) -> str:
    """What a process does with a signal: `ignores`, `catches`, or '' for what the kernel does by
    itself.

    One that is blocked is waited for (sigwait, signalfd): it reaches the process even where its
    parent had it ignored.
    """
    status, bit = _status(found.pid), 1 << (number - 1)
    for field, word in (("SigBlk", "catches"), ("SigIgn", "ignores"), ("SigCgt", "catches")):
        if int(status.get(field, "0"), 16) & bit:
            return word
    return ""


def runs_for_it(found: Process) -> Process | None:
    """A child of a shell: the program that a script runs, and that a signal to the script does not
    reach.
    """
    if found.name not in _SHELLS:
        return None
    try:
        pids = Path(f"/proc/{found.pid}/task/{found.pid}/children").read_text().split()
    except OSError:
        return None
    return next((child for child in map(process, map(int, pids)) if child is not None), None)


def send(found: Process, number: signal.Signals) -> None:
    """Signal this very process.

    Raises ProcessLookupError where it has ended, though another one has its number now.
    """
    with contextlib.ExitStack() as stack:
        handle = None
        with contextlib.suppress(AttributeError, NotImplementedError):
            try:
                handle = os.pidfd_open(found.pid)
                stack.callback(os.close, handle)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
        now = process(found.pid)
        if now is None or now.start != found.start:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if handle is None:  # a kernel before 5.3
            os.kill(found.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)


def variable(pid: int, name: str) -> Secret | Missing:
    """A variable of the environment that a process was started with, or why it is not known."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return Missing.UNREADABLE
    start = f"{name}=".encode()
    found = next((entry for entry in environment.split(b"\0") if entry.startswith(start)), None)
    return (
        Secret(found[len(start) :].decode(errors="replace"))
        if found is not None
        else missing(environment)
    )


def missing(environment: bytes) -> Missing:
    """Why a variable is not in it: a title that was written over it begins where the first variable
    was.
    """
    whole = not environment or _ENTRY.match(environment) is not None
    return Missing.ABSENT if whole else Missing.OVERWRITTEN


def writers_with_a_lock(path: Path) -> list[Process]:
    """Other processes of this machine that hold a lock to write on the file.

    Empty where that cannot be seen.
    """
    try:
        found, lines = path.stat(), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    fields = [line.split() for line in lines if "->" not in line]
    pids = {int(one[4]) for one in fields if one[3] == "WRITE" and one[5] == file} - {
        os.getpid(),
        -1,
    }
    return [one for pid in sorted(pids) if (one := process(pid)) is not None]


@dataclass(frozen=True, slots=True)
class Mount:
    """What is mounted at `point`: the type of its file system (`ext4`, `overlay`, …), and the
    directory of it that is seen there. All '' where /proc does not tell.
    """

    kind: str = ""
    root: str = ""
    point: str = ""


def filesystem_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that a path is on (`ext4`, `nfs4`, …), '' where /proc does not
    tell.
    """
    return mount_of(path, mounts).kind


def mount_of(path: Path, mounts: Path = _MOUNTS) -> Mount:
    """The mount that a path is on, whether it is there or not."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return Mount()
    real, found = str(plain.real(path)), Mount()
    for line in lines:
        left, _, right = line.partition(" - ")
        root, point = (word.replace("\\040", " ") for word in left.split()[3:5])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The last mount on a place is the one that is seen
        if inside and len(point) >= len(found.point):
            found = Mount(right.split()[0], root, point)
    return found
