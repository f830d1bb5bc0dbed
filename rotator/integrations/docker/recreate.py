"""A container made anew with the same configuration, so that every step can be done twice.

The next one is made beside the old one, where a wrong configuration harms nobody; then the old one
is stopped and set aside, the next one takes its name and starts, the old one is removed. If the
next one cannot start, the old one runs again. Killed in between: `put_back`, then again.
Source: https://docs.docker.com/reference/api/engine/ (create, rename, start, remove a container).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from rotator import plain
from rotator.errors import NotFound, PermanentError
from rotator.integrations.docker import client as docker
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.docker.container import Container

CHANGE = "rotator.change"
_NEXT, _OLD = ".rotator-next", ".rotator-old"
# What an engine waits for between SIGTERM and SIGKILL, unless the container says
_STOP_SECONDS = 10


def anew(engine: EngineConnection, old: Container, env_file: Path, change: str) -> None:
    """The container `old`, with the environment that the file gives now.

    Raises what the engine says.
    """
    name = old.name
    docker.remove(engine, name + _NEXT)
    body = configuration(old.raw, _image(engine, old), read_env_file(env_file), change)
    made = docker.call(engine, lambda api: api.create_container_from_config(body, name + _NEXT))[
        "Id"
    ]
    for network, endpoint in _further_networks(old.raw).items():
        docker.call(engine, lambda api: api.connect_container_to_network(made, network, **endpoint))  # noqa: B023
    _stop(engine, old)
    if not old.raw["HostConfig"].get("AutoRemove"):
        docker.call(engine, lambda api: api.rename(old.id, name + _OLD))
    docker.call(engine, lambda api: api.rename(made, name))
    try:
        docker.call(engine, lambda api: api.start(made))
    except PermanentError:
        _return(engine, name, made)
        raise
    docker.remove(engine, name + _OLD)


def restart(engine: EngineConnection, container: Container) -> None:
    seconds = _patience(container)
    docker.call(engine, lambda api: api.restart(container.id, timeout=seconds), patience=seconds)


def put_back(engine: EngineConnection, name: str) -> None:
    """After an interrupted `anew`: some container has the name again, the one that will be replaced
    or the next one.
    """
    here, aside = docker.inspect(engine, name), docker.inspect(engine, name + _OLD)
    if (
        here is not None and aside is not None and not here.running
    ):  # it had the name, but was never started
        docker.remove(engine, here.id)
        here = None
    if here is None and (found := interrupted(engine, name)) is not None:
        docker.call(engine, lambda api: api.rename(found.id, name))


def interrupted(engine: EngineConnection, name: str) -> Container | None:
    """The container that `name` stands for where `anew` was interrupted: the one set aside, else
    the next one.
    """
    return docker.inspect(engine, name + _OLD) or docker.inspect(engine, name + _NEXT)


def tidy(engine: EngineConnection, name: str) -> None:
    """Nothing is left of an interrupted `anew`."""
    for left in (name + _OLD, name + _NEXT):
        docker.remove(engine, left)


def _return(engine: EngineConnection, name: str, made: str) -> None:
    """The next one cannot start: the old one serves again."""
    if docker.inspect(engine, name + _OLD) is None:
        return
    docker.remove(engine, made)
    docker.call(engine, lambda api: api.rename(name + _OLD, name))
    docker.call(engine, lambda api: api.start(name))


def _stop(engine: EngineConnection, container: Container) -> None:
    """With --rm, until it is gone, and its name free."""
    seconds, vanishes = _patience(container), container.raw["HostConfig"].get("AutoRemove")
    if vanishes and not container.running:  # never started: nothing would remove it
        docker.remove(engine, container.id)
        return
    try:
        docker.call(engine, lambda api: api.stop(container.id, timeout=seconds), patience=seconds)
        if vanishes:
            docker.call(
                engine, lambda api: api.wait(container.id, timeout=api.timeout, condition="removed")
            )
    except NotFound:
        return


def _patience(container: Container) -> int:
    found = container.raw["Config"].get("StopTimeout")
    return int(found) if found is not None else _STOP_SECONDS


def _image(engine: EngineConnection, old: Container) -> str:
    """By its name while that still means the same image: a rotation deploys nothing."""
    name, same = str(old.raw["Config"]["Image"]), str(old.raw["Image"])
    return name if docker.image_id(engine, name) == same else same


def configuration(raw: Any, image: str, variables: dict[str, str], change: str) -> dict[str, Any]:
    """What an engine needs to make the same container again, from what it tells of one."""
    body: dict[str, Any] = copy.deepcopy(raw["Config"])
    host: dict[str, Any] = copy.deepcopy(raw["HostConfig"])
    short = raw["Id"][:12]
    body["Image"] = image
    body["Labels"] = {**(body.get("Labels") or {}), CHANGE: change}
    body["Env"] = environment(body.get("Env") or [], variables)
    if body.get("Hostname") == short:
        del body["Hostname"]
    if str(host.get("NetworkMode", "")).startswith(("container:", "host")):
        for given_by_the_other in ("Hostname", "Domainname", "ExposedPorts", "MacAddress"):
            body.pop(given_by_the_other, None)
    host["Links"] = [_link(link) for link in host.get("Links") or ()] or None
    host["Binds"] = [*(host.get("Binds") or ()), *_anonymous_volumes(raw)] or None
    host.pop("ContainerIDFile", None)
    body["HostConfig"] = host
    if (primary := _primary(raw)) not in ("", "bridge", "host", "none"):
        endpoint = raw["NetworkSettings"]["Networks"][primary]
        given = ("IPAMConfig", "Links", "DriverOpts")
        kept = {name: endpoint[name] for name in given if endpoint.get(name)}
        body["NetworkingConfig"] = {
            "EndpointsConfig": {primary: {**kept, "Aliases": _aliases(raw, endpoint)}}
        }
    return body


def _primary(raw: Any) -> str:
    """The network that the container was made in ('' for another container's); its mode may be a
    name or an id.
    """
    mode = str(raw["HostConfig"].get("NetworkMode") or "default")
    mode = "bridge" if mode == "default" else mode
    for name, endpoint in (raw["NetworkSettings"].get("Networks") or {}).items():
        if name == mode or (endpoint.get("NetworkID") or "-").startswith(mode):
            return str(name)
    return ""


def _further_networks(raw: Any) -> dict[str, dict[str, Any]]:
    """Networks beside the first: each is joined on its own before the start."""
    found = {}
    for name, endpoint in (raw["NetworkSettings"].get("Networks") or {}).items():
        if name != _primary(raw):
            address = endpoint.get("IPAMConfig") or {}
            found[name] = {
                "aliases": _aliases(raw, endpoint),
                "links": (
                    [tuple(link.split(":", 1)) for link in endpoint.get("Links") or ()] or None
                ),
                "ipv4_address": address.get("IPv4Address"),
                "ipv6_address": address.get("IPv6Address"),
                "driver_opt": endpoint.get("DriverOpts"),
            }
    return found


def _aliases(raw: Any, endpoint: Any) -> list[str]:
    """Without the one that every container has: its own short id."""
    return [alias for alias in endpoint.get("Aliases") or () if alias != raw["Id"][:12]]


def _link(told: str) -> str:
    """'/db:/app/database' is how an engine tells what was given as 'db:database'."""
    source, _, target = told.partition(":")
    return f"{source.lstrip('/')}:{target.rsplit('/', 1)[-1]}"


def _anonymous_volumes(raw: Any) -> list[str]:
    """Volumes without a name of the user's: without this the next container would begin with empty
    ones.
    """
    host = raw["HostConfig"]
    named = {bind.split(":")[1] for bind in host.get("Binds") or () if ":" in bind}
    named |= {mount.get("Target") for mount in host.get("Mounts") or ()}
    return [
        f"{mount['Name']}:{mount['Destination']}" + ("" if mount.get("RW", True) else ":ro")
        for mount in raw.get("Mounts") or ()
        if mount.get("Type") == "volume" and mount["Destination"] not in named
    ]


def environment(before: list[str], variables: dict[str, str]) -> list[str]:
    """The environment with the file's variables as they are now, in the old order, new
    ones last.
    """
    names = [entry.partition("=")[0] for entry in before]
    kept = [
        f"{name}={variables[name]}" if name in variables else entry
        for name, entry in zip(names, before, strict=True)
    ]
    return kept + [f"{name}={value}" for name, value in variables.items() if name not in names]


def read_env_file(path: Path) -> dict[str, str]:
    """As `docker run --env-file` reads it: verbatim, quotes and all; a bare name keeps what the
    container has.

    Raises PermanentError where it cannot be read.
    """
    try:
        text = plain.text(path).removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(
            f"{path} cannot be read: {error}", "the file that `--env-file` named"
        ) from error
    found = {}
    for line in text.splitlines():
        name, equals, value = line.lstrip().partition("=")
        if equals and name and not name.startswith("#"):
            found[name] = value
    return found
