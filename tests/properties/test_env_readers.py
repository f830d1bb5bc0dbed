"""Whoever read the old value of a .env file right reads the new one right: tried with the readers
themselves.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rotator.errors import PermanentError
from rotator.integrations.files import dotenv_readers, dotenv_syntax
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.files.dotenv_dialects import Line
from rotator.model import single
from tests.env_readers import READERS

FILES = 10_000 if os.environ.get("ROTATOR_FULL") else 1_000
_PLAIN = [*"abcXYZ0189", "_", "-", ".", "/", "+", "=", ":", "@", "%", ","]
_ODD = [
    "$", "$X", "$$", "\\", "'", '"', "`", "#", " #", " ", ";", "&", "|", "(", ")", "~", "!", "*", "?", "^", "[", "]",
    "{", "}", "<", ">", "\\n", "\\'", '\\"', "\\$", "é", "ключ", "${", "${X}", "\u2003",
]  # fmt: skip
_HEADS = (
    ["KEY="] * 6
    + ["export KEY="] * 3
    + ["  KEY=", "KEY =", "KEY= ", "KEY = ", "export  KEY=", "\tKEY="]
)
_TAILS = [""] * 8 + [" # production", "  ", ' # it\'s "mine"', "\t"]
_OTHERS = [
    "A=1", "export B=two", "# KEY=commented", "", "   ", 'C="with \\"quotes\\" # no comment"', "D='$X'", "E= # empty",
    "F=abc#def", "MY_KEY=x", "KEY2=y", "G=https://x/?KEY=1", 'H="one\ntwo"', "#!/bin/sh", "I=e\u0301",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A file, the value that was written into it, and what came of that (None: refused)."""

    before: Path
    after: Path | None
    old: str
    new: str


def _value(chance: random.Random, odd: float) -> str:
    parts = [
        chance.choice(_ODD if chance.random() < odd else _PLAIN)
        for _ in range(chance.randint(1, 14))
    ]
    return "".join(parts).strip() or "x"


def _content(chance: random.Random) -> str:
    """A file that sets KEY, in one of the ways that people write it; other lines around it."""
    end = chance.choice(["\n", "\n", "\n", "\r\n"])
    head, tail, value = (
        chance.choice(_HEADS),
        chance.choice(_TAILS),
        _value(chance, chance.choice([0, 0, 0.3])),
    )
    quoted = chance.choice(
        [value, value, f"'{value}'", f'"{value}"', '"' + dotenv_readers._shell_escaped(value) + '"']
    )
    lines = [chance.choice(_OTHERS) for _ in range(chance.randint(0, 4))]
    lines.insert(chance.randint(0, len(lines)), head + quoted + tail)
    return end.join(lines) + (end if chance.random() < 0.9 else "")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Files in which rotator finds a value, a new value written into each, or refused."""
    seed = int(
        os.environ.get("ROTATOR_SEED")
        or (random.SystemRandom().randrange(10**6) if FILES > 1_000 else 7)
    )
    print(f"ROTATOR_SEED={seed}")
    chance, folder, found = random.Random(seed), tmp_path_factory.mktemp("env"), []
    while len(found) < FILES:
        before, after = folder / f"{len(found)}.before", folder / f"{len(found)}.after"
        content = _content(chance).encode()
        store, new = (
            DotenvStore(path=str(after), key="KEY"),
            _value(chance, chance.choice([0, 0.2, 0.5])),
        )
        try:
            store._refuse_doubts(content)
        except PermanentError:
            continue  # nobody could be sure: tests/unit/test_env_files.py
        old = dotenv_syntax.get(content, "KEY")
        if not old:
            continue
        before.write_bytes(content)
        try:
            after.write_bytes(
                store._with(content, single(new))
            )  # as `write` does, without its fsync
        except PermanentError:
            found.append(Case(before, None, old, new))
            continue
        store._refuse_doubts(after.read_bytes())
        assert dotenv_syntax.get(after.read_bytes(), "KEY") == new
        found.append(Case(before, after, old, new))
    return found


@pytest.mark.parametrize("reader", READERS)
def test_who_read_the_old_value_right_reads_the_new_one_right(
    reader: str, cases: list[Case]
) -> None:
    read = READERS[reader]
    before = read([case.before for case in cases], "KEY")
    written = [
        (case, seen == case.old)
        for case, seen in zip(cases, before, strict=True)
        if case.after is not None
    ]
    after = read([case.after for case, _ in written if case.after], "KEY")
    wrong = [
        (case.before.read_bytes(), case.after.read_bytes(), seen)
        for (case, was_right), seen in zip(written, after, strict=True)
        if was_right and case.after and seen != case.new
    ]
    assert not wrong, f"{len(wrong)}: {wrong[:3]}"
    right = sum(was_right for _, was_right in written)
    print(
        f"{reader}: {right} of {len(written)} read right, before and after;"
        f" {len(cases) - len(written)} refused"
    )
    assert right > len(cases) // 50, "the files are such as this reader reads"


@pytest.mark.parametrize("reader", READERS)
def test_other_variables_are_read_as_before(reader: str, cases: list[Case]) -> None:
    written = [case for case in cases if case.after is not None][:: max(1, FILES // 500)]
    read = READERS[reader]
    before = [read([case.before for case in written], name) for name in ("A", "C", "MY_KEY", "H")]
    after = [
        read([case.after for case in written if case.after], name)
        for name in ("A", "C", "MY_KEY", "H")
    ]
    whole = read(
        [case.before for case in written], "KEY"
    )  # a file that is an error to it as a whole tells nothing
    for name, (one, other) in enumerate(zip(before, after, strict=True)):
        assert [o for o, w in zip(one, whole, strict=True) if w is not None] == [
            o for o, w in zip(other, whole, strict=True) if w is not None
        ], name


@pytest.mark.parametrize("reader", READERS)
def test_what_is_believed_of_a_reader_is_what_it_does(reader: str, tmp_path: Path) -> None:
    """Any line at all: what the model says that the reader sees, it sees."""
    chance = random.Random(11)
    lines = []
    for _ in range(FILES):
        rest = "".join(chance.choice([*_ODD, *_PLAIN]) for _ in range(chance.randint(0, 7)))
        rest = (
            chance.choice(["", "", " "])
            + chance.choice(["", "", "'", '"'])
            + rest
            + chance.choice(["", "'", '"'])
        )
        head = chance.choice(["KEY=", "KEY=", "export KEY=", " KEY=", "KEY ="])
        lines.append(Line(head, rest + chance.choice(_TAILS)))
    paths = [tmp_path / f"{number}.env" for number in range(len(lines))]
    for path, line in zip(paths, lines, strict=True):
        path.write_bytes(f"A=1\n{line.head}{line.rest}{line.end}".encode())
    believe = partial(dotenv_readers.read, reader)
    wrong = [
        (line, seen, believe(line))
        for line, seen in zip(lines, READERS[reader](paths, "KEY"), strict=True)
        if believe(line) is not None and believe(line) != seen
    ]
    assert not wrong, f"{len(wrong)}: {wrong[:3]}"
