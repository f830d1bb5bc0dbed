"""Settings: rotator.toml, overridden by the environment."""

from __future__ import annotations

import os
import re
import socket
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator import plain, trust
from rotator.errors import ConfigError, PermanentError
from rotator.journal.sealing import KeySource
from rotator.schedules import blackouts, zones

if TYPE_CHECKING:
    from rotator.playbook.blackouts import ForAll
    from rotator.playbook.directory import Directory
    from rotator.playbook.playbook import ChannelEntry


@dataclass(frozen=True)
class Settings:
    """Where rotator keeps its state and finds its playbooks. Names are those of rotator.toml."""

    home: Path
    playbooks: tuple[Path, ...] = ()
    database_url: str = ""
    key_file: Path | None = None
    key_command: str = ""
    seal_with: str = ""
    log_level: str = ""  # of commands warning, of the daemon info
    log_format: str = "text"
    audit_stream: tuple[str, ...] = ()
    audit_export: str = ""
    ephemeral: bool = False  # a journal may be made where it ends with its container
    blackout: tuple[Any, ...] = ()  # of all playbooks: see docs/schedules.md
    blackout_timezone: str = "UTC"
    notify: Mapping[str, Any] = field(default_factory=dict)  # channels of all playbooks, by name
    node: str = ""  # the name by which playbooks mean this machine; its host name unless set
    trust: bool = False  # of /etc/rotator/rotator.toml alone: programs run whoever named them

    @property
    def directory(self) -> Directory:
        from rotator.playbook.directory import (
            Directory,
        )  # late: a journal is opened without any playbook

        return Directory(
            self.folders, not self.playbooks, trusted=self.trust, blackouts=self.blackouts
        )

    @property
    def blackouts(self) -> ForAll:
        from rotator.playbook.blackouts import ForAll  # late, as above

        return ForAll(self.blackout, self.blackout_timezone)

    @property
    def node_name(self) -> str:
        """By which `on:` of playbooks means where this runs."""
        return self.node or socket.gethostname()

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'journal.db'}"

    @property
    def key(self) -> KeySource:
        from rotator.playbook.registry import wrapping_ways  # late, as above

        file = self.key_file or self.home / "rotator.key"
        return KeySource(
            file, command=self.key_command, seal_with=self.seal_with, ways=wrapping_ways()
        )

    @property
    def channels(self) -> tuple[ChannelEntry, ...]:
        """Who is told of all playbooks. Raises ConfigError with the first mistake."""
        if not self.notify:
            return ()
        from rotator.playbook import channels  # late, as above

        return channels.made(self.notify)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Playbooks: as set, else ./playbooks, else /etc/rotator/playbooks.

        Both, where neither is there.
        """
        if self.playbooks:
            return self.playbooks
        usual = (Path("playbooks"), Path("/etc/rotator/playbooks"))
        return tuple(path for path in usual if _may_be(stat.S_ISDIR, path))[:1] or usual


_ETC = Path("/etc/rotator/rotator.toml")
_ENVIRONMENT = {
    "home": "ROTATOR_HOME",
    "playbooks": "ROTATOR_PLAYBOOKS",
    "database_url": "ROTATOR_DATABASE_URL",
    "key_file": "ROTATOR_KEY_FILE",
    "key_command": "ROTATOR_KEY_COMMAND",
    "seal_with": "ROTATOR_SEAL_WITH",
    "log_level": "ROTATOR_LOG_LEVEL",
    "log_format": "ROTATOR_LOG_FORMAT",
    "audit_stream": "ROTATOR_AUDIT_STREAM",
    "audit_export": "ROTATOR_AUDIT_EXPORT",
    "ephemeral": "ROTATOR_EPHEMERAL",
    "node": "ROTATOR_NODE",
}


_PROGRAMS = ("key_command", "audit_export")


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force.

    Raises ConfigError for a file that cannot be read or a key that does not exist.
    """
    trusted = _trusted()
    values: dict[str, Any] = _file(environment, trusted)
    values |= {
        name: environment[variable]
        for name, variable in _ENVIRONMENT.items()
        if environment.get(variable)
    }
    values.setdefault("home", _default_home(environment))
    return Settings(
        home=_path("home", values["home"]),
        playbooks=_paths(values.get("playbooks")),
        database_url=str(values.get("database_url", "")),
        key_file=_path("key_file", values["key_file"]) if values.get("key_file") else None,
        key_command=str(values.get("key_command", "")),
        seal_with=str(values.get("seal_with", "")),
        log_level=str(values.get("log_level", "")),
        log_format=str(values.get("log_format", "text")),
        audit_stream=_words("audit_stream", values.get("audit_stream")),
        audit_export=str(values.get("audit_export", "")),
        ephemeral=_switch("ephemeral", values.get("ephemeral", False)),
        blackout=_blackout(values.get("blackout")),
        blackout_timezone=_blackout_zone(values),
        notify=values.get("notify", {}),
        node=_node(values.get("node", "")),
        trust=trusted,
    )


