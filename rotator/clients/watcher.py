"""How a program is started: under a small watcher that ends its process group at its time-out,
and when rotator dies.

What a program starts in a session of its own lives on. It inherits no file of rotator's. Its output
is read until the program itself ends: nobody waits for what it leaves running, a server in the
background, which may go on writing. Sources: pidfd_open(2), setpgid(2), poll(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from rotator import deadline
from rotator.errors import TransientError

LIMIT = 10_000_000  # bytes of what a program prints; the beginning is kept
_ERRORS = 1_000_000  # bytes of what it says on standard error; the end is kept
_CHUNK = 1_000_000  # as much as a pipe can hold
_GRACE = 10.0  # seconds that the watcher may take to begin and to end


# Runs as `python -c … SOCKET OUT ERR SECONDS PROGRAM ARGUMENT…`. It reports by the socket, where
# the end of file means that rotator is dead or wants no more. OUT and ERR are the ends that rotator
# reads.
_WATCHER = """
import os, select, signal, sys
ours, seconds, argv = [int(fd) for fd in sys.argv[1:4]], float(sys.argv[4]), sys.argv[5:]
us, outputs = ours[0], ours[1:]
for fd in ours: os.set_inheritable(fd, False)
def report(text):
    try: os.write(us, text.encode())
    except OSError: pass
reset = [signal.SIGPIPE, signal.SIGXFSZ]
try: child = os.posix_spawnp(argv[0], argv, os.environ, setpgroup=0, setsigdef=reset)
except OSError as error:
    report(f"refused {error.errno}")
    os._exit(0)
nothing = os.open(os.devnull, os.O_RDWR)
for fd in range(3): os.dup2(nothing, fd)
ended = os.pidfd_open(child)
waiting = select.poll()
for fd in (us, ended): waiting.register(fd, select.POLLIN)
ready = [fd for fd, _ in waiting.poll(seconds * 1000)]
if ended in ready: report(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
else:
    os.killpg(child, signal.SIGKILL)
    report("late")
held = select.poll()
for fd in outputs: held.register(fd, 0)
if len(held.poll(0)) < len(outputs) and os.fork() == 0:
    os.chdir("/")
    for fd in ours: os.set_inheritable(fd, True)
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", DRAIN, *map(str, ours)], {})
os._exit(0)
"""


# What a program leaves running would die of its next word if nobody held the other end: this takes
# it, once rotator has read its own share, until the last one that could write has ended.
_DRAIN = """
import os, select, sys
us, *outputs = map(int, sys.argv[1:])
os.read(us, 1)
os.close(us)
writing = select.poll()
for fd in outputs: writing.register(fd, select.POLLIN)
while outputs:
    for fd, _ in writing.poll():
        if not os.read(fd, 65536):
            writing.unregister(fd)
            outputs.remove(fd)
"""


class Kept:
    """What is kept of an output, however long it is: its first bytes, or its last."""

    def __init__(self, limit: int, first: bool) -> None:
        self.limit, self.first, self.cut = limit, first, False
        self._bytes = bytearray()

    def add(self, more: bytes) -> None:
        self._bytes += more
        if len(self._bytes) > self.limit:
            self.cut = True
            del self._bytes[slice(self.limit, None) if self.first else slice(-self.limit)]

    def text(self) -> str:
        """Lines end as Python's do."""
        return self._bytes.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, slots=True)
