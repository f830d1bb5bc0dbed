"""Where the paths of a playbook are: a relative one begins in the playbook's folder, wherever
rotator was started.

The folder is the one that was named, made absolute but not followed through links: the files of a
mounted ConfigMap are links into a folder whose name changes with each version, and a release is
often reached through a link `current`.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rotator import trust
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.playbook.yaml import Path_
from rotator.reference import Reference

PARTS = {
    "generate": "provider",
    "store": "store",
    "restart": "restarter",
    "verify": "probe",
    "notify": "channel",
}

_PLAIN = (str, int, float, bool, type(None))  # nothing inside asks for a folder
Find = Callable[[str, str], type[Any] | None]
Wrong = Callable[[Path_, str, str], None]


def absolute(path: str | Path, folder: str | Path) -> str:
    """The path from `folder` on, without `.` and `..`.

    A `..` behind a link stays: the kernel follows the link first, and so would the path without it
    lead elsewhere.
    """
    joined = os.path.join(folder, path)  # noqa: PTH118  (a Path takes three times as long, and this is all of it)
    plain = "/" + os.path.normpath(joined).lstrip("/")
    if ".." not in joined.split("/") or os.path.realpath(plain) == os.path.realpath(joined):
        return plain
    return str(Path(joined))


def working_directory() -> str:
    """Where rotator was started; the root where that folder is gone by now."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return "/"


def from_here(path: Path) -> str:
    """From the working directory on, as it is typed there. Whole elsewhere, and in a service, which
    works in the root: "etc/rotator" would be no place to anybody.
    """
    here, text = working_directory(), str(path)
    return text[len(here) + 1 :] if here != "/" and text.startswith(f"{here}/") else text


@dataclass(frozen=True)
class Places:
    """Makes the paths of entries absolute. `wrong` is told what cannot be a path.

    `moved` is false for the playbook that a rotation keeps: its paths were absolute from the
    beginning. `foreign` tells why the playbook is somebody else's word: then it may name no
    program.
    """

    folder: str
    wrong: Wrong
    moved: bool = True
    foreign: str = ""

    def playbook(self, data: Mapping[str, Any], find: Find) -> dict[str, Any]:
        """A playbook's data with absolute paths; `find` gives a plugin by kind and name, None where
        there is none.
        """
        found = {
            part: self._part(PARTS.get(part, ""), value, (part,), find)
            for part, value in data.items()
        }
        if isinstance(monitor := found.get("monitor"), Mapping):
            found["monitor"] = self.settings(PrometheusMonitor, monitor, ("monitor",))
        schedule = found.get("schedule")
        if isinstance(schedule, Mapping) and schedule.get("blackout"):
            where: Path_ = ("schedule", "blackout")
            closed = self._each(self._blackout, schedule["blackout"], where)
            found["schedule"] = {**schedule, "blackout": closed}
        return found

    def _blackout(self, value: Any, where: Path_) -> Any:
        if not isinstance(value, Mapping) or "calendar" not in value:
            return value
        return {**value, "calendar": self._path(value["calendar"], (*where, "calendar"))}

    def _part(self, kind: str, value: Any, where: Path_, find: Find) -> Any:
        if kind and isinstance(value, list):
            return [
                self._part(kind, entry, (*where, index), find) for index, entry in enumerate(value)
            ]
        plugin = find(kind, str(value.get("uses"))) if kind and isinstance(value, dict) else None
        return self.settings(plugin, value, where) if plugin is not None else value

    def settings(self, plugin: type[Any], data: Mapping[str, Any], where: Path_) -> dict[str, Any]:
        """The settings of a plugin (or of a setting with settings), its paths absolute."""
        found = dict(data)
        for name, declared, kind in _declared(plugin):  # type: ignore[arg-type]
            if name not in found:
                continue
            value, here = found[name], (*where, name)
            if declared.get("runs"):
                self._obeyed(here)
            if declared.get("path"):
                if not found.get(declared.get("elsewhere", "")):
                    found[name] = self._each(self._path, value, here)
            elif declared.get("program"):
                found[name] = self._program(value, here)
            else:
                found[name] = self._inside(kind, value, here)
        return found

    def _inside(self, kind: Any, value: Any, where: Path_) -> Any:
        """A value whose type says where its paths are: a reference, or settings of a setting."""
        if kind is Reference:
            return self._reference(value, where)
        if isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
            return self.settings(kind, value, where)
        for part in typing.get_args(kind):
            of_values = typing.get_origin(kind) in (dict, Mapping) and isinstance(value, Mapping)
            if of_values:
                value = {
                    name: self._inside(part, one, (*where, name)) for name, one in value.items()
                }
            elif typing.get_origin(kind) is list and isinstance(value, list):
                value = [
                    self._inside(part, one, (*where, index)) for index, one in enumerate(value)
                ]
            else:
                value = self._inside(part, value, where)
        return value

    def _reference(self, value: Any, where: Path_) -> Any:
        if not isinstance(value, Mapping):
            return value  # told by the reference itself
        if value.keys() == {"file"}:
            return {"file": self._path(value["file"], (*where, "file"))}
        if value.keys() in ({"command"}, {"command", "inherit"}):
            return {**value, "command": self._program(value["command"], (*where, "command"))}
        return value

    def _each(self, one: Callable[[Any, Path_], Any], value: Any, where: Path_) -> Any:
        if isinstance(value, list):
            return [one(each, (*where, index)) for index, each in enumerate(value)]
        return one(value, where)

    def _program(self, value: Any, where: Path_) -> Any:
        """Program and arguments. A program without a slash is looked for on the PATH."""
        if not isinstance(value, list):
            return value
        self._obeyed(where)
        if not value or not str(value[0]).strip():
            self.wrong(where, f"'{where[-1]}' names no program", "a list: [program, argument, …]")
            return value
        program, *arguments = value
        if isinstance(program, str) and ("/" in program or "\0" in program):
            program = self._path(program, (*where, 0))
        return [
            program,
            *(self._argument(word, (*where, 1 + n)) for n, word in enumerate(arguments)),
        ]

    def _obeyed(self, where: Path_) -> None:
        """A program that is named here would run as us."""
        if self.foreign:
            words = f"a program is named here, and the file {self.foreign}"
            self.wrong(where, words, f"{trust.OURS_OR_ROOTS}: see `trust` in docs/credentials.md")

    def _path(self, value: Any, where: Path_) -> Any:
        if not isinstance(value, str) or not value:
            return value  # told as a value that is none
        if unfit := _unfit(value):
            self.wrong(
                where, f"{value!r} cannot be a path: {unfit}", "write the path alone, on one line"
            )
            return value
        expanded = os.path.expanduser(value)  # noqa: PTH111  (Path's raises where there is no such user)
        if expanded.startswith("~"):
            hint = f"write the absolute path; a name that begins with ~ is ./{value}"
            self.wrong(
                where,
                f"there is no user {value.split('/')[0][1:] or 'that we run as'} here: {value}",
                hint,
            )
            return value
        return self._found(value, expanded, where)

    def _found(self, value: str, expanded: str, where: Path_) -> str:
        """The absolute path of what a playbook of today names."""
        path = absolute(expanded, self.folder)
        if not self.moved or Path(expanded).is_absolute() or os.path.lexists(path):
            return path
        before = absolute(expanded, working_directory())
        if os.path.lexists(before):
            told = f"{value} begins in the playbook's folder: {path} is not there, but {before} is"
            self.wrong(where, told, f"move it there, or write {before}")
        return path

    def _argument(self, word: Any, where: Path_) -> Any:
        """An argument stays as it is: only the program knows whether it is a path."""
        before = self.moved and isinstance(word, str) and file_from_here(word)
        if before and not os.path.lexists(absolute(word, self.folder)):
            told = f"programs run in the playbook's folder, where {word} is not; {before} is"
            self.wrong(where, told, f"move it there, or write {before}")
        return word