def _file(environment: Mapping[str, str], trusted: bool) -> dict[str, Any]:
    named = environment.get("ROTATOR_CONFIG")
    candidates = [Path(named)] if named else [Path("rotator.toml"), _ETC]
    path = next((path for path in candidates if _may_be(stat.S_ISREG, path)), None)
    if path is None:
        if named:
            raise ConfigError(f"{named} does not exist", "ROTATOR_CONFIG names it")
        return {}
    foreign = "" if trusted else trust.foreign(path)
    if foreign and not named:
        hint = (
            f"{trust.OURS_OR_ROOTS}; to read it all the same, name it:"
            f" ROTATOR_CONFIG={path.absolute()}"
        )
        raise ConfigError(f"{path.absolute()} is not read: it {foreign}", hint)
    found = _read(path)
    if found.get("trust") is not None and path != _ETC:
        raise ConfigError(f"{path}: `trust` counts in {_ETC} alone", "take it out here")
    for name in _PROGRAMS:
        if foreign and found.get(name) and not environment.get(_ENVIRONMENT[name]):
            raise ConfigError(
                f"{path} names a program in {name}, and it {foreign}", trust.OURS_OR_ROOTS
            )
    if "notify" in found:
        from rotator.playbook import channels  # late: most name none

        found["notify"] = channels.checked(found["notify"], path, foreign)
    return found


def _trusted() -> bool:
    """Whether root said in /etc that programs run whoever named them."""
    if not _may_be(stat.S_ISREG, _ETC) or trust.foreign(_ETC):
        return False
    said = _read(_ETC).get("trust", False)
    if not isinstance(said, bool):
        raise ConfigError(f"{_ETC}: trust is true or false", "trust = true")
    return said


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(plain.text(path))
    except (OSError, ValueError, PermanentError) as error:
        raise ConfigError(f"{path}: {error}", 'it is a TOML file: name = "value"') from error
    known = {field.name for field in fields(Settings)}
    for name in found:
        if name not in known:
            raise ConfigError(
                f"{path}: unknown setting '{name}'", f"known are {', '.join(sorted(known))}"
            )
    return found


def _default_home(environment: Mapping[str, str]) -> str:
    if environment.get("STATE_DIRECTORY"):  # systemd's StateDirectory=
        return environment["STATE_DIRECTORY"].split(":")[0]
    if os.geteuid() == 0:
        return "/var/lib/rotator"
    from platformdirs import user_state_dir

    return user_state_dir("rotator")


def _may_be(kind: Callable[[int], bool], path: Path) -> bool:
    """Whether it is of this kind, or cannot be looked at: then that is told when it is read, not
    passed over.
    """
    try:
        return kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _paths(value: Any) -> tuple[Path, ...]:
    parts = _words("playbooks", value)
    if value and not parts:
        raise ConfigError(
            f"playbooks: '{value}' names no directory", "directories, separated by ':'"
        )
    return tuple(_path("playbooks", part) for part in parts)


def _blackout(value: Any) -> tuple[Any, ...]:
    """As in a playbook; a calendar's path absolute."""
    found = []
    for one in value if isinstance(value, list) else [value] if value else []:
        if isinstance(one, dict):
            one = {name: _as_text(part) for name, part in one.items()}
            if one.get("calendar"):
                one["calendar"] = str(_path("blackout", one["calendar"]).absolute())
        found.append(one)
    return tuple(found)


def _as_text(value: Any) -> Any:
    """TOML has dates, which playbooks have as text."""
    return value.isoformat() if isinstance(value, date) else value


def _blackout_zone(values: Mapping[str, Any]) -> str:
    """Raises ConfigError for blackouts that are none, too."""
    zone = values.get("blackout_timezone", "UTC")
    try:
        zones.check(str(zone))
        blackouts.of_entries(_blackout(values.get("blackout")), str(zone))
    except ValueError as error:
        raise ConfigError(
            f"blackout: {error}", 'blackout = ["fri 16:00-24:00", {calendar = "/etc/freeze.ics"}]'
        ) from error
    return str(zone)


def _path(name: str, value: Any) -> Path:
    try:
        return Path(value).expanduser()
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"{name}: {value} is no path here", "write it out: /absolute/path"
        ) from error


def _switch(name: str, value: Any) -> bool:
    words = {"true": True, "false": False}
    if (found := words.get(str(value).lower())) is None:
        raise ConfigError(f"{name}: {value} is neither true nor false", f"{name} = true")
    return found


def _node(value: Any) -> str:
    name = str(value)
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise ConfigError(f"node: '{name}' is no name", "letters, digits, `.`, `-` and `_`")
    return name


def _words(name: str, value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    if not isinstance(value, (str, list)):
        raise ConfigError(f"{name}: {value} is no list", f'{name} = ["…", "…"]')
    parts = (
        value.split(os.pathsep if os.pathsep in value else ",") if isinstance(value, str) else value
    )
    return tuple(str(part).strip() for part in parts if str(part).strip())
