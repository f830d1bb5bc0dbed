"""The syntax of .env files: find a variable's value and replace it, byte for byte leaving
everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from rotator.errors import PermanentError
from rotator.integrations.files import dotenv_readers as readers
from rotator.integrations.files.dotenv_dialects import Line

# Like bash, docker compose and python-dotenv: optional `export`, quotes, a comment after unquoted
# white space. Read by hand, in linear time: an expression that looks for the end of an unquoted
# value tries each of its blanks.
_HEAD = re.compile(rb"(?m)^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")
_DOUBLE = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_LINE_BREAK = re.compile(rb"[\r\n]|\Z")
_BLANKS = re.compile(rb"[ \t]*")
_COMMENT = re.compile(rb"(?<=[ \t])#")
_ESCAPE = re.compile(rb'\\([\\"$`nrt])')
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_SWALLOWS = re.compile(rb"(?m)^[ \t]*[#;][^\n]*\\\r?\n\Z")
Known = Callable[[], Collection[str]]
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Found:
    """A variable in a file: where its line and its value stand, how that is quoted, and
    what it is.
    """

    start: int
    end: int
    quote: str
    value: str
    head: int = 0  # where its line begins
    stop: int = 0  # where its line ends, before the line break

    def line(self, content: bytes) -> Line:
        """Its line as readers see it."""
        begin = content.index(b"=", self.head) + 1
        end = (
            b"\r\n"
            if content[self.stop : self.stop + 2] == b"\r\n"
            else content[self.stop : self.stop + 1]
        )
        return Line(
            _text(content[self.head : begin]), _text(content[begin : self.stop]), _text(end)
        )


def find(content: bytes, name: str) -> list[Found]:
    """Every assignment of `name`; the last one is in force."""
    return [
        found for assigned, found in assignments(content.removeprefix(_MARK)) if assigned == name
    ]


def assignments(content: bytes) -> Iterator[tuple[str, Found]]:
    """All of the file, without a mark of its encoding, with their names."""
    at = 0
    while head := _HEAD.search(content, at):
        found, at = _quoted_value(content, head) or _bare(content, head) or (None, head.end())
        if found is not None:
            yield head["name"].decode(), found


def _quoted_value(content: bytes, head: re.Match[bytes]) -> tuple[Found, int] | None:
    """A value in quotes that begins here, and where its line ends; None where there is none, or
    more after it.
    """
    start = head.end()
    quote = content[start : start + 1]
    if quote == b"'":
        end = content.find(quote, start + 1) + 1
    else:
        double = _DOUBLE.match(content, start)
        end = double.end() if double else 0
    stop = _line_end(content, end) if end else None
    if stop is None:
        return None
    text = content[start + 1 : end - 1]
    value = text if quote == b"'" else _unescape(text)
    return Found(start, end, quote.decode(), _text(value), head.start(), stop), stop


def _line_end(content: bytes, at: int) -> int | None:
    """Where the line ends, if after `at` there are only blanks and a comment."""
    blanks = _BLANKS.match(content, at)
    assert blanks is not None
    stop = _stop(content, at)
    rest = blanks.end()
    comment = rest > at and content[rest : rest + 1] == b"#"
    return stop if comment or rest == stop else None


def _stop(content: bytes, at: int) -> int | None:
    """Where the line that `at` is in ends, before its line break; None for a carriage return inside
    a line.
    """
    found = _LINE_BREAK.search(content, at)
    assert found is not None
    stop = found.start()
    return (
        None
        if content[stop : stop + 1] == b"\r" and content[stop + 1 : stop + 2] not in (b"", b"\n")
        else stop
    )


def _bare(content: bytes, head: re.Match[bytes]) -> tuple[Found, int] | None:
    """A value without quotes: up to the blanks before a comment, or before the line's end."""
    start, stop = head.end(), _stop(content, head.end())
    if stop is None:
        return None
    comment = _COMMENT.search(content, start, stop)
    text = content[start : comment.start() if comment else stop].rstrip(b" \t")
    if not text:  # nothing yet: right after the sign, so that a comment stays a comment
        start = head.start() + len(head[0].rstrip(b" \t"))
    return Found(start, start + len(text), "", _text(text), head.start(), stop), stop


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def get(content: bytes, name: str) -> str | None:
    """The value in force, or None."""
    found = find(content, name)
    return found[-1].value if found else None


