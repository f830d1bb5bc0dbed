"""Can a program be run at all?

Seen before anything is changed: its file, its mode, and what its first line names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from rotator.model import Finding, Level

_FIRST_LINE = 200  # bytes


def findings(programs: Iterable[Sequence[str] | None], folder: str = "") -> list[Finding]:
    """An error for each program that does not exist or cannot be executed; `folder` is where they
    run.
    """
    found = [_wrong(argv[0], folder) for argv in programs if argv]
    return [
        Finding(Level.ERROR, text, hint)
        for text, hint in dict.fromkeys(one for one in found if one)
    ]


def _wrong(program: str, folder: str) -> tuple[str, str] | None:
    if "/" not in program:
        if shutil.which(program) is None:
            return (
                f"the program {program} does not exist",
                "give its full path, or put it where PATH looks",
            )
        return None
    path = Path(folder or ".", program)
    try:
        if not path.exists():
            return f"the program {program} does not exist", "is the path right?"
        if path.is_dir() or not os.access(path, os.X_OK):
            return (
                f"the program {program} cannot be executed",
                f"chmod +x {program}; or is it on a `noexec` file system?",
            )
        return _without_interpreter(program, path)
    except OSError as error:
        return (
            f"the program {program} cannot be looked at: {error.strerror}",
            "check the owner and mode of its folders",
        )


def _without_interpreter(program: str, path: Path) -> tuple[str, str] | None:
    """A script whose first line names what is not there.

    What may be executed need not be readable.
    """
    if not os.access(path, os.R_OK):
        return None
    with path.open("rb") as file:
        first = file.read(_FIRST_LINE).splitlines()[:1]
    words = first[0][2:].split() if first and first[0].startswith(b"#!") else []
    if words and not Path(os.fsdecode(words[0])).exists():
        return (
            f"the program {program} needs {os.fsdecode(words[0])}, which does not exist",
            "correct its first line",
        )
    return None
