"""Restarter `process`: signal a process found by its pid file, and see that it, or another one, has
the key then.

Sources: signal(7), proc(5).
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rotator import deadline, plain
from rotator.clients import asking, foreseen, procfs
from rotator.clients.hosts import this_machine
from rotator.clients.procfs import Missing, Process
from rotator.durations import Seconds
from rotator.errors import AccessDenied, NotFound, PermanentError, TransientError
from rotator.model import Change, Evidence, Finding, Instance, Level, Progress
from rotator.plugin import Address, beside_settings, own_variables, playbook_folder, setting
from rotator.secret import Secret

_SLACK = 0.005
# /proc counts start times in hundredths of a second: a successor must start clearly after the write
_TICKS = 0.05
# By custom a process ends on these, and its supervisor starts another one; on others it may go on
# as the same one.
_ENDS = frozenset(
    {signals.SIGTERM, signals.SIGINT, signals.SIGQUIT, signals.SIGABRT, signals.SIGKILL}
)
_NOTHING = frozenset(
    {signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH}
)  # by default


@dataclass(frozen=True, kw_only=True)
class ProcessRestarter:
    """Send a signal to the process in a pid file: it ends and its supervisor starts another one, or
    it re-executes itself, or reads the key again.

    Without `env` and `ready`, restarted means: the pid file names a process that started after the
    change. One that re-executes itself keeps its id and its start time: so where the process
    handles the signal itself (HUP, USR1, USR2), `env` or `ready` must tell. With `env`: its
    environment, as it was when the program began, holds the key. With `ready`: a program of yours
    says so.

    Most readers of a .env file let a variable that is already in the environment win. So where the
    process has the file's variable there with another value, it runs with that one, whenever it
    started: `overrides` says that its reader lets the file win.
    """

    pid_file: str = setting("File with the process id, for instance /run/app.pid", path=True)
    signal: str = setting("HUP, USR2, TERM, …", default="HUP")
    env: str | None = setting(
        "Variable that holds the key in the process's environment, read from /proc as proof",
        default=None,
    )
    ready: list[str] | None = setting(
        "Ends with 0 once the process runs with the key (75 = not yet, else failed)",
        default=None,
        program=True,
    )
    overrides: bool = setting(
        "The process's reader of .env files lets the file win over its environment"
        " (python-dotenv: override=True)",
        default=False,
    )
    timeout: Seconds = setting("How long `ready` may take", default=60.0)
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()
    file_variables: tuple[str, ...] = beside_settings()

    def __post_init__(self) -> None:
        _number(self.signal)

    @property
    def local(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"process {Path(self.pid_file).name.removesuffix('.pid')}"

    @property
    def evidence(self) -> Evidence:
        if self.env:
            return Evidence.READ
        return Evidence.ANSWERS if self.ready else Evidence.STARTED

    def shared_as(self) -> str:
        return f"process {plain.real(Path(self.pid_file))} {self.signal} on {this_machine()}"

    @property
    def keeps_mounts(self) -> bool:
        """A process that re-executes itself sees the files that it saw before; one that ends may be
        started anew.
        """
        return _number(self.signal) not in _ENDS

    def beside(self, addresses: Sequence[Address]) -> ProcessRestarter:
        """With the variables of .env files, which may stand in the process's environment, too."""
        files = [one for one in addresses if one.system == "dotenv" and not one.place]
        return replace(self, file_variables=tuple(one.fields[0] for one in files))

    def _named(self) -> Process:
        return procfs.from_pid_file(Path(self.pid_file))

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        try:
            found = self._named()
        except NotFound as error:
            return [Finding(Level.ERROR, error.message, error.hint)]
        wrong = [*self._unfit(found), *foreseen.findings((self.ready,), self.folder)]
        return wrong or [Finding(Level.OK, f"{self._told} to {found}")]

    def restart(self, change: Change) -> None:
        found = self._named()
        if self._runs_with_it(found, change):
            return
        if (early := change.since + _TICKS - time.time()) > 0:
            raise TransientError("too soon after the write to tell processes apart", retry_in=early)
        deadline.check()
        try:
            procfs.send(found, _number(self.signal))
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise AccessDenied(
                f"{found} may not be signalled", "run rotator as its user"
            ) from error

    def progress(self, change: Change) -> Progress:
        found = self._found(change)
        if isinstance(found, Progress):
            return found
        shown = self._held(found)
        instance = _instance(found, self._proof(found, change))
        if not self._runs_with_it(found, change):
            return Progress(1, 0, False, (instance,), self._why_not(found, shown, change))
        if self.ready:
            asked = asking.ready(self.ready, change, self.inherit, self.timeout, self.folder)
            return Progress(1, asked.current, asked.converged, (instance,), asked.text)
        return Progress(1, 1, True, (instance,))

    def shown(self, change: Change) -> Progress:
        """Without `env`, `ready` is asked: nothing else tells what the process holds."""
        found = self._found(change)
        if isinstance(found, Progress):
            return found
        return Progress(1, 1, True, (_instance(found, self._proof(found, change)),))

    def _found(self, change: Change) -> Process | Progress:
        """The process; or all that can be said: that there is none, or what `ready` says alone."""
        try:
            found = self._named()
        except NotFound as error:
            return Progress(1, 0, False, text=error.message)
        if self.ready and not self.env:
            return asking.ready(self.ready, change, self.inherit, self.timeout, self.folder)
        return found

    # --- one process ---
    def _held(self, found: Process) -> Secret | Missing | None:
        """What `env` shows; without it, a file's variable that the environment has all the same."""
        if self.env:
            return procfs.variable(found.pid, self.env)
        if self.overrides or self.ready:
            return None
        shown = [procfs.variable(found.pid, name) for name in self.file_variables]
        return next((value for value in shown if isinstance(value, Secret)), None)

    def _proof(self, found: Process, change: Change) -> Secret | Missing | None:
        """What it holds as far as that is proven: a file's variable that fits is no proof, the
        file may have won when it started.
        """
        shown = self._held(found)
        if self.env or not isinstance(shown, Secret) or not change.credential.values:
            return shown
        return None if change.fits(shown) else shown

    def _runs_with_it(self, found: Process, change: Change) -> bool:
        """What was read from its environment decides; where nothing can be read, when
        it started.
        """
        shown = self._held(found)
        if isinstance(shown, Secret) and change.credential.values:
            # That a file's variable fits is no proof: the file may win all the same.
            if self.env or not change.fits(shown):
                return change.fits(shown)
        if shown in (Missing.ABSENT, Missing.UNREADABLE):
            return False
        if self.ready and not self.env:
            return False  # nothing shows here that it was signalled; done twice it harms nobody
        return found.started_at > change.since + _SLACK

    def _why_not(self, found: Process, shown: Secret | Missing | None, change: Change) -> str:
        if isinstance(shown, Secret) and not self.env and not change.fits(shown):
            return (
                f"{found} has another {' or '.join(self.file_variables)} in its environment than"
                " in the file, and with most readers that one wins: what starts it exports it"
                " (`overrides: true` where its reader lets the file win)"
            )
        if isinstance(shown, Secret) and self.env:
            return f"{found} was sent {self._told} and still shows another key in {self.env}"
        if shown in (Missing.ABSENT, Missing.UNREADABLE):
            return f"{found} does not show {self.env}: {shown}"
        return f"{found} was sent {self._told} and has run since before the change"

    def _unfit(self, found: Process) -> Iterator[Finding]:
        """What would come to light only after the key was written."""
        number, shown = _number(self.signal), self._held(found)
        does = procfs.handles(found, number)
        if not procfs.may_signal(found):
            yield Finding(Level.ERROR, f"{found} may not be signalled", "run rotator as its user")
        if found.stopped:
            yield Finding(Level.ERROR, f"{found} is stopped", f"`kill -CONT {found.pid}`")
        if does == "ignores" or (not does and number in _NOTHING):
            yield Finding(
                Level.ERROR,
                f"{found} ignores {self._told}",
                "`signal:` one that it acts on, such as TERM",
            )
        if not does and (child := procfs.runs_for_it(found)) is not None:
            text = (
                f"{found} is a shell that runs {child}: {self._told} would leave that one, with the"
                " old key"
            )
            yield Finding(
                Level.ERROR,
                text,
                "`exec` the program in the script, or have it write the pid file itself",
            )
        if isinstance(shown, Missing) and shown is not Missing.OVERWRITTEN:
            yield self._no_variable(found, shown)
        told = self.ready or (self.env and shown is not Missing.OVERWRITTEN)
        if does == "catches" and number not in _ENDS and not told:
            yield Finding(
                Level.ERROR,
                f"{found} handles {self._told} itself: it may go on as the same process, and"
                " nothing would show that it has the new key",
                "`env:` reads the key from /proc, `ready:` asks a program, `signal: TERM` ends it",
            )

    def _no_variable(self, found: Process, shown: Missing) -> Finding:
        text = f"{found} does not show {self.env}: {shown}"
        if shown is Missing.UNREADABLE:
            return Finding(Level.ERROR, text, "run rotator as its user, or leave `env` out")
        hint = (
            "one that reads its .env file itself never shows it: leave `env` out; or does the file"
            " name a wrapper?"
        )
        return Finding(Level.ERROR, text, hint)

    @property
    def _told(self) -> str:
        return _number(self.signal).name


def _instance(process: Process, held: Secret | Missing | None) -> Instance:
    return Instance(
        str(process.pid),
        process.started_at,
        held if isinstance(held, Secret) else None,
        untold=str(held) if held is Missing.OVERWRITTEN else "",
    )


def _number(name: str) -> signals.Signals:
    try:
        return signals.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError as error:
        raise PermanentError(
            f"there is no signal {name}", "for instance HUP, USR2 or TERM"
        ) from error
