"""Restarter `swarm`: services get the newest secret of a family, or are made to start anew; their
tasks are watched.

A service's own update settings decide how many tasks go at a time. A task counts as new by its
specification, which names the change and when it was ordered, by our clock.
Source: https://docs.docker.com/reference/cli/docker/service/update/ (`UpdateStatus`,
`UpdateConfig`, `ForceUpdate` of the API).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rotator.clients.marks import free
from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.docker import swarm
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.docker.container import moment
from rotator.integrations.docker.swarm import Service, Task
from rotator.integrations.docker.swarm_marks import (
    PREFIX,
    Newest,
    instance,
    made_for,
    marks,
    put,
    runs,
    taken,
)
from rotator.model import Change, Evidence, Finding, Level, NotYet, Progress
from rotator.plugin import Address, setting

_DISCOVER = "discover"
_PAUSE = 0.5  # seconds between two looks at a service whose tasks are not all up
# Seconds after the last write in which an update of before may come to its end by itself
_PATIENCE = 30.0
_ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")


@dataclass(frozen=True, kw_only=True)
class SwarmRestarter(EngineConnection):
    """Update services of Docker Swarm: the secret's reference is swapped, target file, owner and
    mode stay.

    A service that does not take the secret, but reads the key elsewhere, is made to start anew
    (`--force`). A roll-back by the service's own settings is recognised.
    """

    services: list[str] | str = setting(
        "`discover`: who takes the secret of the store `swarm`; or a list of names"
    )
    secrets: tuple[str, ...] = field(
        default=(), repr=False
    )  # families that the stores write; handed over when loaded

    evidence = Evidence.STARTED

    def __post_init__(self) -> None:
        if isinstance(self.services, str) and self.services != _DISCOVER:
            raise ConfigError("`services` is `discover` or a list", "for instance [paracle_api]")

    def beside(self, addresses: Sequence[Address]) -> SwarmRestarter:
        """With the secrets that the playbook's stores write.

        Raises ConfigError if there is nothing to discover by.
        """
        found = tuple(
            one.name
            for one in addresses
            if one.system == "swarm" and one.place == (self.host or "")
        )
        if self.services == _DISCOVER and not found:
            raise ConfigError(
                "there is no secret to discover the users of",
                "add a store `swarm`, or list the services",
            )
        return replace(self, secrets=found)

    @property
    def name(self) -> str:
        return (
            f"swarm {', '.join(self.services)}"
            if isinstance(self.services, list)
            else "swarm users of " + ", ".join(self.secrets)
        )

    def shared_as(self) -> str | None:
        """None where the stores write secrets: an update brings the services those of its own
        playbook alone.
        """
        if self.secrets or not isinstance(self.services, list):
            return None
        return f"swarm {', '.join(sorted(self.services))} of {swarm.swarm_id(self)}"

    def _mark(self, spec: dict[str, Any], change: str) -> str:
        """The label of containers in which this playbook leaves its changes: another one's, for the
        same service, stays beside it.
        """
        what = json.dumps(sorted(self.secrets or self.services))
        mark = f"{PREFIX}{hashlib.sha256(what.encode()).hexdigest()[:10]}"
        return mark if self.secrets else free(marks(spec["TaskTemplate"]), mark, change)

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        if not swarm.is_manager(self):
            return [
                Finding(
                    Level.ERROR,
                    f"{self.name}: this engine is no manager of a swarm",
                    "`host:` of a manager",
                )
            ]
        found = []
        for service in self._targets(self._newest()):
            name, tasks = service["Spec"]["Name"], self._tasks(service)
            up, wanted = sum(runs(task) for task in tasks), self._wanted(service)
            if (service.get("UpdateStatus") or {}).get("State") in (
                "updating",
                "paused",
                "rollback_started",
                "rollback_paused",
            ):
                text = (
                    f"service {name} is being updated: {service['UpdateStatus'].get('Message', '')}"
                )
                found.append(Finding(Level.ERROR, text, f"`docker service ps {name}`"))
            elif up < wanted:
                text = f"service {name} is not well already: {up} of {wanted} tasks run"
                found.append(Finding(Level.ERROR, text, f"`docker service ps {name}`"))
            else:
                found.append(Finding(Level.OK, f"updates service {name}"))
        return found

    def restart(self, change: Change) -> NotYet | None:
        newest = self._newest()
        for service in self._targets(newest):
            if made_for(service["Spec"]["TaskTemplate"], change.id):
                continue
            if not_yet := self._not_well(service, change):
                return NotYet(_PAUSE, text=f"service {service['Spec']['Name']} {not_yet}")
            swarm.update(
                self,
                service["ID"],
                lambda spec: put(spec, self._mark(spec, change.id), change.id, newest),
            )
        return None

    def _not_well(self, service: Service, change: Change) -> str:
        """Why an update would now take the tasks that serve before those that failed are back; ''
        where it would not.

        An update takes tasks in any order. A roll-back counts as completed once no task has the
        new specification, also while those that failed wait for their restart. Tasks that fail
        with what they had before, too, are not waited for: they need the update.
        """
        state = (service.get("UpdateStatus") or {}).get("State")
        if state == "rollback_started":
            return "rolls itself back"
        if state == "updating" and time.time() < change.since + _PATIENCE:
            return "is being updated"
        ours = marks(service["Spec"]["TaskTemplate"])
        if state == "paused" and ours and service.get("PreviousSpec"):
            swarm.roll_back(self, service)
            return "is rolled back: its update was paused"
        up, wanted = sum(map(runs, self._tasks(service))), self._wanted(service)
        return f"{up}/{wanted}" if up < wanted and not self._fails_as_it_is(service) else ""

    def _fails_as_it_is(self, service: Service) -> bool:
        """Whether a task failed with the service's present specification, and so did the one
        that was to take its place: both since the last update began.
        """
        present = marks(service["Spec"]["TaskTemplate"])
        began = moment((service.get("UpdateStatus") or {}).get("StartedAt", ""))
        places = Counter(
            task.get("Slot") or task.get("NodeID")
            for task in swarm.tasks(self, service["ID"])
            if task["Status"]["State"] in ("failed", "rejected")
            and marks(task["Spec"]) == present
            and moment(task["Status"].get("Timestamp", "")) > began
        )
        return max(places.values(), default=0) > 1

    def progress(self, change: Change) -> Progress:
        newest = self._newest()
        total, current, waiting, instances = 0, 0, [], []
        for service in self._targets(newest):
            tasks, total = self._tasks(service), total + 1
            instances += [instance(service, task, newest) for task in tasks]
            if self._over(service, tasks, change.id):
                current += 1
            else:
                new = sum(made_for(task["Spec"], change.id) and runs(task) for task in tasks)
                waiting.append(f"service {service['Spec']['Name']} {new}/{self._wanted(service)}")
        return Progress(total, current, current == total, tuple(instances), "; ".join(waiting[:5]))

    def shown(self, change: Change) -> Progress:
        newest = self._newest()
        services = self._targets(newest)
        instances = [
            instance(service, task, newest) for service in services for task in self._tasks(service)
        ]
        return Progress(len(services), len(services), True, tuple(instances))

    # --- whom ---
    def _targets(self, newest: Newest) -> list[Service]:
        services = {one["Spec"]["Name"]: one for one in swarm.services(self)}
        if isinstance(self.services, list):
            for name in self.services:
                if name not in services:
                    raise NotFound(
                        f"there is no service {name}", "`docker service ls` shows their names"
                    )
            return [services[name] for name in self.services]
        users = [
            one for one in services.values() if any(taken(one["Spec"]["TaskTemplate"], newest))
        ]
        return sorted(users, key=lambda one: str(one["Spec"]["Name"]))

    def _newest(self) -> Newest:
        if not self.secrets:
            return {}
        secrets, newest_of = swarm.secrets(self), {}
        for name in self.secrets:
            family = swarm.family(secrets, name)
            for one in family.values():
                newest = family[max(family)]
                newest_of[str(one["Spec"]["Name"])] = (
                    str(newest["ID"]),
                    str(newest["Spec"]["Name"]),
                )
        return newest_of

    # --- while it rolls ---
    def _tasks(self, service: Service) -> list[Task]:
        """Those that may run."""
        return [
            one for one in swarm.tasks(self, service["ID"]) if one["Status"]["State"] not in _ENDED
        ]

    def _wanted(self, service: Service) -> int:
        mode = service["Spec"]["Mode"]
        if "Replicated" in mode:
            return int(mode["Replicated"].get("Replicas") or 0)
        return sum(task["DesiredState"] == "running" for task in swarm.tasks(self, service["ID"]))

    def _over(self, service: Service, tasks: Sequence[Task], change: str) -> bool:
        """Whether every task of the change runs and none from before.

        Raises PermanentError if it was rolled back.
        """
        name, status = service["Spec"]["Name"], service.get("UpdateStatus") or {}
        if str(status.get("State", "")).startswith("rollback") or status.get("State") == "paused":
            words = status.get("Message") or status["State"]
            raise PermanentError(
                f"service {name}: {words}{self._why(service)}",
                f"`docker service ps --no-trunc {name}`",
            )
        makers = [service["Spec"]["TaskTemplate"], *(task["Spec"] for task in tasks)]
        if not all(made_for(maker, change) for maker in makers):
            return False
        up = sum(runs(task) for task in tasks)
        return (
            up >= self._wanted(service)
            and up == len(tasks)
            and status.get("State") in (None, "completed")
        )

    def _why(self, service: Service) -> str:
        """What the task that failed last said."""
        failed = [
            one
            for one in swarm.tasks(self, service["ID"])
            if one["Status"]["State"] in ("failed", "rejected")
        ]
        if not failed:
            return ""
        last = max(failed, key=lambda one: str(one["Status"].get("Timestamp", "")))
        said = swarm.last_words(self, last)
        return f" ({last['Status'].get('Err', 'failed')}" + (f': "{said}")' if said else ")")
