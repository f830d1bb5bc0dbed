"""A directory of playbooks: loaded together, reloaded on change, a broken file never taking others
down.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rotator import installed, trust
from rotator.errors import ConfigError
from rotator.model import Overlap
from rotator.playbook.blackouts import ForAll, Reader, State, state_of
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake, nearest
from rotator.playbook.places import absolute, from_here, working_directory
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry, catalog_files
from rotator.playbook.yaml import load
from rotator.plugin import Slotted

Seen = tuple[tuple[str, int, int, int], ...]
_HELD_BACK = "no timer begins anything meanwhile"


@dataclass
class Loaded:
    """What directories hold: the playbooks that are right, and every mistake of those that are not.

    No playbook at all is a mistake of each directory. `looked` tells the directories, absolute.
    `following` are the mistakes that others of them brought about.
    """

    playbooks: dict[str, Playbook] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    following: list[Mistake] = field(default_factory=list)
    files: int = 0
    looked: tuple[str, ...] = ()

    def mistakes_of(self, name: str) -> list[Mistake]:
        every = (*self.mistakes, *self.following)
        return [mistake for mistake in every if Path(mistake.file).stem == name]

    def get(self, name: str) -> Playbook:
        """The playbook of this name. Raises ConfigError with the nearest name."""
        if name in self.playbooks:
            return self.playbooks[name]
        broken = self.mistakes_of(name)
        if broken:
            raise ConfigError(f"{broken[0].place}: {broken[0].text}", broken[0].hint)
        if (several := self.meant([name])) != [name]:
            raise ConfigError(f"{name} is several playbooks: {', '.join(several)}", "name one")
        hint = nearest(name, self.playbooks) if self.playbooks else _directories()
        raise ConfigError(f"there is no playbook '{name}' in {', '.join(self._places())}", hint)

    def meant(self, names: Iterable[str], key: str = "") -> list[str]:
        """The playbooks that these names mean, each once: a file that makes several bears the name
        of all of them. What nobody knows stays as it is.

        A `key` is one playbook's. Raises ConfigError where it is said with the name of several.
        """
        found: list[str] = []
        for name in names:
            series = [one.name for one in self.playbooks.values() if one.series == name]
            found += series if series and name not in self.playbooks else [name]
        meant = list(dict.fromkeys(found))
        if key and len(meant) > 1:
            text = f"{key} is a key of one of {', '.join(meant)}"
            raise ConfigError(text, "name that one")
        return meant

    def _places(self) -> Iterator[str]:
        """The directories that were looked at, and what is wrong with each."""
        wrong = {
            mistake.file: mistake.text for mistake in self.mistakes if mistake.file in self.looked
        }
        for place in self.looked:
            yield f"{place} ({wrong[place]})" if place in wrong else place


class Directory:
    """Playbooks of some directories, by file name without .yaml. `load()` reads again only what
    changed.

    `found`: nobody named the directories, so that one where we just stand must be ours or root's to
    be read at all. `trusted`: whoever wrote a playbook may name programs in it. `blackouts`: those
    of all playbooks, which may be set anew.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        found: bool = False,
        trusted: bool = False,
        blackouts: ForAll | None = None,
    ) -> None:
        self._trusted = trusted
        self.blackouts = blackouts or ForAll()
        self._read_with = self.blackouts
        self._calendars: dict[str, State] = {}
        self._refused = {
            path: why for path in paths if found and not trusted and (why := _strangers(path))
        }
        self.paths = tuple(path for path in paths if path not in self._refused)
        self._seen: tuple[Seen, list[Mistake]] = ((), [])
        self._loaded = Loaded()

    def load(self) -> Loaded:
        files: dict[Path, os.stat_result] = {}
        wrong = [
            _whole(_absolute(folder), f"is not read: it {why}", _named())
            for folder, why in self._refused.items()
        ]
        for folder in self.paths:
            for path, found in _look(folder):
                if isinstance(found, Mistake):
                    wrong.append(found)
                else:
                    files[path] = found
        beside = {path: _examined(path) for path in catalog_files(self.paths)}
        catalog = {
            path: found for path, found in beside.items() if isinstance(found, os.stat_result)
        }
        stats = {**files, **catalog}.items()
        seen = (
            tuple((str(path), s.st_mtime_ns, s.st_ctime_ns, s.st_size) for path, s in stats),
            wrong,
        )
        if seen != self._seen or not self._loaded.files or self._has_other_blackouts():
            reader, self._read_with = Reader(), self.blackouts
            self._loaded, self._seen = self._read(list(files), wrong, reader), seen
            self._calendars = reader.seen
        return self._loaded

    def _has_other_blackouts(self) -> bool:
        return self.blackouts != self._read_with or any(
            state_of(path) != state for path, state in self._calendars.items()
        )

    def _read(self, files: list[Path], wrong: list[Mistake], reader: Reader) -> Loaded:
        looked = tuple(_absolute(folder) for folder in (*self._refused, *self.paths))
        told = {mistake.file for mistake in wrong}
        loaded = Loaded(
            mistakes=list(wrong), files=len(files) + len(told - set(looked)), looked=looked
        )
        if not loaded.files:
            empty = [place for place in looked if place not in told]
            loaded.mistakes += [
                _whole(place, "the directory holds no playbook", _directories()) for place in empty
            ]
        registry = Registry(self.paths)

        def unread(path: str, text: str, hint: str) -> None:
            words = f"{text}: {_HELD_BACK} (`blackout` in {self.blackouts.where})"
            loaded.mistakes.append(_whole(path, words, hint))

        for_all = reader.for_all(self.blackouts, unread)
        for path in files:
            shown = from_here(path)
            document, mistakes = load(path, shown)
            document.folder = absolute(path.parent, working_directory())
            if not mistakes:
                foreign = "" if self._trusted else trust.foreign(path)
                for playbook in Loader(
                    registry, document, mistakes, foreign=foreign, reader=reader, for_all=for_all
                ).load(path.stem):
                    if playbook.name in loaded.playbooks:
                        other = loaded.playbooks[playbook.name].file
                        mistakes.append(
                            document.mistake(
                                (), f"{other} has a playbook '{playbook.name}' already"
                            )
                        )
                    loaded.playbooks.setdefault(playbook.name, playbook)
            loaded.following += [one for one in mistakes if one.follows]
            own = {one for one in mistakes if not one.follows}
            loaded.mistakes += sorted(own - set(loaded.mistakes))  # of a catalog file once
        loaded.mistakes += _shared_fields(loaded.playbooks)
        loaded.mistakes += _shared_slots(loaded.playbooks)
        return loaded