def spelling(content: bytes, name: str) -> list[str]:
    """Each value of `name` as it is written, for `put` to write the very bytes again."""
    body = content.removeprefix(_MARK)
    return [_text(body[found.start : found.end]) for found in find(body, name)]


def put(
    content: bytes,
    name: str,
    value: str,
    known: Known = frozenset,
    written: Sequence[str] | None = None,
) -> bytes:
    """The content with `name` set: every assignment of it replaced in its own quoting, or one added
    at the end.

    It is right for the readers that are `known`; where nobody knows them, for all that read the
    present value right. `written`: how the value stood there before, which is written again as it
    was. Raises PermanentError for a value that cannot be written so.
    """
    if "\n" in value or "\r" in value or "\0" in value:
        raise PermanentError(f"a value for {name} with a line break does not fit into a .env file")
    mark = _MARK if content.startswith(_MARK) else b""
    body = content[len(mark) :]
    found = find(body, name)
    if not found:
        return content + _new_line(content, name, value, known)
    if written is not None and len(written) == len(found):
        after = mark + _replaced(body, found, written)
        if all(one.value == value for one in find(after, name)):
            return after
    spell = cache(partial(_spelled, value, known))  # many a file has the same line many times
    return mark + _replaced(body, found, [spell(*_around(body, one)) for one in found])


def _replaced(body: bytes, found: Sequence[Found], values: Sequence[str]) -> bytes:
    parts, at = [], 0
    for place, text in zip(found, values, strict=True):
        parts += [body[at : place.start], text.encode()]
        at = place.end
    return b"".join([*parts, body[at:]])


def misread(content: bytes, name: str, reader: str) -> str:
    """How the reader reads the variable, where it is not as we do; nothing of the value
    is in it.
    """
    marked = content.startswith(_MARK)
    body = content.removeprefix(_MARK)
    for found in find(body, name):
        line = found.line(body)
        seen = readers.read(reader, line)
        if marked and found.head == 0 and reader in ("systemd", "python-dotenv", "bash"):
            return "not at all: a byte order mark stands before it"
        if reader == "systemd" and _SWALLOWS.search(body[: found.head]):
            return "not at all: the comment before it ends with \\, and goes on"
        if seen == found.value:
            continue
        if seen is None:
            return "not at all, or as an error"
        more = bool(found.value) and found.value in seen
        return (
            "with more than the key: with quotes, blanks or a comment"
            if more
            else "as another value"
        )
    return ""


def _around(body: bytes, place: Found) -> tuple[Line, str, str, str, str]:
    """An assignment's line, its value and that one's quote, the blanks before the value and what
    stands behind it.
    """
    line = place.line(body)
    before = place.start - place.head - len(line.head.encode())
    return line, place.value, place.quote, line.rest[:before], _text(body[place.end : place.stop])


def _spelled(
    value: str, known: Known, line: Line, present: str, quote: str, blanks: str, tail: str
) -> str:
    wanted = readers.may_be_right(line, present)
    before = Line(line.head, blanks, line.end)
    return readers.spelled(value, before, tail, quote, known, wanted, partial(_ours, known))


def _ours(known: Known, line: Line) -> str | None:
    """As it would be read here; None for what would be refused then."""
    content = (line.head + line.rest + "\n").encode(errors="surrogateescape")
    found = find(content, line.name)
    if len(found) != 1:
        return None
    written = _text(content[found[0].start : found[0].end])
    return (
        None
        if readers.judged_otherwise(written, found[0].value) and not known()
        else found[0].value
    )


def _new_line(content: bytes, name: str, value: str, known: Known) -> bytes:
    """As its neighbours are: exported, if all of them are."""
    end = b"\r\n" if b"\r\n" in content else b"\n"
    gap = b"" if not content or content.endswith(b"\n") else end
    body = content.removeprefix(_MARK)
    lines = [found.line(body).head.split() for _, found in assignments(body)]
    head = (
        "export "
        if lines and all(words[0] == "export" and len(words) > 1 for words in lines)
        else ""
    )
    line = Line(f"{head}{name}=", "", end.decode())
    able = readers.right(line, "")
    return (
        gap
        + (
            line.head + readers.spelled(value, line, "", "", known, able, partial(_ours, known))
        ).encode()
        + end
    )
