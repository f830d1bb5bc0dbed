"""Restarter `systemd`: units restarted or reloaded, one after the other, each watched until it has
stayed up.

`systemctl restart` exits with 0 even where a Type=simple unit fails at once: only its state
afterwards tells.
Source: systemd.service(5) (Type=), org.freedesktop.systemd1(5) (ActiveState).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from rotator.clients.hosts import HostsConnection
from rotator.clients.procfs import Missing
from rotator.durations import Seconds
from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.systemd.manager import Manager, Unit
from rotator.model import Change, Evidence, Finding, Instance, Level, NotYet, Progress
from rotator.plugin import Address, beside_settings, setting
from rotator.secret import Secret

_PAUSE = 0.5
# Settings of a unit file that are read at the start, not by a reload.
_HINTS = {
    Missing.UNREADABLE: "may rotator read /proc/PID/environ there? `sudo: true`",
    Missing.ABSENT: "a service that reads its .env file itself never shows it: leave `env` out",
}
_STALE = r"^\s*((?:EnvironmentFile|(?:Load|Set|Import)Credential)(?:Encrypted)?)\s*=\s*\S"

_ENV_FILE = r"^\s*EnvironmentFile\s*=\s*-?\"?([^\"\n]*?)\"?\s*$"


@dataclass(frozen=True, kw_only=True)
class SystemdRestarter(HostsConnection):
    """Restart units of systemd, on this machine or by ssh; success is a new invocation that stayed
    up for `settle`.

    A unit that is inactive stays so: it will start with what the store holds.
    """

    units: list[str] = setting("Units, for instance [app.service, worker@*.service]")
    action: Literal["restart", "reload"] = setting(
        "`restart`, or `reload` where the service reads the key again", default="restart"
    )
    wave: int = setting("How many units, over all hosts, start at a time", default=1)
    settle: Seconds = setting("How long a unit must stay up", default=2.0)
    user: bool = setting("Units of the user's own manager", default=False)
    env: str | None = setting(
        "Variable that holds the key, read from the main process as proof", default=None
    )
    overrides: bool = setting(
        "The service's reader of .env files lets the file win over its environment"
        " (python-dotenv: override=True)",
        default=False,
    )
    file_variables: tuple[tuple[str, str], ...] = beside_settings()

    def __post_init__(self) -> None:
        if not self.units:
            raise ConfigError("no unit is named", "for instance `units: [app.service]`")
        if self.wave < 1:
            raise ConfigError("a wave has at least one unit", "for instance `wave: 1`")
        if self.user and self.sudo:
            raise ConfigError("`user` is the user's own manager, `sudo` is root's", "one of them")
        if self.env and self.action == "reload":
            raise ConfigError(
                "a reload changes no environment", "`action: restart`, or leave `env` out"
            )

    @property
    def name(self) -> str:
        where = ", ".join(host.name for host in self.hosts if host.name)
        return f"systemd {', '.join(self.units)}" + (f" on {where}" if where else "")

    def shared_as(self) -> str:
        where = ", ".join(sorted(host.told_apart for host in self.hosts))
        whose = f" of user {os.getuid()}" if self.user else ""
        return f"systemd {self.action} {', '.join(sorted(self.units))}{whose} on {where}"

    @property
    def evidence(self) -> Evidence:
        if self.action == "reload":
            return Evidence.ANSWERS
        return Evidence.READ if self.env else Evidence.STARTED

    @property
    def keeps_mounts(self) -> bool:
        """A reload leaves a unit's BindPaths= as they are."""
        return self.action == "reload"

    def beside(self, addresses: Sequence[Address]) -> SystemdRestarter:
        """With the hosts and variables of .env files: a unit there may have them in its
        environment, too.
        """
        files = [one for one in addresses if one.system == "dotenv"]
        return replace(self, file_variables=tuple((one.place, one.fields[0]) for one in files))

    @property
    def _managers(self) -> list[Manager]:
        return [Manager(host, self.user) for host in self.hosts]

    def env_reader(self, host: str | None, path: str) -> str:
        """systemd where a unit of these has the file as an `EnvironmentFile=`."""
        for manager in self._managers:
            if manager.host.name != (host or ""):
                continue
            for unit in self._units(manager):
                named = re.findall(_ENV_FILE, manager.files(unit.name), re.MULTILINE)
                if any(fnmatchcase(path, one) for one in named):
                    return "systemd"
        return ""

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        return [
            finding
            for manager in self._managers
            for unit in self._units(manager)
            for finding in self._check(manager, unit)
        ]

    def _check(self, manager: Manager, unit: Unit) -> list[Finding]:
        where, shown = f"{unit.name} on {manager}", unit.shown
        if shown["LoadState"] != "loaded":
            return [
                Finding(
                    Level.ERROR, f"there is no {where}", "`systemctl list-units` shows their names"
                )
            ]
        if shown["ActiveState"] == "inactive":
            return [
                Finding(Level.OK, f"{where} is inactive: it will start with what the store holds")
            ]
        if unit.state != "active/running":
            return [
                Finding(
                    Level.ERROR,
                    f"{where} is not well already: {unit.state}",
                    f"systemctl status {unit.name}",
                )
            ]
        if self.action == "reload":
            stale = sorted(set(re.findall(_STALE, manager.files(unit.name), re.MULTILINE)))
            if stale:
                text = (
                    f"{where} reads its key when it starts ({', '.join(stale)}): a reload keeps the"
                    " old one"
                )
                return [Finding(Level.ERROR, text, "`action: restart`")]
            if shown.get("CanReload") != "yes":
                return [Finding(Level.ERROR, f"{where} cannot be reloaded", "`action: restart`")]
        held = self._held(manager, unit)
        if isinstance(held, Missing) and held is not Missing.OVERWRITTEN:
            text = f"{where} shows no variable {self.env}: its process {unit.pid}: {held}"
            return [Finding(Level.ERROR, text, _HINTS[held])]
        return [Finding(Level.OK, f"{self.action}s {where}")]

    def restart(self, change: Change) -> NotYet | None:
        room = self.wave if self.action == "restart" else len(self.units) * 1000
        due: list[tuple[Manager, Unit]] = []
        managers = self._managers
        for manager in managers:
            units = self._running(manager)
            for unit in units:
                self._must_not_have_ended(manager, unit, change)
            must = [unit for unit in units if self._must(manager, unit, change)]
            room -= sum(
                unit not in must and not self._over(manager, unit, change) for unit in units
            )
            due += [(manager, unit) for unit in must]
        # Those that are down serve nobody: they go before one that does.
        due.sort(key=lambda one: one[1].state == "active/running")
        now, later = due[: max(0, room)], due[max(0, room) :]
        for manager in managers:
            if names := [unit.name for its, unit in now if its is manager]:
                manager.order(self.action, names)
        if later:
            words = ", ".join(f"{unit.name} on {manager}" for manager, unit in later[:5])
            return NotYet(_PAUSE, text=f"{words} wait for others")
        return None

    def progress(self, change: Change) -> Progress:
        total, current, waiting, instances = 0, 0, [], []
        for manager in self._managers:
            for unit in self._running(manager):
                total += 1
                held = self._held(manager, unit)
                instances.append(_instance(manager, unit, held))
                if self._over(manager, unit, change):
                    current += 1
                else:
                    without = (
                        f", without {self.env}"
                        if held in (Missing.ABSENT, Missing.UNREADABLE)
                        else ""
                    )
                    waiting.append(f"{unit.name} on {manager} is {unit.state}{without}")
        return Progress(total, current, current == total, tuple(instances), ", ".join(waiting[:5]))

    def shown(self, change: Change) -> Progress:
        instances = tuple(
            _instance(
                manager, unit, self._held(manager, unit) or self._kept(manager, unit, change)[1]
            )
            for manager in self._managers
            for unit in self._running(manager)
        )
        return Progress(len(instances), len(instances), True, instances)

    # --- one unit ---
    def _units(self, manager: Manager) -> list[Unit]:
        found = manager.units(self.units)
        if not found:
            words = ", ".join(self.units)
            raise NotFound(
                f"{manager} has no unit like {words}", "`systemctl list-units` shows their names"
            )
        return found

    def _running(self, manager: Manager) -> list[Unit]:
        """Those that run, or would if they could; one that somebody stopped is left as it is."""
        return [unit for unit in self._units(manager) if unit.shown["ActiveState"] != "inactive"]

    def _must(self, manager: Manager, unit: Unit, change: Change) -> bool:
        """Whether it has still to be restarted: by what its process holds, or, where that is not
        read, its start.
        """
        if self.action == "reload":
            return True  # nothing shows that it was; done twice it harms nobody
        held = self._held(manager, unit)
        if isinstance(held, Secret) and change.credential.values:
            return not change.fits(held)
        return unit.started_at <= change.since

    def _held(self, manager: Manager, unit: Unit) -> Secret | Missing | None:
        return manager.variable(unit.pid, self.env) if self.env and unit.pid else None

    def _kept(self, manager: Manager, unit: Unit, change: Change) -> tuple[str, Secret | None]:
        """A file's variable that its environment has with another value: with most readers that
        value wins. None where there is none, or it may not be read. That one fits is no proof: the
        file may win all the same.
        """
        if self.env or self.overrides or not unit.pid or not change.credential.values:
            return "", None
        for place, name in self.file_variables:
            if place == manager.host.name:
                value = manager.shows(unit.pid, name)
                if value is not None and not change.fits(value):
                    return name, value
        return "", None

    def _over(self, manager: Manager, unit: Unit, change: Change) -> bool:
        """Whether it is up with the change, and has stayed so.

        Raises PermanentError with its own words if it ended.
        """
        self._must_not_have_ended(manager, unit, change)
        up = unit.state == "active/running"
        if self.action == "restart":
            shows = self._held(manager, unit) not in (Missing.ABSENT, Missing.UNREADABLE)
            up = up and shows and unit.active_for >= self.settle
            up = up and not self._must(manager, unit, change)
        if up and (kept := self._kept(manager, unit, change)[0]):
            raise PermanentError(
                f"{unit.name} on {manager} has another {kept} in its environment than in the file,"
                " and with most readers that one wins",
                "take it out of the unit, or say `overrides: true` where its reader lets the file"
                " win",
            )
        return up

    def _must_not_have_ended(self, manager: Manager, unit: Unit, change: Change) -> None:
        """One that cannot start at all (its EnvironmentFile is gone) has no new process, but
        another state.

        One that systemd started again counts by when it ended: it may have done so with what it
        held before.
        """
        down = unit.shown["ActiveState"] == "failed" or unit.shown["SubState"] == "auto-restart"
        since = max(unit.started_at, unit.changed_at) if down else unit.left_at
        if (down or unit.restarts > 0) and since > change.since:
            said, shown = manager.last_words(unit.name), unit.shown
            code = f", exit {shown['ExecMainStatus']}" if shown["ExecMainStatus"] != "0" else ""
            words = f"{shown['Result']}{code}" + (f': "{said}"' if said else "")
            hint = f"`journalctl -u {unit.name}` on {manager} has more"
            raise PermanentError(f"{unit.name} on {manager} is {unit.state}: {words}", hint)


def _instance(manager: Manager, unit: Unit, held: Secret | Missing | None) -> Instance:
    return Instance(
        f"{unit.name} on {manager}",
        unit.started_at,
        held if isinstance(held, Secret) else None,
        untold=str(held) if held is Missing.OVERWRITTEN else "",
    )
