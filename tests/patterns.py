"""Examples of a key's pattern, made from the pattern itself: true ones, and near misses."""

from __future__ import annotations

import random
import re
import string
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
}
_MORE = 8  # repetitions beyond the least, where a pattern has no end
_NO_SIGN = "!"  # stands in no key that we know


class Examples:
    """Draws from a pattern; the same seed draws the same."""

    def __init__(self, pattern: str, seed: int = 0) -> None:
        self.pattern = pattern
        self._parts = list(_parser.parse(pattern))
        self._random = random.Random(f"{pattern} {seed}")

    def one(self) -> str:
        made = self._draw(self._parts)
        assert re.fullmatch(self.pattern, made), f"{made!r} is no {self.pattern}"
        return made

    def near_miss(self) -> str:
        """Too short by one, with another beginning, or with a sign in it that no key has; nothing
        in it matches.
        """
        fixed = len(self._shortest(self._parts[:-1]))
        short = self._shortest(self._parts)[:-1]
        wrong = self._random.choice(string.ascii_uppercase) + self.one()[1:]
        held = self.one()
        broken = held[: fixed + 1] + _NO_SIGN + held[fixed + 1 :]
        candidates = [short, wrong, broken]
        self._random.shuffle(candidates)
        return next(one for one in candidates if not re.search(self.pattern, one))

    def _draw(self, parts: Any, shortest: bool = False) -> str:
        return "".join(self._of(str(kind), found, shortest) for kind, found in parts)

    def _shortest(self, parts: Any) -> str:
        return self._draw(parts, shortest=True)

    def _of(self, kind: str, found: Any, shortest: bool) -> str:
        match kind:
            case "LITERAL":
                return chr(found)
            case "IN":
                return self._random.choice("".join(_signs(found)))
            case "SUBPATTERN":
                return self._draw(found[-1], shortest)
            case "BRANCH":
                return self._draw(self._random.choice(found[1]), shortest)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inside = found
                most = least + _MORE if most == _parser.MAXREPEAT else most
                times = least if shortest else self._random.randint(least, most)
                return "".join(self._draw(inside, shortest) for _ in range(times))
        raise ValueError(f"{kind} in {self.pattern}")


def _signs(found: Any) -> list[str]:
    signs = []
    for kind, value in found:
        match str(kind):
            case "LITERAL":
                signs.append(chr(value))
            case "RANGE":
                signs += [chr(code) for code in range(value[0], value[1] + 1)]
            case "CATEGORY":
                signs += _CATEGORIES[str(value)]
            case other:
                raise ValueError(other)
    return signs
