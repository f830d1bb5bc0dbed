"""What a word of a catalog file may be: a placeholder, a JMESPath, who authenticates, a condition.

Sources: https://jmespath.org/specification.html, RFC 9110 (5.1: names of headers; 9: methods).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath
from jmespath.functions import Functions

from rotator.integrations.catalog.entry import ACCESS_TOKEN, KEY, OWNED, SLOT

Path_ = tuple[str | int, ...]
BRACED = re.compile(r"\{([^{}]*)\}")
KNOWN_IN = {
    "label": "in a create",
    "id": "in deactivate, reactivate, revoke, read and a create's `then`",
    "owner": f"in a revoke with `when: {OWNED}`",
    "handle": "in the `wait` of a create",
    SLOT: "in `slots.regenerate`",
    KEY: "among the secrets of the probe, of whoami, of a create and of revoke",
    ACCESS_TOKEN: "as what `api.token` fetches",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """A mistake at a path of the file's data; `word` is what was meant to be one of `known`."""

    path: Path_
    text: str
    hint: str = ""
    word: str = ""
    known: tuple[str, ...] = ()


@dataclass
class ProofOfWords:
    """What each word of a catalog file may stand for; mistakes gather in `found`."""

    data: Mapping[str, Any]
    found: list[Wrong] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = {
            name: entry
            for name, entry in self._map("settings").items()
            if isinstance(entry, Mapping)
        }
        self.known = known
        self.secrets = {name for name, entry in known.items() if entry.get("secret") is True}
        self.plain = known.keys() - self.secrets
        self.texts = {
            name for name in self.plain if known[name].get("type", "text") in ("text", "integer")
        }
        absent = {name for name, entry in known.items() if entry.get("default") is None}
        self.optional = {
            name for name in absent if not known[name].get("required", "default" not in known[name])
        }

    def wrong(self, path: Path_, text: str, hint: str = "") -> None:
        self.found.append(Wrong(path, text, hint))

    def _map(self, *path: str | int) -> Mapping[str, Any]:
        value = self._at(path)
        return value if isinstance(value, Mapping) else {}

    def _list(self, *path: str | int) -> Sequence[Any]:
        value = self._at(path)
        return value if isinstance(value, list) else []

    def _at(self, path: Path_) -> Any:
        value: Any = self.data
        for part in path:
            if isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _when(self, path: Path_, more: tuple[str, ...]) -> None:
        when = self._map(*path).get("when")
        known = (*sorted(self.optional - self.secrets), *more)
        if not isinstance(when, str) or when in known:
            return
        if when in self.known:
            self.wrong(
                (*path, "when"),
                f"'{when}' is always given",
                "`when` names a setting whose default is null",
            )
        else:
            text = f"there is no setting '{when}' with default null"
            self.found.append(Wrong((*path, "when"), text, "", when, known))

    def _placeholders(self, path: Path_, value: Any, context: set[str]) -> None:
        for name in BRACED.findall(value) if isinstance(value, str) else ():
            known = tuple(sorted(context | self.plain))
            if name in self.plain - self.texts and value != f"{{{name}}}":
                kind = self.known[name].get("type")
                self.wrong(
                    path, f"{{{name}}} is a {kind}: it stands alone in a body", f"'{{{name}}}'"
                )
            if name in known:
                continue
            if name in self.secrets or name in (KEY, ACCESS_TOKEN):
                self.wrong(
                    path,
                    f"{{{name}}} is a secret: it would stand in logs",
                    f"in `auth`, or as {{secret: {name}}} in a body or a header",
                )
            elif name in KNOWN_IN:
                self.wrong(path, f"{{{name}}} is not known here", f"it is known {KNOWN_IN[name]}")
            else:
                hint = "" if difflib.get_close_matches(name, known, 1, 0.6) else _in_words(known)
                self.found.append(Wrong(path, f"{{{name}}} stands for nothing", hint, name, known))

    def _paths(self, path: Path_, needed: tuple[str, ...]) -> None:
        for name, value in self._map(*path).items():
            if isinstance(value, str):
                self._jmespath((*path, name), value, name in needed)

    def _jmespath(self, path: Path_, text: Any, needed: bool) -> None:
        if not isinstance(text, str) or (not text and not needed):
            return
        try:
            parsed = jmespath.compile(text).parsed
        except jmespath.exceptions.JMESPathError as error:
            reason = str(error).split("\n")[0].split(", for expression")[0].removesuffix(":")
            self.wrong(
                path, f"`{text}` is no JMESPath: {reason}", "see jmespath.org; `a.b` is b within a"
            )
            return
        for name in _functions(parsed):
            if name not in Functions.FUNCTION_TABLE:
                known = tuple(sorted(Functions.FUNCTION_TABLE))
                self.found.append(
                    Wrong(path, f"JMESPath has no function {name}()", "", name, known)
                )


def placeholders(value: Any) -> set[str]:
    """The names in braces in all of it, the parts about authentication left out."""
    if isinstance(value, str):
        return {name.removeprefix("+") for name in BRACED.findall(value)}
    if isinstance(value, Mapping):
        return set().union(
            *(placeholders(inside) for name, inside in value.items() if name != "auth")
        )
    return set().union(*map(placeholders, value)) if isinstance(value, list) else set()


def _functions(parsed: Mapping[str, Any]) -> Iterator[str]:
    if parsed["type"] == "function_expression":
        yield parsed["value"]
    for child in parsed["children"]:
        if isinstance(child, Mapping):
            yield from _functions(child)


def _in_words(known: Sequence[str]) -> str:
    return (
        f"known here are {', '.join(f'{{{name}}}' for name in known)}"
        if known
        else "nothing is known here"
    )
