"""Whether consumers run, by a program of the user's own: 0 = they do, 75 = not yet, anything else =
failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from rotator.clients import programs
from rotator.model import Change, Instance, Progress


def run(
    argv: Sequence[str], change: Change, own: Sequence[str], timeout: float, folder: str
) -> programs.Ended:
    """The program, told for which change: $ROTATOR_CHANGE, and since when: $ROTATOR_SINCE (Unix
    seconds).
    """
    environment = {"ROTATOR_CHANGE": change.id, "ROTATOR_SINCE": f"{change.since:.6f}"}
    return programs.run(argv, env=environment, own=own, timeout=timeout, cwd=folder)


def ready(
    argv: Sequence[str], change: Change, own: Sequence[str], timeout: float, folder: str
) -> Progress:
    """Raises PermanentError with the program's last words where it says that they failed."""
    ended = run(argv, change, own, timeout, folder)
    if ended.code == programs.TEMPORARY:
        return Progress(1, 0, False, text=ended.words)
    programs.expect_success(ended, argv, own=own)
    return Progress(1, 1, True, (Instance("ready"),))
