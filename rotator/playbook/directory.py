"""A directory of playbooks: loaded together, reloaded on change, a broken file never taking others down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rotator.errors import ConfigError
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake, nearest
from rotator.playbook.places import absolute, working_directory
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import load


@dataclass
class Loaded:
    """What a directory holds: the playbooks that are right, and every mistake of those that are not."""

    playbooks: dict[str, Playbook] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    files: int = 0

    def mistakes_of(self, name: str) -> list[Mistake]:
        return [mistake for mistake in self.mistakes if Path(mistake.file).stem == name]

    def get(self, name: str) -> Playbook:
        """The playbook of this name. Raises ConfigError with the nearest name."""
        if name in self.playbooks:
            return self.playbooks[name]
        broken = self.mistakes_of(name)
        if broken:
            raise ConfigError(f"{broken[0].place}: {broken[0].text}", broken[0].hint)
        known = (
            nearest(name, self.playbooks) if self.playbooks else "there is none; `rotator validate` says where it looks"
        )
        raise ConfigError(f"there is no playbook '{name}'", known)


class Directory:
    """Playbooks of some directories, by file name without .yaml. `load()` reads again only what changed."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._loaded = Loaded()

    def load(self) -> Loaded:
        files = [path for folder in self.paths for path in _files(folder)]
        seen = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        if seen != self._seen or not self._loaded.files:
            self._loaded, self._seen = self._read(files), seen
        return self._loaded

    def _read(self, files: list[Path]) -> Loaded:
        loaded = Loaded(files=len(files))
        registry = Registry(tuple(path if path.is_dir() else path.parent for path in self.paths))
        for path in files:
            shown = _shown(path)
            document, mistakes = load(path, shown)
            document.folder = absolute(path.parent, working_directory())
            if not mistakes:
                for playbook in Loader(registry, document, mistakes).load(path.stem):
                    if playbook.name in loaded.playbooks:
                        other = loaded.playbooks[playbook.name].file
                        mistakes.append(document.mistake((), f"{other} has a playbook '{playbook.name}' already"))
                    loaded.playbooks.setdefault(playbook.name, playbook)
            loaded.mistakes += sorted(set(mistakes))
        loaded.mistakes += _shared_fields(loaded.playbooks)
        return loaded


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.glob(pattern) if path.is_file())


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(working_directory()))
    except ValueError:
        return str(path)


def _shared_fields(playbooks: dict[str, Playbook]) -> list[Mistake]:
    """Two playbooks that write one field: each would put its key over the other's. Both are taken out."""
    writers: dict[str, str] = {}
    mistakes = []
    for name, playbook in sorted(playbooks.copy().items()):
        for entry in playbook.stores:
            first = writers.setdefault(entry.name, name)
            if first != name and not entry.follows:
                mistakes.append(
                    Mistake(
                        playbook.file, 1, 1, f"{first} writes {entry.name}, too", "one field belongs to one playbook"
                    )
                )
                playbooks.pop(name, None)
    return mistakes