def in_folder(value: Any, folder: str) -> Any:
    """A plugin (or what its settings are made of) that is told the playbook's folder wherever it
    asks for it.
    """
    if isinstance(value, Mapping):
        found = {name: in_folder(one, folder) for name, one in value.items()}
        return found if any(found[name] is not one for name, one in value.items()) else value
    if not is_dataclass(value) or isinstance(value, type):
        return value
    told = {}
    for name, is_folder in _made_of(type(value)):
        now = getattr(value, name)
        if is_folder or type(now) not in _PLAIN:
            then = folder if is_folder else in_folder(now, folder)
            if then is not now:
                told[name] = then
    return replace(value, **told) if told else value


@lru_cache(maxsize=512)
def _made_of(kind: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a class, and whether each is the playbook's folder."""
    return tuple((one.name, bool(one.metadata.get("folder"))) for one in fields(kind) if one.init)


def meant(written: Any, definition: Any) -> dict[str, str]:
    """Each path that was not written as it is meant, with the absolute one."""
    if isinstance(written, str):
        return {written: definition} if written != definition else {}
    if not isinstance(written, Mapping | list):
        return {}
    names = written.keys() if isinstance(written, Mapping) else range(len(written))
    return {
        then: now for name in names for then, now in meant(written[name], definition[name]).items()
    }


def file_from_here(word: str) -> str:
    """The file that a relative argument names in the working directory, or ''."""
    if not word or _unfit(word) or word.startswith("-"):
        return ""
    path = absolute(word, working_directory())
    try:
        return path if not Path(word).is_absolute() and Path(path).is_file() else ""
    except OSError:  # longer than any file's name, or where nobody may look
        return ""


def _unfit(text: str) -> str:
    """Why this cannot be a path that anybody means, or ''."""
    if not text.strip():
        return "it is blank"
    if not text.isprintable():
        return "it has a character that cannot be seen"
    return ""


@lru_cache(maxsize=256)
def _declared(plugin: type[Any]) -> tuple[tuple[str, Mapping[str, Any], Any], ...]:
    """Of each setting in which paths can be: its name in a playbook, what was declared of it, its
    type.
    """
    return tuple(_declarations(plugin))


def _declarations(plugin: type[Any]) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    kinds = typing.get_type_hints(plugin)
    for field in fields(plugin):
        has_paths = (
            field.metadata.get("path")
            or field.metadata.get("program")
            or _deeper(kinds[field.name])
        )
        if field.init and "help" in field.metadata and has_paths:
            yield field.metadata.get("spelled") or field.name, field.metadata, kinds[field.name]


def _deeper(kind: Any) -> bool:
    """Whether values of this type have settings of their own, or are references."""
    return (isinstance(kind, type) and is_dataclass(kind)) or any(
        map(_deeper, typing.get_args(kind))
    )
