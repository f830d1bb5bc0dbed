"""What Amazon ECS's objects say: whether a task's secret is of a fixed version, when a
deployment was made, how far it is.

Pure: objects are boto3's dictionaries. Sources: Amazon ECS API reference (Deployment, Service,
Task); forms of `valueFrom`:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rotator.model import Instance

# AWS's clock is known to half a second: the restarter orders a deployment two seconds after the
# write, so it is seen to be at least one second after.
_SEEN_AFTER = 1.0
# A secret's ARN ends with :FIELD:STAGE:VERSION, each optional; a parameter may be NAME:VERSION.
_FIXED = re.compile(r":secretsmanager:.*:secret:[^:]+:[^:]*:(?P<stage>[^:]*):(?P<version>[^:]*)$")

# boto3 hands objects around as dictionaries.
Service = Mapping[str, Any]
Deployment = Mapping[str, Any]
Task = Mapping[str, Any]
TaskSecret = Mapping[str, Any]  # of a task definition: name and valueFrom


def is_fixed(value_from: str) -> bool:
    """Whether a `valueFrom` of a task definition names one version for ever."""
    if parts := _FIXED.search(value_from):
        return bool(parts["version"]) or parts["stage"] not in ("", "AWSCURRENT")
    return ":secretsmanager:" not in value_from and bool(
        re.search(r"(^|/)[\w.-]+:\d+$", value_from)
    )


def bare(reference: str) -> str:
    """The secret or parameter that a `valueFrom`, an ARN or a name is about, without what is around
    its name.
    """
    name = reference
    if parts := re.search(r":secret:([^:]+)", reference):
        name = re.sub(r"-[A-Za-z0-9]{6}$", "", parts[1])  # AWS's own, at each ARN's end
    elif ":secretsmanager:" not in reference:
        name = re.sub(r":\d+$", "", re.sub(r"^arn:[\w-]+:ssm:[\w-]*:\d*:parameter", "", reference))
    return name.strip("/")


def made_at(thing: Deployment | Task, skew: float) -> float:
    """When AWS made it, by our clock; 0 if it does not say."""
    at = thing.get("createdAt")
    return float(at.timestamp()) - skew if at is not None else 0.0


def deployments_since(service: Service, since: float, skew: float) -> list[Deployment]:
    """Those that were made after the write."""
    return [one for one in service["deployments"] if made_at(one, skew) > since + _SEEN_AFTER]


def is_full(deployment: Deployment) -> bool:
    return int(deployment["runningCount"]) >= int(deployment["desiredCount"])


def words(service: Service, old: int) -> str:
    new = next((one for one in service["deployments"] if one["status"] == "PRIMARY"), service)
    more = f", {old} from before" if old else ""
    return f"service {service['serviceName']} {new['runningCount']}/{new['desiredCount']}{more}"


def instance(task: Task, skew: float) -> Instance:
    """Its secrets were read after it was made; a second is taken off for what the clocks may be
    apart.
    """
    at = made_at(task, skew)
    return Instance(f"task {task['taskArn'].rpartition('/')[2]}", at - 1.0 if at else None)
