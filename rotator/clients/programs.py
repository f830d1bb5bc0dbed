"""The one door to programs: secrets by standard input or named environment, never by argument.

A program runs under a small watcher that ends its process group at its time-out, and when rotator
dies; what it starts in a session of its own lives on. It inherits no file of rotator's. Its output
is read until the program itself ends: nobody waits for what it leaves running, a server in the
background, which may go on writing.
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
from pathlib import Path
from typing import IO, Any

from rotator import deadline
from rotator.environment import inherited, of_sdks, withheld
from rotator.errors import AccessDenied, NotFound, OutcomeUnknown, PermanentError, TransientError
from rotator.secret import Secret, last_line, without_keys

TEMPORARY = 75  # EX_TEMPFAIL: ask again later
REJECTED = 77  # EX_NOPERM: the key was refused
UNSHOWN = "what it printed is not shown, as a key may stand in it"
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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status (a signal's number below zero), and what it said, any
    bytes as text.
    """

    program: str
    code: int
    err: str
    printed: str
    cut: bool = False  # it printed more than is kept

    @property
    def out(self) -> str:
        """All that it printed.

        Raises PermanentError where that is too much: half of it would be another answer.
        """
        if self.cut:
            raise PermanentError(
                f"{self.program} prints more than {LIMIT // 1_000_000} MB",
                "is it the right program?",
            )
        return self.printed

    @property
    def value(self) -> str:
        """The secret that it printed, without the line's end.

        Raises PermanentError for what is not UTF-8.
        """
        if "\ufffd" in self.out:
            raise PermanentError(
                f"{self.program} printed what is not UTF-8", "print the credential as text"
            )
        return self.out.strip("\r\n")

    @property
    def words(self) -> str:
        """The last line it said, redacted."""
        return last_line((self.err or self.printed).splitlines()) or "it said nothing"


def run(
    argv: Sequence[str],
    *,
    stdin: Secret | None = None,
    env: Mapping[str, str | Secret] | None = None,
    own: Sequence[str] = (),
    timeout: float = 60.0,
    cwd: str = "",
) -> Ended:
    """Run a program to its end, in the folder `cwd` ('' = where we are), for `timeout` seconds at
    most.

    It gets `env`, and of our own environment what holds no credential, or is named by `own`.

    What it has in its process group ends with the time-out; so does what it would do after the
    lease.

    Raises NotFound, AccessDenied, PermanentError (it cannot be started), OutcomeUnknown (time-out),
    LeaseLost.
    """
    deadline.check()
    if cwd and not Path(cwd).is_dir():
        raise NotFound(
            f"the folder {cwd} does not exist",
            "programs run in their playbook's folder: was it moved?",
        )
    seconds = deadline.remaining(timeout)
    given = stdin.reveal().encode(errors="surrogateescape") if stdin else b""
    with deadline.outside(), _started(argv, environment(env or {}, own), seconds, cwd) as ends:
        report, out, err = ends.follow(given, seconds + _GRACE)
    match report.split():
        case ["ended", code]:
            return Ended(argv[0], int(code), err.text(), out.text(), out.cut)
        case ["refused", number]:
            raise _not_started(argv[0], int(number))
        case ["late"]:
            raise OutcomeUnknown(f"{argv[0]} did not end in {seconds:.0f} s")
        case _:
            raise OutcomeUnknown(
                f"nobody knows how {argv[0]} ended: what watched it was killed, or stopped"
            )


def environment(given: Mapping[str, str | Secret], named: Sequence[str] = ()) -> dict[str, str]:
    """What a program inherits, and what it is given.

    Every child's is made here. Raises NotFound (a `named` one).
    """
    texts = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in given.items()
    }
    return inherited(texts, named)


def secret(
    argv: str | Sequence[str], folder: str = "", own: Sequence[str] = (), timeout: float = 30.0
) -> str:
    """What `{command: [program, …]}` refers to.

    Raises NotFound, AccessDenied, PermanentError, TransientError.
    """
    words = [argv] if isinstance(argv, str) else argv
    try:
        ended = run(words, timeout=timeout, cwd=folder, own=own)
    except OutcomeUnknown as error:
        raise TransientError(error.message, error.hint) from error
    if ended.code != 0:
        raise PermanentError(f"{words[0]} ended with {ended.code}", _by_hand(own))
    return ended.value


def _by_hand(own: Sequence[str]) -> str:
    """The hint for a program that fails: perhaps for want of a variable that a person's
    shell has.
    """
    without = [name for name in withheld() if name not in own]
    told = (
        f"; it does not get {', '.join(without)}: name what it needs by `inherit: [NAME]`"
        if without
        else ""
    )
    return f"run it by hand to see why{told}"


