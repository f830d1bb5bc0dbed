"""What stores that are files have in common: a file of this machine, or of hosts reached by ssh."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from rotator.clients import files, host_files, mounts
from rotator.clients.files import Snapshot
from rotator.clients.hosts import Host, ssh_config_file
from rotator.clients.mounts import Holder
from rotator.clients.seen import findings, managed
from rotator.errors import ConfigError, PermanentError
from rotator.model import Finding, Level
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class PlacedStore:
    """The settings of every store that is a file."""

    path: str = setting("The file, for instance /srv/app/.env", path=True, elsewhere="host")
    host: str | list[str] | None = setting(
        "Host as ssh knows it; a list: the same file on each, a store of its own; without any, this"
        " machine",
        default=None,
    )
    ssh_config: str | None = ssh_config_file()
    sudo: bool = setting("Read and write by `sudo -n`", default=False, connection=True)

    compare_and_set = True
    write_only = False

    def __post_init__(self) -> None:
        if self.host == []:
            raise ConfigError(
                "`host` is an empty list", "name one, or leave it out for this machine"
            )
        if self.sudo and not self.path.startswith("/"):
            raise ConfigError(
                f"{self.path} is no absolute path", "`sudo` has another home; begin with /"
            )
        if self.host and not self.path.startswith(("/", "~/")):
            raise ConfigError(
                f"{self.path} is no absolute path", "on a host it begins with / or ~/"
            )

    @property
    def local(self) -> bool:
        return not self.host

    def each(self) -> list[Self]:
        """One store for each host."""
        return (
            [replace(self, host=host) for host in self.host]
            if isinstance(self.host, list)
            else [self]
        )

    @property
    def place(self) -> str:
        """As `scp` names it."""
        return f"{self.host}:{self.path}" if self.host else self.path

    @property
    def _host(self) -> Host | None:
        """None where Python reads and writes the file itself."""
        return (
            Host(str(self.host or ""), self.ssh_config, self.sudo)
            if self.host or self.sudo
            else None
        )

    @property
    def _local(self) -> Path:
        return Path(self.path)

    def preflight(self) -> list[Finding]:
        """What speaks against replacing it; a warning where others may read it, or a program makes
        it.
        """
        host = self._host
        seen = host_files.look(host, self.path) if host else files.look(self._local)
        found = list(findings(seen, self.place))
        if stat.S_ISREG(seen.mode) and not any(finding.level is Level.ERROR for finding in found):
            with contextlib.suppress(PermanentError):  # told when it is read
                if snapshot := self._read():
                    found += self._about(snapshot)
        return found

    def _about(self, snapshot: Snapshot) -> Iterator[Finding]:
        """What its content warns of. Raises PermanentError."""
        if words := managed(snapshot.content):
            text = f"{self.place} is made by a program ('{words}'), which puts the old key back"
            yield Finding(
                Level.WARNING,
                text,
                "give that program the new key, too, or let it leave this file alone",
            )

    def holders(self) -> list[Holder]:
        """Processes that have the file mounted by itself: they never see the one that takes its
        place.
        """
        return (
            mounts.holders_on(self._host, self.path) if self._host else mounts.holders(self._local)
        )

    def stale_mounts(self) -> list[str]:
        return [f"{holder} has {self.place} mounted by itself" for holder in self.holders()]

    def retire(self, version: str) -> None:
        """The file holds one version only."""

    def tidy(self, expect: str) -> None:
        if self._host:
            host_files.tidy(self._host, self.path)
        else:
            files.tidy(self._local)

    def _read(self) -> Snapshot | None:
        return host_files.read(self._host, self.path) if self._host else files.read(self._local)

    def _replace(self, content: bytes, expect: str, tag: str) -> str:
        """The new version."""
        if self._host:
            return host_files.replace(self._host, self.path, content, expect, tag).version
        return files.replace(self._local, content, expect, tag).version
