"""YAML with positions and limits: no aliases beyond reason, no duplicate keys, no huge files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from rotator import plain
from rotator.errors import PermanentError
from rotator.playbook.mistakes import Mistake

Path_ = tuple[str | int, ...]
_BIGGEST = 1_000_000
_MOST_NODES = 100_000
_SHORT = 20_000  # letters that are read quickly, whatever they say
_DEEPEST = 100
_BEGINS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_PLAIN = "tag:yaml.org,2002:str"
_TOO_MANY = "it has more parts than a playbook can have"
# libyaml's, where PyYAML was built with it: ten times as quick.
_FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FASTEST):  # type: ignore[misc]
    """A date is text as it was written: a zone decides what it means, and it is kept as JSON."""

    yaml_implicit_resolvers = {
        letter: [one for one in several if one[0] != "tag:yaml.org,2002:timestamp"]
        for letter, several in _FASTEST.yaml_implicit_resolvers.items()
    }


@dataclass
class Document:
    """The data of a file and where each part of it stands: path -> (line, column), counted from 1;
    looked up in `root` once there is a mistake to tell.

    Its relative paths begin in `folder` ('' = the working directory).
    """

    file: str
    data: Any
    places: dict[Path_, tuple[int, int]]
    folder: str = ""
    root: yaml.Node | None = None

    def mistake(self, path: Path_, text: str, hint: str = "") -> Mistake:
        """A mistake at the deepest known part of `path`."""
        if not self.places and self.root is not None:
            _find_places(self.root, (), self.places)
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return Mistake(self.file, line, column, text, hint)


def load(path: Path, shown: str) -> tuple[Document, list[Mistake]]:
    """Read one file. Mistakes of syntax come back, they are not raised."""
    document = Document(shown, None, {})
    try:
        text = plain.text(path, _BIGGEST)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return document, [
            Mistake(shown, 1, 1, f"cannot be read: {reason}", "a text file in UTF-8, readable here")
        ]
    except PermanentError:
        return document, [
            Mistake(shown, 1, 1, "is larger than a playbook can be", "is it the right file?")
        ]
    try:
        _refuse_many_parts(text)
        node = yaml.compose(text, Loader=_Loader)
        mistakes: list[Mistake] = []
        if node is not None:
            document.data = _Builder(document.file, mistakes).build(node)
            document.root = node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return document, [
            Mistake(
                shown, line, column, f"is not YAML: {error.problem}", "a tab, a quote, a colon?"
            )
        ]
    except (yaml.YAMLError, RecursionError, _TooMuch) as error:
        return document, [
            Mistake(
                shown,
                1,
                1,
                f"is not usable YAML: {error or 'nested too deeply'}",
                "write it plainly",
            )
        ]
    return document, mistakes


def _refuse_many_parts(text: str) -> None:
    """Before they are all in memory, where each takes a thousand times its letter; and deep ones
    before they are read, which takes the square of their depth.
    """
    if len(text) < _SHORT:
        return
    nodes = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        kind = type(event)
        nodes += kind not in _ENDS
        depth += 1 if kind in _BEGINS else -1 if kind in _ENDS else 0
        if nodes > _MOST_NODES or depth > _DEEPEST:
            raise _TooMuch(_TOO_MANY)


class _TooMuch(Exception):
    """More parts than a playbook can have: aliases that multiply."""


class _Builder:
    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self._file = file
        self._mistakes = mistakes
        self._nodes = 0
        self._scalars = SafeConstructor()

    def build(self, node: yaml.Node) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _TooMuch(_TOO_MANY)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child) for child in node.value]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in found:
                self._wrong(key_node, f"'{key}' stands here twice", "keep one")
            found[key] = self.build(value_node)
        return found

    def _key(self, node: yaml.Node) -> str:
        """As it is written: YAML 1.1 would read `on` as a truth value."""
        return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag == _PLAIN:
            return node.value  # most are, and it is all that would be made of them
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            words = getattr(error, "problem", None) or str(error)
            self._wrong(node, f"is not a plain value: {words}", "put it in quotes")
            return None

    def _wrong(self, node: yaml.Node, text: str, hint: str) -> None:
        self._mistakes.append(Mistake(self._file, *_place(node), text, hint))


def _find_places(node: yaml.Node, path: Path_, places: dict[Path_, tuple[int, int]]) -> None:
    """Where each part stands, of a document that could be built."""
    places.setdefault(path, _place(node))
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _find_places(child, (*path, index), places)
    elif isinstance(node, yaml.MappingNode):
        keys = _Builder("", [])
        for key_node, value_node in node.value:
            here = (*path, keys._key(key_node))
            _find_places(value_node, here, places)
            places[here] = _place(value_node)
            places[(*here, "=key")] = _place(key_node)


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
