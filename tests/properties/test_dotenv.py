"""Any .env file: only the value changes, byte for byte."""

from __future__ import annotations

import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.errors import PermanentError
from rotator.integrations.files import dotenv_readers, dotenv_syntax
from rotator.integrations.files.dotenv import DotenvStore
from rotator.model import Note, single

NOTE = Note("k", "i", "01ROTATION", 0.0)
_PRINTABLE = st.characters(
    min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")
)
VALUES = st.text(_PRINTABLE, min_size=1, max_size=60)
_BARE = st.from_regex(r"[A-Za-z0-9_./:+=-]{0,20}", fullmatch=True)
_SPACE = st.sampled_from(["", "", " ", "  ", "\t"])
_TAIL = st.sampled_from(["", "", " # mine", "   ", " # KEY=no"])


@dataclass(frozen=True)
class Assignment:
    """A line that sets KEY; its value stands between head and tail."""

    head: str
    value: str
    quote: str
    tail: str

    @property
    def text(self) -> str:
        return f"{self.head}{self.quote}{self.value}{self.quote}{self.tail}"


@st.composite
def assignments(draw: st.DrawFn) -> Assignment:
    head = f"{draw(_SPACE)}{draw(st.sampled_from(['', '', 'export ', 'export   ']))}KEY{draw(_SPACE)}={draw(_SPACE)}"
    quote = draw(st.sampled_from(["", "'", '"']))
    value = draw(_BARE)
    if quote:
        value += draw(st.sampled_from(["", " with space", "#hash", " # no comment", "$HOME"]))
    return Assignment(head, value, quote, draw(_TAIL))


OTHERS = st.one_of(
    st.sampled_from(
        [
            "",
            "   ",
            "# a comment",
            "# KEY=commented",
            "  #KEY=x",
            "MY_KEY=1",
            "KEYS=2",
            "KEY2='3'",
            "export OTHER=4",
        ]
    ),
    st.builds(lambda v: f'MULTI="first\nKEY={v}\nlast"', _BARE),
    st.builds(lambda v: f"LONG={v}" + "x" * 5000, _BARE),
)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str | Assignment], str, str, bool]:
    lines = draw(st.lists(st.one_of(OTHERS, assignments()), max_size=8))
    return (
        lines,
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.sampled_from(["", "\ufeff"])),
        draw(st.booleans()),
    )


def written(lines: list[str | Assignment], end: str, mark: str, final: bool) -> bytes:
    texts = [line if isinstance(line, str) else line.text for line in lines]
    return (mark + end.join(texts) + (end if final and texts else "")).encode()


@given(file=files(), value=VALUES)
def test_only_the_value_changes_byte_for_byte(
    file: tuple[list[str | Assignment], str, str, bool], value: str
) -> None:
    lines, end, mark, final = file
    before = written(lines, end, mark, final)
    try:
        after = dotenv_syntax.put(before, "KEY", value, lambda: ["compose"])
    except PermanentError:  # single quotes cannot be used, and double ones change what they hold
        assert "'" in value and set(value) & set("$`\\"), value
        return
    assert dotenv_syntax.get(after, "KEY") == value
    ours = [line for line in lines if isinstance(line, Assignment)]
    if not ours:
        assert after.startswith(before) and after[len(before) :].strip().removeprefix(
            b"export "
        ).startswith(b"KEY=")
        return
    rest = after.decode().removeprefix(mark)
    for number, line in enumerate(lines):
        if isinstance(line, Assignment):
            head, tail = line.head, line.tail
            if not line.value and not line.quote:  # spaces after the sign belong to what follows
                head, tail = head.rstrip(), head[len(head.rstrip()) :] + tail
            assert rest.startswith(head)
            following = tail + (end if number + 1 < len(lines) or final else "")
            new = next(
                spelled
                for spelled in dotenv_readers._spellings(value, line.quote)
                if rest[len(head) :].startswith(spelled + following)
            )
            rest = rest[len(head) + len(new) + len(following) :]
        else:
            text = line + (end if number + 1 < len(lines) or final else "")
            assert rest.startswith(text)
            rest = rest[len(text) :]
    assert rest == ""


@given(value=VALUES, quote=st.sampled_from(["", "'", '"']))
@settings(max_examples=100)
def test_a_shell_reads_what_was_written(value: str, quote: str, tmp_path: Path) -> None:
    """An oracle that is not ours: the file sourced by sh gives the value back."""
    path = tmp_path / "env"
    path.write_bytes(
        dotenv_syntax.put(f"A=1\nKEY={quote}old{quote}\n".encode(), "KEY", value, lambda: ["bash"])
    )
    done = subprocess.run(
        ["sh", "-c", '. "$1"; printf %s "$KEY"', "sh", str(path)], capture_output=True, check=True
    )
    assert done.stdout.decode() == value


@given(mode=st.integers(0o400, 0o777).filter(lambda mode: mode & 0o400), link=st.booleans())
@settings(max_examples=100)
def test_any_mode_and_a_symlink_are_kept(mode: int, link: bool, tmp_path: Path) -> None:
    real, path = tmp_path / "real", tmp_path / ".env"
    for left in (real, path):
        left.unlink(missing_ok=True)
    real.write_text("KEY=old-value\n")
    real.chmod(mode)
    path.symlink_to(real) if link else real.rename(path)
    store = DotenvStore(path=str(path), key="KEY")
    held = store.read()
    assert held is not None
    store.write(single("new-value"), held.version, NOTE)
    assert path.is_symlink() is link and stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "KEY=new-value\n"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_what_a_line_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(Exception, match="line break"):
        dotenv_syntax.put(b"KEY=1\n", "KEY", value)
