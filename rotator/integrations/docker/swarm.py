"""Docker Swarm through the door to container engines: secrets, services and their tasks, as the
engine's JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from rotator.errors import NotFound, PermanentError, TransientError
from rotator.integrations.docker.client import EngineConnection, call
from rotator.secret import Secret, last_line

# Label of a secret that rotator made: the name that people gave the first one
FAMILY = "rotator.secret"
_TRIES = 5  # managers and people update services, too


def is_manager(connection: EngineConnection) -> bool:
    """Whether this engine may be asked about the swarm."""
    found: Any = call(connection, lambda api: api.info().get("Swarm") or {})
    return bool(found.get("ControlAvailable"))


def secrets(connection: EngineConnection) -> list[dict[str, Any]]:
    """All secrets, without their values: nobody can read these."""
    found: list[dict[str, Any]] = call(connection, lambda api: api.secrets())
    return found


def family(secrets: list[dict[str, Any]], name: str) -> dict[int, dict[str, Any]]:
    """The secrets of this name by their number; the one that people made is number 0."""
    found = {}
    for one in secrets:
        spec = one["Spec"]
        if spec["Name"] == name:
            found[0] = one
        elif (spec.get("Labels") or {}).get(FAMILY) == name:
            found[int(spec["Name"].rpartition("-r")[2])] = one
    return found


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


def services(connection: EngineConnection) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(connection, lambda api: api.services())
    return found


def service(connection: EngineConnection, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = call(connection, lambda api: api.inspect_service(name))
    except NotFound:
        return None
    return found


def tasks(connection: EngineConnection, service_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(
        connection, lambda api: api.tasks(filters={"service": service_id})
    )
    return found


def update(connection: EngineConnection, name: str, change: Any) -> None:
    """Let `change` alter the service's specification; nothing is sent where it returns False.

    Somebody else's update in between ("update out of sequence") is read and changed again.
    """
    for _ in range(_TRIES):
        found = service(connection, name)
        if found is None:
            raise NotFound(f"there is no service {name}", "`docker service ls` shows their names")
        spec = found["Spec"]
        if not change(spec):
            return
        try:
            _post(
                connection,
                f"/services/{found['ID']}/update",
                spec,
                version=found["Version"]["Index"],
            )
            return
        except PermanentError as error:
            if "out of sequence" not in error.message:
                raise
    raise TransientError(f"{name} is being updated by somebody else")


def last_words(connection: EngineConnection, task: Mapping[str, Any]) -> str:
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
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    return call(connection, post)
