"""What an assignment of a .env file means to each program that reads such files.

Each function is written after its reader's source, and is tried against the reader itself
(`tests/properties/test_env_readers.py`): docker/cli `kvfile`, compose-go `dotenv`, systemd
`env-file.c`, python-dotenv `parser.py`, dotenv of Node.js, bash(1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class Line:
    """An assignment as it stands: up to and with its sign, and what follows up to the end of its
    (last) line.
    """

    head: str
    rest: str
    end: str = "\n"

    @property
    def name(self) -> str:
        return re.sub(r"^\s*(export\s+)?", "", self.head.removesuffix("=")).rstrip(" \t")


# --- docker run --env-file ---
def _docker(line: Line) -> str | None:
    """Verbatim, quotes and comments and all."""
    name = line.head.lstrip().removesuffix("=")
    if not name or any(char.isspace() for char in name):
        return None
    first, more, _ = line.rest.partition("\n")
    return first.removesuffix("\r") if more else first


# --- docker compose ---
_COMPOSE_ESCAPE = re.compile(r'\\(?:[abcfnrtv$"\\]|0\d{0,3})')
_COMPOSE_LETTERS = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_COMPOSE_VARIABLE = re.compile(r"\$(\$|[A-Za-z_{])")


def _compose(line: Line) -> str | None:
    text = line.rest.lstrip(" \t\r\v\f\x85\xa0")
    if text[:1] not in ("'", '"'):
        bare = text.partition("\n")[0].partition(" #")[0].rstrip()
        return _compose_expanded(bare)
    quote, chars, escape = text[0], "", False
    for at, char in enumerate(text[1:], 1):
        if char != quote:
            if not escape and char == "\\":
                escape = True
                continue
            chars += ("\\" if escape else "") + char
            escape = False
        elif escape:
            chars, escape = chars + char, False
        else:
            after = text[at + 1 :].strip()
            if after and not after.startswith("#"):
                return None
            return _compose_expanded(_compose_unescaped(chars)) if quote == '"' else chars
    return None


def _compose_unescaped(text: str) -> str | None:
    """None where Compose keeps what only Go understands: octal numbers and `\\c`."""
    strange = [found[0] for found in _COMPOSE_ESCAPE.finditer(text) if found[0][1] in "0c"]
    if strange:
        return None
    return _COMPOSE_ESCAPE.sub(
        lambda found: "$$" if found[0] == "\\$" else _COMPOSE_LETTERS[found[0][1]], text
    )


def _compose_expanded(text: str | None) -> str | None:
    """Without variables: None for what another variable, or an error, would take the place of."""
    if text is None or any(found[1] != "$" for found in _COMPOSE_VARIABLE.finditer(text)):
        return None
    return text.replace("$$", "$")


# --- systemd EnvironmentFile= ---
_SYSTEMD_BLANK = " \t\n\r"


def _systemd(line: Line) -> str | None:
    if not re.fullmatch(
        r"[A-Za-z_][A-Za-z0-9_]*", line.head.removesuffix("=").strip(_SYSTEMD_BLANK)
    ):
        return None
    state, value, blanks = "before", "", -1
    for at, char in enumerate(line.rest + "\n"):
        match state:
            case "before" if char in "\r\n":
                return value if at >= len(line.rest.rstrip("\r\n")) else None
            case "before" if char in ("'", '"', "\\"):
                state = {"'": "single", '"': "double", "\\": "escape"}[char]
            case "before" if char not in _SYSTEMD_BLANK:
                state, value = "bare", value + char
            case "bare" if char in "\r\n":
                return (
                    (value[:blanks] if blanks >= 0 else value)
                    if at >= len(line.rest.rstrip("\r\n"))
                    else None
                )
            case "bare" if char == "\\":
                state, blanks = "escape", -1
            case "bare":
                blanks = -1 if char not in _SYSTEMD_BLANK else blanks if blanks >= 0 else len(value)
                value += char
            case "escape":
                if char in "\r\n":
                    return None  # goes on in the next line
                state, value = "bare", value + char
            case "single" | "double" if char == {"single": "'", "double": '"'}[state]:
                state = "before"
            case "double" if char == "\\":
                state = "escape in double"
            case "escape in double":
                state = "double"
                value += char if char in '"\\`$' else "" if char == "\n" else "\\" + char
            case "single" | "double":
                value += char
    return None  # a quote that does not end


# --- python-dotenv: before 1.2.2, a backslash escaped nothing but a quote,
# and ` # …` alone was a value ---
_PYTHON_HEAD = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=")
_PYTHON_QUOTED = {
    "'": re.compile(r"'((?:\\.|[^'\\])*)'", re.S),
    '"': re.compile(r'"((?:\\.|[^"\\])*)"', re.S),
}
_PYTHON_ESCAPES = {"'": re.compile(r"\\[\\']"), '"': re.compile(r"\\[\\'\"abfnrtv]")}
_PYTHON_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PYTHON_VARIABLE = re.compile(r"\$\{[^}:]*(?::-[^}]*)?\}")


def _python(line: Line, before_1_2_2: bool = False) -> str | None:
    if not _PYTHON_HEAD.fullmatch(line.head):
        return None
    text = re.sub(r"^[^\S\r\n]+", "", line.rest)
    if text.startswith("#") and text != line.rest and not before_1_2_2:
        return ""
    if text[:1] not in ("'", '"') or not text:
        value = re.sub(r"\s+#.*", "", re.split(r"[\r\n]", text, maxsplit=1)[0]).rstrip()
    else:
        quoted = _PYTHON_QUOTED[text[0]].match(text)
        if quoted is None or not re.fullmatch(
            r"[^\S\r\n]*(?:#[^\r\n]*)?[^\S\r\n]*", text[quoted.end() :]
        ):
            return None
        if before_1_2_2 and quoted[1].endswith("\\"):
            return None  # it looks for the end of this quote in what follows
        value = _PYTHON_ESCAPES[text[0]].sub(
            lambda found: _PYTHON_LETTERS.get(found[0][1], found[0][1]), quoted[1]
        )
    return None if _PYTHON_VARIABLE.search(value) else value


# --- dotenv of Node.js ---
_NODE = re.compile(
    r"^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)"
    r"(\s*'(?:\\'|[^'])*'|\s*\"(?:\\\"|[^\"])*\"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$",
    re.M | re.A,
)


def _node(line: Line) -> str | None:
    text = re.sub(r"\r\n?", "\n", line.head + line.rest)
    found = _NODE.match(text)
    if found is None or found[1] != line.name:
        return None
    value = (found[2] or "").strip()
    first = value[:1]
    value = re.sub(r"^(['\"`])([\s\S]*)\1$", r"\2", value, flags=re.M)
    return value.replace("\\n", "\n").replace("\\r", "\r") if first == '"' else value


# --- bash, and any POSIX shell ---
_SHELL_ENDS = " \t\n"
_SHELL_OPERATORS = ";&|<>()"
_HOME = re.compile(r"~(?:[+-]|[0-9]+|root)?(?:[/:\s]|\Z)")
_EXPANDS = re.compile(r"\$[A-Za-z0-9_{(\[*@#?$!-]")


def _bash(line: Line) -> str | None:
    if not re.fullmatch(r"\s*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*=", line.head):
        return None
    text, value, at = line.rest + ("\r" if line.end == "\r\n" else ""), "", 0
    while at < len(text) and text[at] not in _SHELL_ENDS:
        part = _shell_part(text, at, value)
        if part is None:
            return None
        more, at = part
        value += more
    after = text[at:].lstrip(_SHELL_ENDS)
    if after == "\r" and at < len(text) - 1 and "export" in line.head:
        return (
            value  # `export KEY=… ` of a file with CRLF: the carriage return is a word of its own
        )
    return value if not after or (after.startswith("#") and "\n" not in after) else None


def _shell_part(text: str, at: int, before: str) -> tuple[str, int] | None:
    """What the next sign of a word means, with whatever is quoted by it, and where that ends."""
    char = text[at]
    if char == "'":
        end = text.find("'", at + 1)
        return (text[at + 1 : end], end + 1) if end > 0 else None
    if char == '"':
        return _shell_double(text, at + 1)
    if char == "\\":
        return (text[at + 1], at + 2) if at + 1 < len(text) and text[at + 1] != "\n" else None
    if (
        char in _SHELL_OPERATORS
        or char == "`"
        or _EXPANDS.match(text, at)
        or text[at : at + 2] in ("$'", '$"')
    ):
        return None
    if char == "~" and (not before or before.endswith(":")) and _HOME.match(text, at):
        return None
    return char, at + 1


def _shell_double(text: str, at: int) -> tuple[str, int] | None:
    value = ""
    while at < len(text):
        char = text[at]
        if char == '"':
            return value, at + 1
        if char == "`" or _EXPANDS.match(text, at):
            return None
        if char == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
            char, at = text[at + 1].replace("\n", ""), at + 1
        value, at = value + char, at + 1
    return None


# Each reader in all of its versions that differ, the newest first.
DIALECTS: dict[str, tuple[Callable[[Line], str | None], ...]] = {
    "docker": (_docker,),
    "compose": (_compose,),
    # It reads with python-dotenv 0.13 to 0.21 (docker-compose 1.26 to 1.29)
    "compose-1": (partial(_python, before_1_2_2=True),),
    "systemd": (_systemd,),
    "python-dotenv": (_python, partial(_python, before_1_2_2=True)),
    "dotenv": (_node,),
    "bash": (_bash,),
}
