"""The one door to container engines: the package docker, imported late; where the engine is, as
docker's users expect.

A playbook's `host`, else DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), else the
current `docker context`.
Sources: https://docker-py.readthedocs.io/en/stable/client.html (the environment) and
https://docs.docker.com/reference/api/engine/ (containers, images).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rotator import deadline, installed
from rotator.clients import loopback
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
    RotatorError,
    TransientError,
)
from rotator.integrations.docker import PLUGINS, by_ssh
from rotator.integrations.docker.container import Container, moment
from rotator.plugin import setting
from rotator.secret import last_line, redact

_TIMEOUT = 30.0
_LOG_LINES = 20
_BY_SSH = "http+docker://by-ssh"  # no engine of this machine, though reached by a socket here
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EngineConnection:
    """The setting that every plugin of a container engine has."""

    host: str | None = setting(
        "Address of the engine, for instance unix:///run/docker.sock or ssh://ops@host; else"
        " DOCKER_HOST or the current `docker context`",
        default=None,
        connection=True,
    )

    @property
    def local(self) -> bool:
        """Where nothing names an engine it is this machine's, unless a docker context says else."""
        address = self.host or os.environ.get("DOCKER_HOST", "")
        return not address or loopback.is_here(address)


def call(connection: EngineConnection, act: Callable[[Any], T], *, patience: float = 0.0) -> T:
    """Let `act` use the engine's client once. `patience`: seconds that the engine itself may take,
    on top.

    Raises TransientError (the engine is not reached), AccessDenied, NotFound, Conflict,
    PermanentError, ConfigError, LeaseLost.
    """
    try:
        import docker
        import requests
    except ModuleNotFoundError as error:
        raise ConfigError(
            "containers need the package docker", installed.way_to(PLUGINS.extra)
        ) from error

    deadline.watch_connections()

    def ask() -> T:
        deadline.check()
        with _client(docker, connection, deadline.remaining(_TIMEOUT + patience)) as client:
            return act(client.api)

    try:
        return deadline.bounded(deadline.remaining(deadline.CALL + patience), ask)
    except TimeoutError as error:
        raise TransientError(
            f"the container engine did not answer whole: {error}", "`docker info`"
        ) from error
    except docker.errors.APIError as error:
        raise _translated(error) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _ours(error) or _unreachable(error) from error


@contextlib.contextmanager
def _client(docker: Any, connection: EngineConnection, seconds: float) -> Iterator[Any]:
    where = _where(docker, connection)
    address = str(where.get("base_url", ""))
    if not address.startswith("ssh://"):
        with contextlib.closing(docker.DockerClient(timeout=seconds, **where)) as client:
            yield client
        return
    tunnel = by_ssh.Tunnel(address, seconds)
    with tunnel.open() as here:
        try:
            with contextlib.closing(docker.DockerClient(base_url=here, timeout=seconds)) as client:
                client.api.base_url = _BY_SSH
                yield client
        except Exception as error:
            if tunnel.failure is not None and not isinstance(error, RotatorError):
                raise tunnel.failure from error
            raise


def _where(docker: Any, connection: EngineConnection) -> dict[str, Any]:
    """Where the engine is, as the package's client is told."""
    if connection.host:
        return {"base_url": connection.host}
    found: dict[str, Any] = docker.utils.kwargs_from_env()
    if "base_url" not in found:
        context = docker.context.ContextAPI.kwargs_from_context(environment=os.environ)
        found = {**context, **found}
    return found


def _translated(error: Any) -> RotatorError:
    words = redact(str(error.explanation or error))
    status = error.response.status_code if error.response is not None else 0
    if status == 404:
        return NotFound(words)
    if status == 409:
        return Conflict(words)
    if status in (401, 403):
        return AccessDenied(words, "may this user talk to the engine?")
    if status in (429, 502, 503, 504):
        return TransientError(words)
    return PermanentError(words)


def _ours(error: BaseException | None) -> RotatorError | None:
    """Our own error that the SDK has wrapped into one of its own: that the lease ended before
    anything was sent.
    """
    while error is not None and not isinstance(error, RotatorError):
        error = error.__cause__ or error.__context__
    return error