def expect_success(
    ended: Ended, argv: Sequence[str], prints_keys: bool = False, own: Sequence[str] = ()
) -> Ended:
    """The end itself if it was a good one. Exit 75 means 'later', anything else 'no'.

    `prints_keys`: on its standard output, which then is not told; nor is what looks like a key
    among its errors.
    """
    words = (
        without_keys(last_line(ended.err.splitlines())) or UNSHOWN if prints_keys else ended.words
    )
    if ended.code == TEMPORARY:
        raise TransientError(f"{argv[0]} asks to be run again later: {words}")
    if ended.code != 0:
        raise PermanentError(f"{argv[0]} ended with {ended.code}: {words}", _by_hand(own))
    return ended


def _not_started(program: str, number: int) -> PermanentError:
    if number == errno.ENOENT:
        return NotFound(f"the program {program} does not exist", "give its full path")
    why = os.strerror(number)
    hint = (
        "does its first line name what runs it (#!/bin/sh)?"
        if number == errno.ENOEXEC
        else "check its mode: chmod +x"
    )
    return AccessDenied(f"the program {program} cannot be executed: {why}", hint)


class LikePopen:
    """What packages that start programs of themselves are given for subprocess.Popen: the same door
    as ours.

    A login program (of a kubeconfig, or AWS's `credential_process`) gets what SDKs read, as nobody
    could name it, but nothing else that holds credentials; it is ended at its time-out, and is
    asked without a terminal.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        universal_newlines: bool = False,
        **_: Any,
    ) -> None:
        """Raises what `run` raises; TransientError for one that does not end."""
        given = {
            name: value for name, value in (env or {}).items() if os.environ.get(name) != value
        }
        try:
            self._ended = run(args, env=given, own=of_sdks(), timeout=deadline.CALL, cwd=cwd or "")
        except OutcomeUnknown as error:
            raise TransientError(
                error.message, "it logs in: run it by hand to see what it waits for"
            ) from error
        self.returncode = self._ended.code
        self._text = universal_newlines

    def communicate(self) -> tuple[Any, Any]:
        told = self._ended.out, self._ended.err
        return told if self._text else (told[0].encode(), told[1].encode())

    def wait(self) -> int:
        return self.returncode


class _Kept:
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
class _Ends:
    """Our ends of what leads to a program and its watcher."""

    stdin: IO[bytes]
    out: IO[bytes]
    err: IO[bytes]
    watcher: socket.socket

    def follow(self, given: bytes, seconds: float) -> tuple[str, _Kept, _Kept]:
        """What the watcher reports ('' if nothing), and what was printed until then."""
        kept = {self.out: _Kept(LIMIT, True), self.err: _Kept(_ERRORS, False)}
        left, end = memoryview(given), time.monotonic() + seconds
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
                    return self.watcher.recv(100).decode(), kept[self.out], kept[self.err]
                if self.stdin in ready:
                    left = left[self._gave(left) :]
                    if not left:
                        waiting.unregister(self.stdin)
                        self.stdin.close()
        return "", kept[self.out], kept[self.err]

    def _took(self, file: IO[bytes], kept: _Kept) -> bool:
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
def _started(
    argv: Sequence[str], env: Mapping[str, str], seconds: float, cwd: str
) -> Iterator[_Ends]:
    """A program under its watcher; both are ended with the block."""
    with contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs, _room(argv[0]):
            stdin, to_stdin = _pipe(theirs, ours)
            from_out, out = _pipe(ours, theirs)
            from_err, err = _pipe(ours, theirs)
            watcher, told = socket.socketpair()
            ours.enter_context(watcher)
            theirs.enter_context(told)
            inherited = (told.fileno(), from_out.fileno(), from_err.fileno())
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
                stdin=stdin,
                stdout=out,
                stderr=err,
                env=env,
                pass_fds=inherited,
                start_new_session=True,
                cwd=cwd or None,
            )
        ours.callback(_reap, process)
        ours.callback(watcher.close)  # before it is waited for
        for file in (to_stdin, from_out, from_err):
            os.set_blocking(file.fileno(), False)
        yield _Ends(to_stdin, from_out, from_err, watcher)


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


def _reap(watcher: subprocess.Popen[bytes]) -> None:
    try:
        watcher.wait(_GRACE)
    except subprocess.TimeoutExpired:  # stopped by somebody
        watcher.kill()
        watcher.wait()
