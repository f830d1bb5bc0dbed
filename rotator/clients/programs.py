"""The one door to programs: secrets by standard input or named environment, never by argument.

How a program is started, watched and ended is in `watcher`; here is what its end means.
Sources: sysexits(3) (75, 77), execve(2) (why one does not start).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator import deadline
from rotator.clients.watcher import LIMIT, started
from rotator.counting import about
from rotator.environment import inherited, of_sdks, withheld
from rotator.errors import AccessDenied, NotFound, OutcomeUnknown, PermanentError, TransientError
from rotator.secret import Secret, last_line, without_keys

TEMPORARY = 75  # EX_TEMPFAIL: ask again later
REJECTED = 77  # EX_NOPERM: the key was refused
UNSHOWN = "what it printed is not shown, as a key may stand in it"


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
    with deadline.outside(), started(argv, environment(env or {}, own), seconds, cwd) as ends:
        report, out, err = ends.follow(given, seconds)
    match report.split():
        case ["ended", code]:
            return Ended(argv[0], int(code), err.text(), out.text(), out.cut)
        case ["refused", number]:
            raise _not_started(argv[0], int(number))
        case ["late"]:
            raise OutcomeUnknown(f"{argv[0]} did not end in {about(seconds)}")
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
    missing = (
        f"; it does not get {', '.join(without)}: name what it needs by `inherit: [NAME]`"
        if without
        else ""
    )
    return f"run it by hand to see why{missing}"


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
        texts = self._ended.out, self._ended.err
        return texts if self._text else (texts[0].encode(), texts[1].encode())

    def wait(self) -> int:
        return self.returncode