def _unreachable(error: Exception) -> RotatorError:
    """By its words: the SDK wraps the reasons several times over."""
    words = redact(str(error))
    if "PermissionError" in words or "Permission denied" in words:
        return AccessDenied(
            "the container engine's socket may not be used",
            "is rotator's user in the group docker?",
        )
    if "FileNotFoundError" in words or "Connection refused" in words or "Max retries" in words:
        return TransientError(
            "the container engine is not reached",
            "does it run? `docker info`; DOCKER_HOST, `host:`",
        )
    if "Read timed out" in words or "Connection aborted" in words:
        return TransientError("the container engine did not answer")
    return PermanentError(
        f"the container engine: {words}", "`docker info` with the same DOCKER_HOST or `host:`"
    )


def engine_id(connection: EngineConnection) -> str:
    """By what an engine is told from all others, whatever it is reached by. Machines that were made
    from one image have its id in common, so the machine's name stands beside it.
    """
    about: Any = call(connection, lambda api: api.info())
    return f"{about['ID']} {about.get('Name', '')}".strip()


def inspect(connection: EngineConnection, name: str) -> Container | None:
    """The container with this name or id, None where there is none."""
    try:
        return call(connection, lambda api: Container(api.inspect_container(name), _skew(api)))
    except NotFound:
        return None


def labelled(connection: EngineConnection, labels: Mapping[str, str]) -> list[Container]:
    """All containers with these labels, running or not, by name."""
    wanted = [f"{name}={value}" if value else name for name, value in labels.items()]

    def read(api: Any) -> list[Container]:
        skew = _skew(api)
        found = api.containers(all=True, filters={"label": wanted})
        return [Container(api.inspect_container(one["Id"]), skew) for one in found]

    return sorted(call(connection, read), key=lambda found: found.name)


def users_of_namespaces(connection: EngineConnection, container: Container) -> list[str]:
    """Names of the containers that live in this one's network or process namespace: they do not
    outlive it.
    """

    def read(api: Any) -> list[str]:
        found = []
        for one in api.containers(all=True):
            host = api.inspect_container(one["Id"])["HostConfig"]
            modes = {host.get("NetworkMode"), host.get("PidMode"), host.get("IpcMode")}
            if modes & {f"container:{container.id}", f"container:{container.name}"}:
                found.append(one["Names"][0].lstrip("/"))
        return found

    return call(connection, read)


def remove(connection: EngineConnection, name: str) -> None:
    """Running or not, without its volumes; what is not there is removed."""
    try:
        call(connection, lambda api: api.remove_container(name, force=True))
    except NotFound:
        return
    except Conflict as error:  # "removal is already in progress"
        raise TransientError(error.message) from error


def last_words(connection: EngineConnection, container: Container) -> str:
    """The last line that a container said that is not empty, redacted."""
    raw = call(connection, lambda api: api.logs(container.id, tail=_LOG_LINES))
    return last_line(raw.decode(errors="replace").splitlines()) or "it said nothing"


def image_id(connection: EngineConnection, name: str) -> str:
    """What an image's name means now, '' where it means nothing."""
    try:
        return str(call(connection, lambda api: api.inspect_image(name))["Id"])
    except NotFound:
        return ""


def ready(connection: EngineConnection, container: Container, settle: float) -> bool:
    """Whether it works: its health check says so; without one, it has run for `settle` seconds.

    Raises PermanentError, with the container's own last words, for one that ended, restarts, or is
    unhealthy.
    """
    settled = container.running and time.time() - container.started_at >= settle
    again = container.raw.get("RestartCount") and (container.health == "starting" or not settled)
    if again or container.state.get("Status") in ("exited", "dead", "restarting"):
        if container.state.get("OOMKilled"):
            raise PermanentError(f"{container.name} was killed: it ran out of memory")
        code = container.state.get("ExitCode")
        raise PermanentError(
            f"{container.name} ended with {code}: {last_words(connection, container)}"
        )
    # Only now: the engine calls one that has ended unhealthy, too, by its last check.
    if container.health == "unhealthy":
        log = container.state["Health"].get("Log") or [{}]
        said = redact(str(log[-1].get("Output", "")).strip())[:300]
        raise PermanentError(
            f"{container.name} is unhealthy: {said or last_words(connection, container)}"
        )
    return settled and container.health in ("healthy", "")


def _skew(api: Any) -> float:
    """A local engine has our clock; another one's is asked."""
    if api.base_url.startswith("http+docker://local"):
        return 0.0
    before = time.time()
    told = moment(api.info().get("SystemTime", ""))
    return told - (before + time.time()) / 2 if told else 0.0