def _strangers(folder: Path) -> str:
    """Why a directory that nobody named is somebody else's word: itself, a playbook or a catalog
    file in it.
    """
    if folder.is_absolute() or not folder.is_dir():
        return ""
    for path in (
        folder,
        *sorted(folder.glob("*.y*ml")),
        folder / "providers",
        *catalog_files((folder,)),
    ):
        if why := trust.foreign(path):
            return why if path == folder else f"holds {path.relative_to(folder)}, which {why}"
    return ""


def _named() -> str:
    return f"{trust.OURS_OR_ROOTS}; to read it all the same, name it: ROTATOR_PLAYBOOKS"


def _look(folder: Path) -> Iterator[tuple[Path, os.stat_result | Mistake]]:
    """The playbook files of a directory (or the one that is named instead), and what keeps others
    from being read.
    """
    try:
        single = folder.stat()
        paths = [folder] if stat.S_ISREG(single.st_mode) else sorted(folder.iterdir())
    except OSError as error:
        yield folder, _whole(_absolute(folder), f"the directory {_why(error)}", _directories())
        return
    for path in paths:
        # Emacs keeps a link `.#NAME.yaml` to nowhere while NAME.yaml is edited.
        if path == folder or (path.suffix in (".yaml", ".yml") and not path.name.startswith(".#")):
            yield path, _examined(path)


def _examined(path: Path) -> os.stat_result | Mistake:
    """What the file system says of a playbook, or why it is none."""
    try:
        found = path.stat()
    except OSError as error:
        if path.is_symlink() and isinstance(error, FileNotFoundError):
            text = f"is a link to {path.readlink()}, which does not exist"
            return _whole(from_here(path), text, "mend or remove the link")
        return _whole(from_here(path), _why(error), "a text file, readable here")
    if not stat.S_ISREG(found.st_mode):
        what = "directory" if stat.S_ISDIR(found.st_mode) else "device, pipe or socket"
        return _whole(
            from_here(path),
            f"is a {what}, not a playbook",
            "a playbook is a text file; rename this",
        )
    return found


def _whole(place: str, text: str, hint: str) -> Mistake:
    """A mistake of a file or directory as a whole."""
    return Mistake(place, 0, 0, text, hint)


def _why(error: OSError) -> str:
    return (
        "does not exist"
        if isinstance(error, FileNotFoundError)
        else f"cannot be read: {error.strerror}"
    )


def _directories() -> str:
    return (
        "ROTATOR_PLAYBOOKS, or `playbooks` in rotator.toml, names the directories of playbooks; "
        f"examples are in {installed.shared('playbooks')}"
    )


def _absolute(folder: Path) -> str:
    try:
        return str(folder.absolute())
    except OSError:  # the working directory is gone
        return str(folder)


def _shared_slots(playbooks: dict[str, Playbook]) -> list[Mistake]:
    """Two playbooks of one credential with two slots: each would make the other's key anew.

    Both are taken out.
    """
    users: dict[str, str] = {}
    mistakes = []
    for name, playbook in sorted(playbooks.copy().items()):
        provider = playbook.provider
        if provider.overlap is not Overlap.TWO_SLOTS or not isinstance(provider, Slotted):
            continue
        first = users.setdefault(provider.credential_at, name)
        if first != name:
            text = f"{first} has the same two keys: each would make the other's key anew"
            hint = "one playbook for both: all stores and consumers of either key"
            mistakes.append(Mistake(playbook.file, 1, 1, text, hint))
            playbooks.pop(name, None)
            playbooks.pop(first, None)
    return mistakes


def _shared_fields(playbooks: dict[str, Playbook]) -> list[Mistake]:
    """Two playbooks that write one field: each would put its key over the other's.

    Both are taken out.
    """
    writers: dict[str, str] = {}
    mistakes = []
    for name, playbook in sorted(playbooks.copy().items()):
        for entry in playbook.stores:
            first = writers.setdefault(entry.name, name)
            if first != name and not entry.follows:
                mistakes.append(
                    Mistake(
                        playbook.file,
                        1,
                        1,
                        f"{first} writes {entry.name}, too",
                        "one field belongs to one playbook",
                    )
                )
                playbooks.pop(name, None)
    return mistakes
