"""Who has a file mounted by itself: a mount keeps the file that it was made of, never what takes
that one's place.

So does `-v ./app.env:/app.env` in a container, until it is started anew. Source: proc(5),
mountinfo.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rotator import plain
from rotator.clients.hosts import Host

_ESCAPES = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}


@dataclass(frozen=True, slots=True)
class Holder:
    """A process of another mount namespace, or of ours, and where it sees the file (escaped as in
    mountinfo).
    """

    pid: int
    program: str
    place: str

    def __str__(self) -> str:
        place = self.place
        for char, escaped in _ESCAPES.items():
            place = place.replace(escaped, char)
        return f"{self.program} (process {self.pid}) at {place}"


def holders(path: Path) -> list[Holder]:
    """One for each place at which processes of this machine have the file mounted, as far as we may
    look.
    """
    if not path.is_file():
        return []
    spelled = str(plain.real(path)).translate(
        {ord(char): escaped for char, escaped in _ESCAPES.items()}
    )
    wanted = _as_mounted(spelled)
    found: dict[tuple[str, str], Holder] = {}
    ours = _namespace("self")
    looked = set()
    for process in Path("/proc").iterdir() if wanted else ():
        namespace = _namespace(process.name) if process.name.isdigit() else "none"
        if namespace == "none" or (namespace and namespace in looked):
            continue
        looked.add(namespace)
        for place in _places(process, wanted):
            if (namespace or ours, place) != (ours, spelled):
                holder = Holder(int(process.name), _program(process), place)
                found.setdefault((namespace, place), holder)
    return list(found.values())


def _as_mounted(spelled: str) -> str:
    """Device and path on it, as mountinfo names what is mounted; '' where /proc does not tell."""
    best, found = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            _, _, device, root, place, *_ = line.split(" ")
            inside = f"{spelled}/".startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, found = (
                    place,
                    f" {device} {root.rstrip('/')}{spelled.removeprefix(place.rstrip('/'))}",
                )
    return found


def _places(process: Path, wanted: str) -> Iterator[str]:
    """Where it is mounted; also what was there before the last replacement."""
    with contextlib.suppress(OSError):
        for line in (process / "mountinfo").read_text(errors="surrogateescape").splitlines():
            if f"{wanted} " in line or f"{wanted}//deleted " in line:
                yield line.split(" ")[4]


def _namespace(process: str) -> str:
    """'' where we may not look."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")  # noqa: PTH115  (a name, no path)
    except OSError:
        return ""


def _program(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip()
    return "a process"


_SCRIPT = r"""
[ -f "$p" ] || exit 0
spelled=$(printf %s "$p" | sed 's/\\/\\134/g; s/ /\\040/g'); best=; seen=
while read -r id parent device root place more
do
  case $spelled/ in
  "${place%/}"/*) if [ ${#place} -ge ${#best} ]; then best=$place; dev=$device; top=${root%/}; fi;;
  esac
done </proc/self/mountinfo
whole=$top${spelled#"${best%/}"}
ours=$(readlink /proc/self/ns/mnt)
grep -sF -e " $dev $whole " -e " $dev $whole//deleted " /proc/[0-9]*/mountinfo | head -n 500 |
while read -r first parent device root place more
do
  pid=${first#/proc/}; pid=${pid%%/*}; space=$(readlink "/proc/$pid/ns/mnt")
  if [ "${space:-$ours} $place" = "$ours $spelled" ]; then continue; fi
  case $seen in *"|$space $place|"*) continue;; esac
  seen="$seen|$space $place|"
  printf '%s %s %s\n' "$pid" "$place" "$(cat "/proc/$pid/comm")"
done
"""


def holders_on(host: Host, path: str) -> list[Holder]:
    """The same by a shell. Raises TransientError, AccessDenied, PermanentError."""
    from rotator.clients import host_files

    told = host.repeated(host_files.script(host, path, _SCRIPT)).out.splitlines()
    words = [line.split(" ", 2) for line in told]
    return [Holder(int(pid), program, place) for pid, place, program in words]
