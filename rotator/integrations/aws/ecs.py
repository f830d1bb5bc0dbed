"""Restarter `ecs`: services of Amazon ECS deployed anew, so that their tasks take their secrets
again; waited for.

A task reads `secrets` (`valueFrom`) when it starts and never again. Sources: Amazon ECS API
reference (UpdateService forceNewDeployment, Deployment, Task) and "Pass sensitive data to an Amazon
ECS container".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rotator.clients.dates import clock_skew
from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import AwsConnection
from rotator.integrations.aws.deployments import (
    Service,
    Task,
    TaskSecret,
    bare,
    deployments_since,
    instance,
    is_fixed,
    is_full,
    made_at,
    words,
)
from rotator.model import Change, Evidence, Finding, Instance, Level, NotYet, Progress
from rotator.plugin import Address, setting
from rotator.secret import redact

_SERVICE = "ecs"
_AT_ONCE = {"services": 10, "tasks": 100}  # as many as one request describes
_ORDERED_AFTER = 2.0  # seconds after the write: see `deployments`
_FAILED_TASKS = 3  # as many as the deployment circuit breaker takes at the least


@dataclass(frozen=True, kw_only=True)
class EcsRestarter(AwsConnection):
    """Deploy services of Amazon ECS anew, all at a time; each keeps its own deployment settings.

    A service has converged when its new deployment is complete and no task from before is left, not
    even to drain.
    """

    services: list[str] = setting("Names of services")
    cluster: str = setting("Their cluster", default="default")
    secrets: tuple[str, ...] = field(
        default=(), repr=False
    )  # what the stores write; handed over when loaded

    evidence = Evidence.STARTED

    def __post_init__(self) -> None:
        if not self.services:
            raise ConfigError("no service is named", "for instance `services: [api]`")

    def beside(self, addresses: Sequence[Address]) -> EcsRestarter:
        """With the secrets and parameters that the playbook's stores write."""
        return replace(
            self,
            secrets=tuple(bare(one.name) for one in addresses if one.system == "aws"),
        )

    @property
    def name(self) -> str:
        return f"ecs {self.cluster}/{', '.join(self.services)}"

    def shared_as(self) -> str:
        return "ecs " + ", ".join(sorted(one["serviceArn"] for one in self._described()[0]))

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        return [finding for service in self._described()[0] for finding in self._check(service)]

    def _check(self, service: Service) -> Iterator[Finding]:
        where, hint = (
            f"service {service['serviceName']}",
            f"`aws ecs describe-services --cluster {self.cluster}`",
        )
        kind = (service.get("deploymentController") or {}).get("type", "ECS")
        if service["status"] != "ACTIVE":
            yield Finding(Level.ERROR, f"{where} is {service['status']}", hint)
        elif kind != "ECS":
            yield Finding(
                Level.ERROR,
                f"{where} is deployed by {kind}: ECS cannot do it",
                "restarter `command`",
            )
        elif service["runningCount"] < service["desiredCount"] or len(service["deployments"]) != 1:
            ready = f"{service['runningCount']} of {service['desiredCount']} tasks run"
            yield Finding(
                Level.ERROR, f"{where} is not well already, or being deployed: {ready}", hint
            )
        else:
            for secret in self._fixed(service["taskDefinition"]):
                level = Level.ERROR if self.secrets else Level.WARNING
                text = f"{where} takes {secret['name']} from a fixed version: {secret['valueFrom']}"
                yield Finding(
                    level,
                    text,
                    "leave the version out" + ("" if self.secrets else " if it is this key"),
                )
            yield Finding(Level.OK, f"deploys {where} anew")

    def _fixed(self, definition: str) -> list[TaskSecret]:
        """What tasks of it would take from before: fixed versions of our secrets; of any, where
        none is known.
        """
        described = self._call("describe_task_definition", taskDefinition=definition)[
            "taskDefinition"
        ]
        secrets = [
            one
            for container in described["containerDefinitions"]
            for one in container.get("secrets") or ()
        ]
        return [
            one
            for one in secrets
            if is_fixed(one["valueFrom"])
            and (not self.secrets or bare(one["valueFrom"]) in self.secrets)
        ]

    def restart(self, change: Change) -> NotYet | None:
        services, skew = self._described()
        due = [
            one
            for one in services
            if one["desiredCount"] and not deployments_since(one, change.since, skew)
        ]
        early = change.since + _ORDERED_AFTER - time.time()
        if due and early > 0:
            return NotYet(early, text="a deployment must be seen to be later than the write")
        for service in due:
            self._call("update_service", service=service["serviceName"], forceNewDeployment=True)
        return None

    def progress(self, change: Change) -> Progress:
        services, skew = self._described()
        current, waiting, instances = 0, [], []
        for service in services:
            tasks = self._running(service["serviceName"])
            instances += [instance(task, skew) for task in tasks]
            old = sum(made_at(task, skew) <= change.since for task in tasks)
            if self._over(service, change.since, skew) and not old:
                current += 1
            else:
                waiting.append(words(service, old))
        return Progress(
            len(services),
            current,
            current == len(services),
            tuple(instances),
            "; ".join(waiting[:5]),
        )

    def shown(self, change: Change) -> Progress:
        services, skew = self._described()
        instances = [
            one
            for service in services
            for one in self._shown(self._running(service["serviceName"]), skew)
        ]
        return Progress(len(services), len(services), True, tuple(instances))

    def _shown(self, tasks: Sequence[Task], skew: float) -> list[Instance]:
        """A task with a version from before has proven nothing, however young it is."""
        definitions = (
            {str(task.get("taskDefinitionArn", "")) for task in tasks} if self.secrets else set()
        )
        fixed = {one for one in definitions if one and self._fixed(one)}
        return [
            (
                replace(instance(task, skew), started_at=None)
                if task.get("taskDefinitionArn") in fixed
                else instance(task, skew)
            )
            for task in tasks
        ]

    # --- what AWS says ---
    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A deployment that is forced twice is one more deployment: every request may be sent
        again.
        """
        of = {} if operation == "describe_task_definition" else {"cluster": self.cluster}
        return aws.call(self.account, _SERVICE, operation, safe=True, **of, **parameters)

    def _described(self) -> tuple[list[Service], float]:
        """The services, and by how much AWS's clock is ahead of ours.

        Raises NotFound for one that is not there.
        """
        services: list[Service] = []
        skew = 0.0
        for names in _portions(self.services, _AT_ONCE["services"]):
            answer = self._call("describe_services", services=list(names))
            if answer["failures"]:
                text = (
                    f"there is no service {answer['failures'][0]['arn'].rpartition('/')[2]} in"
                    f" {self.cluster}"
                )
                raise NotFound(
                    text, f"`aws ecs list-services --cluster {self.cluster}` shows their names"
                )
            skew = clock_skew(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
            services += answer["services"]
        return services, skew

    def _running(self, service: str) -> list[Task]:
        """Those that may serve, also while they are drained."""
        ending = [
            task for task in self._tasks(service, "STOPPED") if task.get("lastStatus") != "STOPPED"
        ]
        return [*self._tasks(service, "RUNNING"), *ending]

    def _tasks(self, service: str, status: str) -> list[Task]:
        arns: list[str] = aws.pages(
            self.account,
            _SERVICE,
            "list_tasks",
            "taskArns",
            cluster=self.cluster,
            serviceName=service,
            desiredStatus=status,
        )
        return [
            task
            for some in _portions(arns, _AT_ONCE["tasks"])
            for task in self._call("describe_tasks", tasks=list(some))["tasks"]
        ]

    def _over(self, service: Service, since: float, skew: float) -> bool:
        """Whether its new deployment is complete.

        Raises PermanentError with ECS's and the tasks' own words.
        """
        if not service["desiredCount"]:
            return True  # its next tasks will start with what the store holds
        mine = deployments_since(service, since, skew)
        for one in mine:
            if (
                one.get("rolloutState") == "FAILED"
                or int(one.get("failedTasks") or 0) >= _FAILED_TASKS
            ):
                raise PermanentError(
                    f"service {service['serviceName']}:"
                    f" {one.get('rolloutStateReason', 'tasks fail')}"
                    + self._why(service["serviceName"], one["id"]),
                    f"`aws ecs describe-services --cluster {self.cluster} --services"
                    f" {service['serviceName']}`",
                )
        # an older one that is left has tasks still
        only = mine if len(service["deployments"]) == 1 else []
        return any(
            one.get("rolloutState", "COMPLETED") == "COMPLETED" and is_full(one) for one in only
        )

    def _why(self, service: str, deployment: str) -> str:
        """What the task that failed last said; '' where ECS has forgotten it already."""
        failed = [
            one for one in self._tasks(service, "STOPPED") if one.get("startedBy") == deployment
        ]
        for task in failed[-1:]:
            codes = [
                f"{c['name']} exit {c['exitCode']}" for c in task["containers"] if c.get("exitCode")
            ]
            reasons = [str(c["reason"]) for c in task["containers"] if c.get("reason")]
            said = ", ".join([str(task.get("stoppedReason", "")), *codes, *reasons])
            return f" ({redact(said)[:300]})"
        return ""


def _portions(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
