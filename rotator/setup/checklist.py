"""The checklist for the folders that hold keys: what git sees of them, who may read them, whether a
key stands where it does not belong.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator import plain, stand_in
from rotator.clients import patterns as key_patterns
from rotator.clients import programs
from rotator.counting import count
from rotator.errors import RotatorError
from rotator.integrations.files.dotenv import ignored_by_git
from rotator.secret import hint_of
from rotator.setup import env_files
from rotator.setup.found import Value, text_of

_CLOCK = 60.0  # seconds by which a clock may differ: signatures and grace bear that
_BIGGEST = 1_000_000  # bytes of a file that is looked through
_MOST = 20_000  # files of one work tree
_TOLD = 3  # places of keys that are named
_TELLING = 3  # fixed characters that a pattern must begin with to be looked for in any text
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the list: what it is about, and what was seen."""

    subject: str
    ok: bool
    text: str
    hint: str = ""


def checklist(folders: Iterable[Path], patterns: Collection[str]) -> Iterator[Item]:
    """Of each folder once, and of each work tree of git that they are in."""
    trees: dict[Path, None] = {}
    for folder in dict.fromkeys(plain.real(one) for one in folders):
        for path in _files(folder):
            if env_files.is_example(path):
                yield _example(path, patterns)
            else:
                yield _ignored(path)
                yield _mode(path)
        if tree := _work_tree(folder):
            trees[tree] = None
    for tree in trees:
        yield _tracked(tree, patterns)


def clocks(skews: Mapping[str, float]) -> Iterator[Item]:
    """How far this machine's clock is from those of the servers that were asked, the farthest."""
    if not skews:
        return
    host, skew = max(skews.items(), key=lambda one: abs(one[1]))
    text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} {host}"
    hint = "let it be synchronised (timedatectl set-ntp true): dates of keys are compared with it"
    yield Item("clock", abs(skew) <= _CLOCK, text, hint)


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    named = [path for path in found if env_files.looks_like_one(path) or _is_an_example(path)]
    return [path for path in named if not path.is_dir()]  # `.env` may be Python's


def _is_an_example(path: Path) -> bool:
    return ".env" in path.name and env_files.is_example(path)


def _ignored(path: Path) -> Item:
    if ignored_by_git(path):
        return Item(str(path), True, "git does not take it")
    return Item(str(path), False, "git would take it", f"add {path.name} to .gitignore")


def _mode(path: Path) -> Item:
    """Others than its owner and its group have no business in it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return Item(str(path), False, f"its mode cannot be read: {error.strerror}")
    shown = f"its mode is {mode:04o}"
    return Item(str(path), not mode & 0o007, shown, f"chmod o= {path}")


def _example(path: Path, patterns: Collection[str]) -> Item:
    """Whether an example holds what looks like a key."""
    try:
        values = env_files.values(path)
    except RotatorError as error:
        return Item(str(path), False, error.message, error.hint)
    real = [name for name, value in values.items() if _is_real(value, patterns)]
    if real:
        hint = "put a placeholder there; a key that was committed is known: rotate it"
        return Item(str(path), False, f"{', '.join(real)} looks like a real key", hint)
    return Item(str(path), True, "it holds no key")


def _is_real(value: Value, patterns: Collection[str]) -> bool:
    text = text_of(value)
    if not text or stand_in.told(text)[0]:
        return False
    return any(re.fullmatch(pattern, text) for pattern in patterns) and _is_random(text)


def _is_random(text: str) -> bool:
    return _RANDOM.match(text) is not None and len(set(text)) > 10


def _work_tree(folder: Path) -> Path | None:
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)


def _tracked(tree: Path, patterns: Collection[str]) -> Item:
    """Keys in files that git has: by the patterns of the catalog that no other text has."""
    try:
        listed = programs.run(["git", "-C", str(tree), "ls-files", "-z"], timeout=60)
    except RotatorError as error:
        return Item(str(tree), False, f"git cannot be asked: {error.message}", error.hint)
    if listed.code != 0:  # another user's tree, for instance: nothing was looked at
        return Item(str(tree), False, f"git cannot be asked: {listed.words}", "as its owner")
    names = [name for name in listed.out.split("\0") if name][:_MOST]
    telling = [
        re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])") for pattern in patterns if _tells(pattern)
    ]
    places = (place for name in names if name for place in _places(tree, name, telling))
    found = list(dict.fromkeys(places))
    if not found:
        return Item(str(tree), True, f"no key in {count(len(names), 'file')} of git")
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    text = f"what looks like a key is in git: {', '.join(found[:_TOLD])}{more}"
    return Item(str(tree), False, text, "its history keeps it: rotate that key, then take it out")


def _tells(pattern: str) -> bool:
    heads = key_patterns.heads(pattern)
    return bool(heads) and all(len(head) >= _TELLING for head in heads)


def _places(tree: Path, name: str, telling: Iterable[re.Pattern[str]]) -> Iterator[str]:
    path = tree / name
    try:
        if path.is_symlink() or path.stat().st_size > _BIGGEST:
            return
        content = plain.read(path)[0]
    except (OSError, RotatorError):
        return
    if b"\0" in content[:8000]:  # as git tells what is no text
        return
    text = content.decode(errors="replace")
    for pattern in telling:
        for match in pattern.finditer(text):
            if _is_random(match[0]) and not stand_in.told(match[0])[0]:
                line = text.count("\n", 0, match.start()) + 1
                yield f"{name}:{line} ({hint_of(match[0])})"
