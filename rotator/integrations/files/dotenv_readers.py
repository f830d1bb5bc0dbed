"""Who reads a line of a .env file as which value, and how a value is spelled so that all of them
read it right.

One line is up to five values to seven readers; how each of them reads is in `dotenv_dialects`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from rotator.errors import PermanentError
from rotator.integrations.files.dotenv_dialects import DIALECTS, Line

# What each is called in messages.
READERS = {
    "docker": "docker --env-file",
    "compose": "Compose",
    "compose-1": "Compose 1 (docker-compose)",
    "systemd": "systemd (EnvironmentFile)",
    "python-dotenv": "python-dotenv",
    "dotenv": "dotenv of Node.js",
    "bash": "a shell",
}


def read(reader: str, line: Line) -> str | None:
    """The value that the reader's newest version gives the variable; None where that is none, or an
    error.
    """
    return DIALECTS[reader][0](line)


def judged_otherwise(written: str, value: str) -> list[str]:
    """Those of the readers that give signs most meanings to whom a value that is written so is
    another one.
    """
    alone = Line("NAME=", written)
    return [reader for reader in ("bash", "compose") if read(reader, alone) != value]


def right(line: Line, value: str, among: Collection[str] = tuple(READERS)) -> frozenset[str]:
    """The readers to whom the line is this very value, in all of their versions."""
    return frozenset(
        reader for reader in among if all(one(line) == value for one in DIALECTS[reader])
    )


def may_be_right(line: Line, value: str) -> frozenset[str]:
    """The readers to whom the line is this value in some of their versions."""
    return frozenset(
        reader
        for reader, versions in DIALECTS.items()
        if any(one(line) == value for one in versions)
    )


def spelled(
    value: str,
    line: Line,
    tail: str,
    quote: str,
    known: Callable[[], Collection[str]],
    wanted: Collection[str],
    ours: Callable[[Line], str | None],
) -> str:
    """The value as it is written between what the line has and `tail`: in its present quoting,
    where that is right.

    It is right for all that are `known` to read it, or, where nobody knows them, for all of the
    `wanted`; and read by `ours`. Raises PermanentError, which says which reader is in the way.
    """
    every = {
        candidate: (right(written, value), ours(written) == value)
        for candidate in dict.fromkeys(_spellings(value, quote))
        for written in [Line(line.head, line.rest + candidate + tail, line.end)]
    }
    candidates = {candidate: found for candidate, (found, is_ours) in every.items() if is_ours}
    perfect = next(
        (candidate for candidate, found in candidates.items() if found >= {*wanted}), None
    )
    if perfect is not None and wanted:
        return perfect
    needed = {*(known() or wanted)}
    best = max(
        candidates,
        key=lambda one: (len(candidates[one] & needed), len(candidates[one] & {*wanted})),
        default="",
    )
    missed = needed - candidates.get(best, frozenset())
    if missed or not candidates:
        others = {
            reader for found, _ in every.values() if missed & found for reader in needed - found
        }
        raise PermanentError(*_in_the_way(line.name, missed or needed, others))
    return best


def _in_the_way(name: str, missed: Collection[str], others: Collection[str]) -> tuple[str, str]:
    who = _listed([READERS[reader] for reader in READERS if reader in missed])
    apart = _listed([READERS[reader] for reader in READERS if reader in others])
    told = f"{who} would need another one than {apart}" if apart else f"there is none for {who}"
    text = f"no spelling of the new {name} is right for all that read this file: {told}"
    return (
        text,
        (
            "say who does read it, for instance `readers: [compose]`, or make keys of letters and"
            " digits"
        ),
    )


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _spellings(value: str, quote: str) -> Iterator[str]:
    """The value in every quoting that is read here, the present one first."""
    double = [
        f'"{_shell_escaped(value)}"',
        f'"{value}"',
        '"' + re.sub(r'([\\"])', r"\\\1", value) + '"',
    ]
    ways = {"": [value], "'": [f"'{value}'"], '"': double}
    for kind in (quote, "", "'", '"'):
        yield from ways[kind]


def _shell_escaped(value: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", value)
