"""The syntax of .env files: find a variable's value and replace it, byte for byte leaving everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rotator.errors import PermanentError

# Like bash, docker compose and python-dotenv: optional `export`, quotes, a comment after unquoted white space. Read by
# hand, in linear time: an expression that looks for the end of an unquoted value tries each of its blanks.
_HEAD = re.compile(rb"(?m)^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")
_DOUBLE = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_LINE_BREAK = re.compile(rb"[\r\n]|\Z")
_BLANKS = re.compile(rb"[ \t]*")
_COMMENT = re.compile(rb"(?<=[ \t])#")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_PLAIN = re.compile(r"[A-Za-z0-9_.+/=:@%,-]*")


@dataclass(frozen=True, slots=True)
class Found:
    """A variable in a file: where its value stands, how it is quoted, and what it is."""

    start: int
    end: int
    quote: str
    value: str


def find(content: bytes, name: str) -> list[Found]:
    """Every assignment of `name`; the last one is in force."""
    return [
        found for assigned, found in _assignments(content.removeprefix(b"\xef\xbb\xbf")) if assigned == name.encode()
    ]


def _assignments(content: bytes) -> Iterator[tuple[bytes, Found]]:
    at = 0
    while head := _HEAD.search(content, at):
        found, at = _quoted_value(content, head.end()) or _bare(content, head) or (None, head.end())
        if found is not None:
            yield head["name"], found


def _quoted_value(content: bytes, start: int) -> tuple[Found, int] | None:
    """A value in quotes that begins here, and where its line ends; None where there is none, or more after it."""
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
    return Found(start, end, quote.decode(), value.decode(errors="surrogateescape")), stop


def _line_end(content: bytes, at: int) -> int | None:
    """Where the line ends, if after `at` there are only blanks and a comment."""
    blanks = _BLANKS.match(content, at)
    assert blanks is not None
    stop = _stop(content, at)
    rest = blanks.end()
    comment = rest > at and content[rest : rest + 1] == b"#"
    return stop if comment or rest == stop else None


def _stop(content: bytes, at: int) -> int | None:
    """Where the line that `at` is in ends, before its line break; None for a carriage return inside a line."""
    found = _LINE_BREAK.search(content, at)
    assert found is not None
    stop = found.start()
    return None if content[stop : stop + 1] == b"\r" and content[stop + 1 : stop + 2] not in (b"", b"\n") else stop


def _bare(content: bytes, head: re.Match[bytes]) -> tuple[Found, int] | None:
    """A value without quotes: up to the blanks before a comment, or before the line's end."""
    start, stop = head.end(), _stop(content, head.end())
    if stop is None:
        return None
    comment = _COMMENT.search(content, start, stop)
    text = content[start : comment.start() if comment else stop].rstrip(b" \t")
    if not text:  # nothing yet: right after the sign, so that a comment stays a comment
        start = head.start() + len(head[0].rstrip(b" \t"))
    return Found(start, start + len(text), "", text.decode(errors="surrogateescape")), stop


def _unescape(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.S)


def get(content: bytes, name: str) -> str | None:
    """The value in force, or None."""
    found = find(content, name)
    return found[-1].value if found else None


def put(content: bytes, name: str, value: str) -> bytes:
    """The content with `name` set: every assignment of it replaced in its own quoting, or one added at the end."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise PermanentError(f"a value for {name} with a line break does not fit into a .env file")
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    body = content[len(mark) :]
    found = find(body, name)
    if not found:
        return content + _new_line(content, name, value)
    parts, at = [], 0
    for place in found:
        parts += [body[at : place.start], _quoted(value, place.quote).encode(errors="surrogateescape")]
        at = place.end
    return mark + b"".join([*parts, body[at:]])


def _new_line(content: bytes, name: str, value: str) -> bytes:
    end = b"\r\n" if b"\r\n" in content else b"\n"
    gap = b"" if not content or content.endswith(b"\n") else end
    return gap + f"{name}={_quoted(value, '')}".encode() + end


def _quoted(value: str, quote: str) -> str:
    """The value in this quoting, or in the next one that can hold it."""
    if quote == "" and _PLAIN.fullmatch(value):
        return value
    if quote in ("", "'") and "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'
