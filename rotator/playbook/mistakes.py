"""Mistakes in playbooks: all of them at once, each with its place and the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from rotator.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """`line` and `column` count from 1; 0 where the file, or a directory, is wrong as a whole.

    `follows` from a mistake of another file, which is one of its own: none to be counted again.
    """

    file: str
    line: int
    column: int
    text: str
    hint: str = ""
    follows: bool = False

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class PlaybookMistakes(ConfigError):
    """Some playbooks are wrong; `mistakes` has every one."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes)
        first = self.mistakes[0]
        super().__init__(f"{first.place}: {first.text}", first.hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest right word, or with all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
