"""Restarter `command`: a program of the user's own restarts the consumers."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.clients import programs
from rotator.model import Change, Evidence, Finding, Instance, Progress
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class CommandRestarter:
    """Run a program that restarts; `ready`, if given, is asked until it ends with 0 (75 = not yet, else failed)."""

    run: list[str] = setting("Restarts the consumers; $ROTATOR_CHANGE is the same when it is repeated")
    ready: list[str] | None = setting("Ends with 0 once all of them run", default=None)
    timeout: float = setting("Seconds that each may take", default=60.0)

    @property
    def name(self) -> str:
        return f"command {self.run[0].rsplit('/', 1)[-1]}"

    @property
    def evidence(self) -> Evidence:
        return Evidence.ANSWERS if self.ready else Evidence.NONE

    def preflight(self) -> list[Finding]:
        return []

    def restart(self, change: Change) -> None:
        ended = programs.run(self.run, env=_environment(change), timeout=self.timeout)
        programs.expect_success(ended, self.run)

    def progress(self, change: Change) -> Progress:
        if self.ready is None:
            return Progress(1, 1, True)
        ended = programs.run(self.ready, env=_environment(change), timeout=self.timeout)
        if ended.code == programs.TEMPORARY:
            return Progress(1, 0, False, text=ended.words)
        programs.expect_success(ended, self.ready)
        return Progress(1, 1, True, (Instance("ready"),))


def _environment(change: Change) -> dict[str, str]:
    return {"ROTATOR_CHANGE": change.id, "ROTATOR_SINCE": f"{change.since:.6f}"}