class Ends:
    """Our ends of what leads to a program and its watcher."""

    stdin: IO[bytes]
    out: IO[bytes]
    err: IO[bytes]
    watcher: socket.socket

    def follow(self, given: bytes, seconds: float) -> tuple[str, Kept, Kept]:
        """What the watcher reports ('' if nothing), and what was printed until then.

        `seconds`: the program's time-out; the watcher has a little more.
        """
        kept = {self.out: Kept(LIMIT, True), self.err: Kept(_ERRORS, False)}
        left, end = memoryview(given), time.monotonic() + seconds + _GRACE
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.watcher, selectors.EVENT_READ)
            for file in kept:
                waiting.register(file, selectors.EVENT_READ)
            if given:
                waiting.register(self.stdin, selectors.EVENT_WRITE)
            else:
                self.stdin.close()
            while (now := time.monotonic()) < end:
                ready = {key.fileobj for key, _ in waiting.select(end - now)}
                over = self.watcher in ready
                for file in kept if over else kept.keys() & ready:
                    if not self._took(file, kept[file]) and not over:
                        waiting.unregister(file)
                if over:
                    return self._report(), kept[self.out], kept[self.err]
                if self.stdin in ready:
                    left = left[self._gave(left) :]
                    if not left:
                        waiting.unregister(self.stdin)
                        self.stdin.close()
        return "", kept[self.out], kept[self.err]

    def _report(self) -> str:
        try:
            return self.watcher.recv(100).decode()
        except ConnectionResetError:  # cut
            return ""

    def _took(self, file: IO[bytes], kept: Kept) -> bool:
        """Read once, which is all that was there. False at the end of file."""
        try:
            more = os.read(file.fileno(), _CHUNK)
        except BlockingIOError:
            return True
        kept.add(more)
        return bool(more)

    def _gave(self, left: memoryview) -> int:
        try:
            return os.write(self.stdin.fileno(), left[:_CHUNK])
        except BlockingIOError:
            return 0
        except BrokenPipeError:  # it does not want to know
            return len(left)


@contextlib.contextmanager
def started(
    argv: Sequence[str],
    env: Mapping[str, str],
    seconds: float,
    cwd: str,
    connection: socket.socket | None = None,
) -> Iterator[Ends]:
    """A program under its watcher; both are ended with the block.

    With a `connection` it reads and writes that, and this process nothing.
    """
    with contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs, _room(argv[0]):
            stdin, to_stdin = _pipe(theirs, ours)
            from_out, out = _pipe(ours, theirs)
            from_err, err = _pipe(ours, theirs)
            watcher, reports = socket.socketpair()
            ours.enter_context(watcher)
            theirs.enter_context(reports)
            inherited = (reports.fileno(), from_out.fileno(), from_err.fileno())
            code = _WATCHER.replace("DRAIN", repr(_DRAIN))
            words = [
                sys.executable,
                "-I",
                "-S",
                "-c",
                code,
                *map(str, inherited),
                f"{seconds:.3f}",
                *argv,
            ]
            process = subprocess.Popen(
                words,
                stdin=connection.fileno() if connection is not None else stdin,
                stdout=connection.fileno() if connection is not None else out,
                stderr=err,
                env=env,
                pass_fds=inherited,
                start_new_session=True,
                cwd=cwd or None,
            )
        ours.callback(_reap, process)
        ours.callback(watcher.close)  # before it is waited for
        ours.enter_context(deadline.cuttable(lambda: end(watcher)))
        for file in (to_stdin, from_out, from_err):
            os.set_blocking(file.fileno(), False)
        yield Ends(to_stdin, from_out, from_err, watcher)


@contextlib.contextmanager
def _room(program: str) -> Iterator[None]:
    """That this machine cannot start another program now may pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
            raise
        words = f"{program} cannot be started now: {error.strerror}"
        raise TransientError(
            words, "free some memory or processes, or raise the limit: ulimit -n, ulimit -u"
        ) from error


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """A pipe's two ends, each closed by whoever has it."""
    read, write = os.pipe()
    return (
        reads.enter_context(open(read, "rb", buffering=0)),
        writes.enter_context(open(write, "wb", buffering=0)),
    )


def end(watcher: socket.socket) -> None:
    """Its program is ended, with its process group, and nobody is told how."""
    with contextlib.suppress(OSError):  # it has just ended
        watcher.shutdown(socket.SHUT_RDWR)


def _reap(watcher: subprocess.Popen[bytes]) -> None:
    try:
        watcher.wait(_GRACE)
    except subprocess.TimeoutExpired:  # stopped by somebody
        watcher.kill()
        watcher.wait()
