"""The one door to a user's own programs: secrets by standard input or named environment, never by argument.

A program runs under a small watcher that ends its process group when rotator dies; what it starts in a session of its
own lives on. It inherits no file of rotator's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotator import deadline
from rotator.errors import NotFound, OutcomeUnknown, PermanentError, TransientError
from rotator.secret import Secret, last_line

TEMPORARY = 75  # EX_TEMPFAIL: ask again later
REJECTED = 77  # EX_NOPERM: the key was refused
_LIMIT = 1_000_000

# Reads its standard input's death of rotator from a pipe that only rotator holds open.
_WATCHER = """
import os, select, signal, subprocess, sys
alive = int(sys.argv[1])
child = subprocess.Popen(sys.argv[2:], process_group=0)
os.close(0)
def end(*_):
    try: os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError: pass
signal.signal(signal.SIGTERM, lambda *_: (end(), os._exit(143)))
pid = os.pidfd_open(child.pid)
while True:
    ready, _, _ = select.select([alive, pid], [], [])
    if pid in ready:
        code = child.wait()
        os._exit(code if code >= 0 else 128 - code)
    end()
"""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """The last line it said, redacted."""
        return last_line((self.err or self.out).splitlines()) or "it said nothing"


def run(
    argv: Sequence[str],
    *,
    stdin: Secret | None = None,
    env: Mapping[str, str | Secret] | None = None,
    timeout: float = 60.0,
    cwd: str = "",
) -> Ended:
    """Run a program to its end, in the folder `cwd` ('' = where we are).

    Raises NotFound, OutcomeUnknown (time-out), LeaseLost.
    """
    deadline.check()
    if cwd and not Path(cwd).is_dir():
        raise NotFound(f"the folder {cwd} does not exist", "programs run in their playbook's folder: was it moved?")
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    extra = {name: value.reveal() if isinstance(value, Secret) else value for name, value in (env or {}).items()}
    watched = [sys.executable, "-I", "-S", "-c", _WATCHER, str(read_end), *argv]
    process = subprocess.Popen(
        watched,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **extra},
        pass_fds=(read_end,),
        start_new_session=True,
        cwd=cwd or None,
    )
    os.close(read_end)
    try:
        out, err = process.communicate(stdin.reveal() if stdin else "", timeout=deadline.remaining(timeout))
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise OutcomeUnknown(f"{argv[0]} did not end in {timeout:.0f} s") from error
    finally:
        os.close(write_end)
    if process.returncode == 1 and "FileNotFoundError" in err and argv[0] in err:
        raise NotFound(f"the program {argv[0]} does not exist", "give its full path")
    return Ended(process.returncode, out[:_LIMIT], err[-_LIMIT:])


def expect_success(ended: Ended, argv: Sequence[str]) -> Ended:
    """The end itself if it was a good one. Exit 75 means 'later', anything else 'no'."""
    if ended.code == TEMPORARY:
        raise TransientError(f"{argv[0]} asks to be run again later: {ended.words}")
    if ended.code != 0:
        raise PermanentError(f"{argv[0]} ended with {ended.code}: {ended.words}")
    return ended
