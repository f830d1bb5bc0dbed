"""What speaks against replacing a file, in the same words here and on a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rotator.model import Finding, Level

_FILLED = re.compile(
    r"/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+/"
)  # where kubelets keep a volume's present content
_MANAGED = re.compile(
    rb"^[ \t]*[#;].*?\b((?:ansible|chef|puppet|salt)["
    rb" -]managed|(?:managed|generated|rendered|maintained) "
    rb"(?:by|from|with) \w[\w-]*|do not (?:edit|modify|change))",
    re.IGNORECASE | re.MULTILINE,
)
_HEAD = 4096  # bytes in which whoever generates a file says so


@dataclass(frozen=True, slots=True)
class Seen:
    """A file and its directory; the defaults are those of one that can be replaced.

    `real`: the file, links followed. `mode`: 0 where there is no file. `names`: its hard links.
    `mounted`: by itself. `unwritable`: its file system is read-only, here at least. `locked`,
    `sticky`: why its directory lets nobody, or only another user, replace it. `flags`: what
    chattr(1) set. `beside`: what an editor that has it open left there. `refused`: why a new file
    cannot have its attributes.
    """

    real: str = ""
    mode: int = 0
    names: int = 1
    mounted: bool = False
    unwritable: bool = False
    locked: bool = False
    sticky: bool = False
    flags: str = ""
    beside: str = ""
    refused: tuple[str, str] = ("", "")


def editors_files(name: str) -> tuple[str, ...]:
    """What vim and nano, emacs, kate and LibreOffice put beside a file that they have open."""
    return (f".{name}.swp", f".{name}.swo", f".#{name}", f".{name}.kate-swp", f".~lock.{name}#")


def findings(seen: Seen, place: str) -> Iterator[Finding]:
    """`place` is the file as people know it, with its host."""
    path = place.rpartition(":")[2]
    if seen.mode & 0o004:
        yield Finding(Level.WARNING, f"{place} is readable by everyone", f"chmod 640 {path}")
    problems = list(_problems(seen, place))
    for text, hint in problems:
        yield Finding(Level.ERROR, text, hint)
    if seen.refused[0] and not problems:
        yield Finding(Level.ERROR, *seen.refused)
    if seen.beside:
        text = f"{place} is open in an editor ({seen.beside} lies beside it)"
        hint = "whoever saves it puts the old key back: close it, or remove what an editor left"
        yield Finding(Level.WARNING, text, hint)


def _problems(seen: Seen, place: str) -> Iterable[tuple[str, str]]:
    real = seen.real or place
    if seen.mounted:
        yield (
            f"{place} is mounted by itself, so no new file can take its place",
            "mount its directory instead",
        )
    elif seen.flags:
        yield (
            f"{place} cannot be replaced: {seen.flags}",
            f"lsattr -d {real} shows it; chattr takes it off",
        )
    elif seen.unwritable:
        text = f"{place} cannot be replaced: its file system is read-only for rotator"
        yield (
            text,
            (
                f"in the sandbox of a unit `ReadWritePaths={Path(real).parent}` opens it; else"
                " mount it writable"
            ),
        )
    elif seen.locked:
        text = f"{place} cannot be replaced: its directory may not be written"
        yield text, "run rotator as its owner, or `sudo: true`"
    elif seen.sticky:
        text = f"{place} cannot be replaced: in a sticky directory, only its owner may"
        yield text, "run rotator as the file's owner, or keep it elsewhere"
    if seen.names > 1:
        text = f"{place} has {seen.names} names (hard links): the other ones would keep the old key"
        yield (
            text,
            f"`find / -xdev -samefile {real}` shows them; make them symbolic links to this one",
        )
    if _FILLED.search(real):
        text = f"{place} is in a volume that a kubelet fills: it would put its own content back"
        yield text, "write the Secret that it comes from: store `kubernetes`"


def managed(content: bytes) -> str:
    """The words by which a file says that a program makes it, or ''."""
    found = _MANAGED.search(content[:_HEAD])
    return found[1].decode(errors="replace") if found else ""
