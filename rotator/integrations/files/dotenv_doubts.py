"""What makes a .env file, or what it says of a variable, uncertain: then nothing is made, and
nothing is written.

A file is read by programs that disagree, and files of other kinds look like one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from rotator import plain, stand_in
from rotator.errors import PermanentError
from rotator.integrations.files import dotenv_readers as readers
from rotator.integrations.files import dotenv_syntax as syntax
from rotator.integrations.files.dotenv_readers import READERS
from rotator.integrations.files.dotenv_syntax import Found

_SECTION = re.compile(
    r"[ \t]*\[[ \t]*[A-Za-z0-9_.~/-][^\]\"',]*(?:\"[^\"]*\")?[ \t]*\][ \t]*(?:[#;].*)?"
)
_SOPS = re.compile(rb"(?m)^sops_(?:mac|version|lastmodified)=")
_DOTENVX = re.compile(rb"(?m)^(?:export[ \t]+)?DOTENV_PUBLIC_KEY\w*=")
_EXPORT = re.compile(r"[ \t]*export([ \t]+[A-Za-z_]\w*)+[ \t]*(?:#.*)?")
_OPENS = re.compile(
    r"[ \t]*(?:(?:if|for|while|until|case|select|function)\b|[A-Za-z_]\w*[ \t]*\(\)|[{(]["
    r" \t]*$)|.*<<-?[ \t]*['\"\\]?\w"
)
_CLOSES = re.compile(r"[ \t]*(?:(?:fi|done|esac)\b|[})])")
_UNENDED = re.compile(r"'[^']*\Z|\"(?:[^\"\\]|\\.)*+\Z", re.S)
_GLUED = re.compile(r"[a-z0-9][A-Z][A-Z0-9]*_[A-Z0-9_]+=.")
_LONG = 6  # a name of so many letters stands in no other value by chance
_COMMAND = re.compile(r"(?:;|&&|\|\|)\s*(?:export|declare|typeset|readonly|local|unset|set)\s")
_CLOSED = re.compile(r"(?:;|\s)(?:fi|done|esac|\})\s*$")
_ANOTHER = re.compile(r"[\s;&|(][\"']?[A-Za-z_]\w*[\"']?\+?=")
_CONFLICT = re.compile(r"(?:<{7}|>{7}|\|{7})(?: .*)?")
_CARRIAGE_RETURN = re.compile(rb"\r(?!\n|\Z)")
_ONE_LINE = "give it a line of its own, `NAME=value`"


def refuse(
    content: bytes, names: Collection[str], place: str, known: Callable[[], Collection[str]]
) -> None:
    """Raises PermanentError for a file, or an assignment of one of the names, that can mean several
    things.

    `known` tells the readers of the file, none where it may be anybody's.
    """
    file = _File(of_file(content, place).removeprefix("\ufeff").encode(), place)
    file.refuse_kind()
    for name in names:
        file.refuse_other_lines(name)
        for one in file.of(name):
            file.refuse_line(name, one, known)
        file.refuse_several(name)


def of_file(content: bytes, place: str) -> str:
    """The text of a file that may hold a key.

    Raises PermanentError for ciphertext, and for what is not UTF-8.
    """
    if tool := stand_in.ciphertext(content[:200].decode("latin-1")):
        raise PermanentError(
            f"{place} is encrypted by {tool}", f"only {tool} can write it: use the store `command`"
        )
    return plain.decoded(content, place)


@dataclass(frozen=True)
class _File:
    body: bytes
    place: str

    @cached_property
    def found(self) -> list[tuple[str, Found]]:
        return list(syntax.assignments(self.body))

    @cached_property
    def breaks(self) -> list[int]:
        return [found.start() for found in re.finditer(rb"\n", self.body)]

    @cached_property
    def others(self) -> list[tuple[int, str]]:
        """Lines that are no assignment, no comment and not empty, with their numbers."""
        told, at = [], 0
        for end, stop in [*((one.head, one.stop) for _, one in self.found), (len(self.body), 0)]:
            for number, line in enumerate(self.body[at:end].decode().split("\n"), self.number(at)):
                if line.strip() and not line.lstrip().startswith("#"):
                    told.append((number, line.rstrip("\r")))
            at = stop
        return told

    @cached_property
    def lone_returns(self) -> list[tuple[int, str]]:
        """Lines with a carriage return within them, comments too, with their numbers."""
        return [
            (number, line.decode())
            for number, line in enumerate(self.body.split(b"\n"), 1)
            if _CARRIAGE_RETURN.search(line)
        ]

    @cached_property
    def depths(self) -> list[int]:
        """For each line, how many blocks of a script are open before it."""
        found, depth = [], 0
        for line in self.body.decode().split("\n"):
            found.append(depth)
            if not line.lstrip().startswith("#"):
                closed = _CLOSES.match(line) or _CLOSED.search(line)
                depth = max(0, depth + bool(_OPENS.match(line)) - bool(closed))
        return found

    def of(self, name: str) -> list[Found]:
        return [one for assigned, one in self.found if assigned == name]

    def number(self, at: int) -> int:
        """Of the line there, the first being 1."""
        return bisect_left(self.breaks, at) + 1

    def line(self, at: int) -> str:
        return f"{self.place}, line {self.number(at)}: "

    def refuse_kind(self) -> None:
        """A file that is no .env file, or one that somebody is not done with."""
        if b"\n" not in self.body and _CARRIAGE_RETURN.search(self.body):
            text = f"{self.place}: its lines end in CR alone, which most readers take for no end"
            raise PermanentError(text, "save it with LF, or CR LF, at the end of each line")
        for number, line in self.others:
            if _CONFLICT.fullmatch(line):
                text = (
                    f"{self.place}, line {number}: git left a conflict there ({line.split()[0]}):"
                    " two versions of a part stand below each other"
                )
                raise PermanentError(text, "merge them by hand, and take its marks out")
            if _SECTION.fullmatch(line):
                text = (
                    f"{self.place} is an INI file: line {number} begins the section {line.strip()}"
                )
                hint = (
                    "a .env file has no sections, so one section's key cannot be told from"
                    " another's"
                )
                raise PermanentError(text, hint)
        if _SOPS.search(self.body):
            hint = (
                "a value that another tool writes breaks its signature: use the store `command`,"
                " with `sops set`"
            )
            raise PermanentError(f"{self.place} is a file of SOPS", hint)
        if (
            self.others
            and not self.found
            and not all(_EXPORT.fullmatch(line) for _, line in self.others)
        ):
            text = f"{self.place} is no .env file: no line of it is an assignment"
            raise PermanentError(text, "is the path right?")
        for name, one in self.found:
            if one.quote == "" and _UNENDED.match(one.value):
                text = (
                    f"{self.line(one.start)}the quote that begins the value of {name} does not end"
                )
                raise PermanentError(text, "readers look for its end in the lines that follow")

    def refuse_other_lines(self, name: str) -> None:
        """What says something of the variable, and is no assignment of it."""
        for number, line in self.lone_returns:
            if _means(name, line):
                text = (
                    f"{self.place}, line {number}: there is a CR without LF within it, which some"
                    f" readers take for the line's end, and {name} stands in it"
                )
                raise PermanentError(text, "put LF, or CR LF, at the end of each line")
        for number, line in self.others:
            if _means(name, line):
                text = (
                    f"{self.place}, line {number}: this is no assignment of {name} that is"
                    " understood"
                )
                raise PermanentError(text, _ONE_LINE)
        for assigned, one in self.found:
            if assigned != name and one.quote == "" and _assigned_in(name, one.value):
                raise PermanentError(
                    f"{self.line(one.start)}{name} stands behind another assignment", _ONE_LINE
                )

    def refuse_several(self, name: str) -> None:
        mine = self.of(name)
        if len({one.value for one in mine}) > 1:
            lines = " and ".join(str(self.number(one.start)) for one in mine[:5])
            raise PermanentError(
                f"{self.place} sets {name} to different values, in lines {lines}", "leave one"
            )
        if not any(one.value for one in mine) and _DOTENVX.search(self.body):
            text = f"{self.place} is a file of dotenvx, whose values are encrypted"
            raise PermanentError(text, "rotator would write the key in plain text into it")

    def refuse_line(self, name: str, one: Found, known: Callable[[], Collection[str]]) -> None:
        where = self.line(one.start)
        if one.quote == "" and (_ANOTHER.search(one.value) or _GLUED.search(one.value)):
            raise PermanentError(
                f"{where}there is more than the assignment of {name} in it", _ONE_LINE
            )
        if one.quote == "" and _COMMAND.search(one.value):
            raise PermanentError(
                f"{where}there is a command behind the assignment of {name}", _ONE_LINE
            )
        if self._continued(one) and {"bash", "systemd"} & set(known() or READERS):
            text = f"{where}the line before it ends with \\, so {name} may be a part of that one"
            raise PermanentError(text, _ONE_LINE)
        if self.depths[self.number(one.head) - 1] and "bash" in (known() or READERS):
            text = f"{where}{name} is set within a condition, a loop or a function of a script"
            raise PermanentError(text, _ONE_LINE)
        if not one.value:
            return
        instead, hint = stand_in.told(one.value)
        if instead:
            shown = f" ('{one.value[:60]}')" if stand_in.placeholder(one.value) else ""
            raise PermanentError(f"{where}{name} is {instead}{shown}", hint)
        others = readers.judged_otherwise(self.body[one.start : one.end].decode(), one.value)
        if others and not known():
            who = " and ".join(READERS[reader] for reader in others)
            hint = (
                "put the value into single quotes, or say who reads the file: `readers: [docker]`"
            )
            raise PermanentError(f"{where}the value of {name} is another one to {who}", hint)

    def _continued(self, one: Found) -> bool:
        """Whether the line before is an assignment that ends with a backslash which no other one
        escapes.
        """
        number = self.number(one.head) - 1
        if not number:
            return False
        begin = self.breaks[number - 2] + 1 if number > 1 else 0
        line = self.body[begin : self.breaks[number - 1]].removesuffix(b"\r")
        odd = (len(line) - len(line.rstrip(b"\\"))) % 2 == 1
        return odd and not line.lstrip().startswith(b"#")


def _means(name: str, line: str) -> bool:
    """Whether the line says something of the variable, other than to export it or to use it."""
    if _EXPORT.fullmatch(line):
        return False
    return re.search(rf"(?<![\w.$-])(?<!\$\{{){re.escape(name)}(?![\w.-])", line) is not None


def _assigned_in(name: str, value: str) -> bool:
    """Behind a blank, or glued to a value whose line break was lost."""
    if len(name) >= _LONG and re.search(rf"[A-Za-z0-9]{re.escape(name)}=", value):
        return True
    return (
        re.search(rf"(?:^|[\s;&|(])[\"']?{re.escape(name)}[\"']?[ \t]*[+:?]?=", value) is not None
    )
