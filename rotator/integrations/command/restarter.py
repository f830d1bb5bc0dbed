"""Restarter `command`: a program of the user's own restarts the consumers."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.clients import asking, foreseen, programs
from rotator.durations import Seconds
from rotator.model import Change, Evidence, Finding, Progress
from rotator.plugin import own_variables, playbook_folder, setting


@dataclass(frozen=True, kw_only=True)
class CommandRestarter:
    """Run a program that restarts; `ready`, if given, is asked until it ends with 0 (75 = not yet,
    else failed).
    """

    run: list[str] = setting(
        "Restarts the consumers; $ROTATOR_CHANGE is the same when it is repeated", program=True
    )
    ready: list[str] | None = setting(
        "Ends with 0 once all of them run", default=None, program=True
    )
    timeout: Seconds = setting("How long each may take", default=60.0)
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()

    @property
    def local(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"command {self.run[0].rsplit('/', 1)[-1]}"

    @property
    def evidence(self) -> Evidence:
        return Evidence.ANSWERS if self.ready else Evidence.NONE

    def preflight(self) -> list[Finding]:
        return foreseen.findings((self.run, self.ready), self.folder)

    def restart(self, change: Change) -> None:
        ended = asking.run(self.run, change, self.inherit, self.timeout, self.folder)
        programs.expect_success(ended, self.run, own=self.inherit)

    def progress(self, change: Change) -> Progress:
        if self.ready is None:
            return Progress(1, 1, True)
        return asking.ready(self.ready, change, self.inherit, self.timeout, self.folder)

    def shown(self, change: Change) -> Progress:
        """What `ready` says now; without it nothing shows anything (evidence `none`)."""
        return self.progress(change)
