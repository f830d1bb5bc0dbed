"""What the specification of a service or task says of rotator's changes, and of its secrets.

A change stands in a label of the containers, with the moment of its order by our clock; each
playbook has a label of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rotator.integrations.docker.container import moment
from rotator.integrations.docker.swarm import Service, Task, TaskTemplate
from rotator.model import Instance

PREFIX = "rotator.change-"  # of the labels
# Secret of a family → id and name of the newest one of its family.
Newest = Mapping[str, tuple[str, str]]


def put(spec: dict[str, Any], mark: str, change: str, newest: Newest) -> bool:
    """Put the change into a service's specification; False where it is there already."""
    container = spec["TaskTemplate"]["ContainerSpec"]
    if made_for(spec["TaskTemplate"], change):
        return False
    for reference in container.get("Secrets") or ():
        if reference["SecretName"] in newest:
            reference["SecretID"], reference["SecretName"] = newest[reference["SecretName"]]
    container["Labels"] = {**(container.get("Labels") or {}), mark: f"{change}@{time.time():.6f}"}
    return True


def taken(template: TaskTemplate, newest: Newest) -> list[str]:
    """Names of the families' secrets that its tasks have."""
    references = (template.get("ContainerSpec") or {}).get("Secrets") or ()
    return [str(one["SecretName"]) for one in references if one["SecretName"] in newest]


def marks(template: TaskTemplate) -> dict[str, str]:
    """The changes that playbooks left on its containers, each with the moment of its order."""
    labels = (template.get("ContainerSpec") or {}).get("Labels") or {}
    return {name: str(text) for name, text in labels.items() if name.startswith(PREFIX)}


def made_for(template: TaskTemplate, change: str) -> bool:
    return any(text.partition("@")[0] == change for text in marks(template).values())


def runs(task: Task) -> bool:
    """A task with a health check runs once that is passed."""
    return bool(task["Status"]["State"] == "running" and task["DesiredState"] == "running")


def instance(service: Service, task: Task, newest: Newest) -> Instance:
    """Made when its specification says so, by our clock; else when the manager's clock says.

    With a secret from before it has proven nothing, however young it is: a service that was rolled
    back, or deployed anew from its file.
    """
    ordered = max(
        (float(text.partition("@")[2] or 0) for text in marks(task["Spec"]).values()), default=0.0
    )
    made = moment(task.get("CreatedAt", ""))
    name = f"{service['Spec']['Name']}.{task.get('Slot') or task.get('NodeID', '')[:6]}"
    if stale := [one for one in taken(task["Spec"], newest) if newest[one][1] != one]:
        return Instance(f"{name} with {', '.join(stale)}")
    return Instance(name, max(made, ordered))
