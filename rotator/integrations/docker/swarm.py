"""Docker Swarm through the door to container engines: secrets, services and their tasks, as the
engine's JSON.

Source: https://docs.docker.com/reference/api/engine/ (Secret, Service, Task).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from rotator.errors import NotFound, PermanentError, TransientError
from rotator.integrations.docker.client import EngineConnection, call
from rotator.secret import Secret, last_line

# Label of a secret that rotator made: the name that people gave the first one
FAMILY = "rotator.secret"
_TRIES = 5  # managers and people update services, too

# The engine's JSON.
SwarmSecret = Mapping[str, Any]
Service = Mapping[str, Any]
Task = Mapping[str, Any]
TaskTemplate = Mapping[str, Any]  # what a service's tasks are made by


def is_manager(connection: EngineConnection) -> bool:
    """Whether this engine may be asked about the swarm."""
    about: Any = call(connection, lambda api: api.info().get("Swarm") or {})
    return bool(about.get("ControlAvailable"))


def swarm_id(connection: EngineConnection) -> str:
    """By what a swarm is told from all others, whichever manager is asked."""
    about: Any = call(connection, lambda api: api.info().get("Swarm") or {})
    return str((about.get("Cluster") or {}).get("ID", ""))


def secrets(connection: EngineConnection) -> list[SwarmSecret]:
    """All secrets, without their values: nobody can read these."""
    answer: list[SwarmSecret] = call(connection, lambda api: api.secrets())
    return answer


def family(secrets: Sequence[SwarmSecret], name: str) -> dict[int, SwarmSecret]:
    """The secrets of this name by their number; the one that people made is number 0."""
    members = {}
    for secret in secrets:
        spec = secret["Spec"]
        if spec["Name"] == name:
            members[0] = secret
        elif (spec.get("Labels") or {}).get(FAMILY) == name:
            members[int(spec["Name"].rpartition("-r")[2])] = secret
    return members


def create_secret(
    connection: EngineConnection, name: str, value: Secret, labels: Mapping[str, str]
) -> str:
    """Its id. Raises Conflict where there is one of this name."""
    data = base64.b64encode(value.reveal().encode()).decode()
    body = {"Name": name, "Data": data, "Labels": dict(labels)}
    return str(_post(connection, "/secrets/create", body)["ID"])


def remove_secret(connection: EngineConnection, name: str) -> None:
    """What is not there is removed.

    Raises PermanentError, naming the services, where it is in use.
    """
    try:
        call(connection, lambda api: api.remove_secret(name))
    except NotFound:
        return


def services(connection: EngineConnection) -> list[Service]:
    answer: list[Service] = call(connection, lambda api: api.services())
    return answer


def service(connection: EngineConnection, name: str) -> Service | None:
    try:
        answer: Service = call(connection, lambda api: api.inspect_service(name))
    except NotFound:
        return None
    return answer


def tasks(connection: EngineConnection, service_id: str) -> list[Task]:
    answer: list[Task] = call(connection, lambda api: api.tasks(filters={"service": service_id}))
    return answer


def update(connection: EngineConnection, name: str, change: Any) -> None:
    """Let `change` alter the service's specification; nothing is sent where it returns False.

    Somebody else's update in between ("update out of sequence") is read and changed again.
    """
    for _ in range(_TRIES):
        present = service(connection, name)
        if present is None:
            raise NotFound(f"there is no service {name}", "`docker service ls` shows their names")
        spec = present["Spec"]
        if not change(spec):
            return
        try:
            _post(
                connection,
                f"/services/{present['ID']}/update",
                spec,
                version=present["Version"]["Index"],
            )
            return
        except PermanentError as error:
            if "out of sequence" not in error.message:
                raise
    raise TransientError(f"{name} is being updated by somebody else")


def roll_back(connection: EngineConnection, service: Service) -> None:
    """Give the service its specification of before its last update, as `docker service rollback`.

    Nothing is sent for one that somebody has updated since it was read: it is looked at again.
    """
    try:
        _post(
            connection,
            f"/services/{service['ID']}/update",
            service["Spec"],
            version=service["Version"]["Index"],
            rollback="previous",
        )
    except PermanentError as error:
        if "out of sequence" not in error.message:
            raise


def last_words(connection: EngineConnection, task: Task) -> str:
    """The last line of a task's container, redacted; '' where the engine has none any more."""
    container = ((task.get("Status") or {}).get("ContainerStatus") or {}).get("ContainerID")
    if not container:
        return ""
    try:
        raw: bytes = call(connection, lambda api: api.logs(container, tail=20))
    except (PermanentError, TransientError):
        return ""
    return last_line(raw.decode(errors="replace").splitlines())


def _post(connection: EngineConnection, path: str, body: Any, **query: Any) -> dict[str, Any]:
    """The SDK's own calls leave out what they do not know of a service."""

    def post(api: Any) -> dict[str, Any]:
        answer = api.post(
            f"{api.base_url}/v{api.api_version}{path}", json=body, params=query, timeout=api.timeout
        )
        api._raise_for_status(answer)
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content

    return call(connection, post)
