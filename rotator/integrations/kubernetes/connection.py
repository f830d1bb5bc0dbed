"""How a cluster is reached, and as whom: the package kubernetes, imported late.

As kubectl's users expect it: a playbook's `kubeconfig` and `context`, else KUBECONFIG or
~/.kube/config, else, in a pod, its service account. Sources:
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rotator import deadline, installed
from rotator.clients import programs
from rotator.errors import AccessDenied, ConfigError, RotatorError
from rotator.integrations.kubernetes import PLUGINS
from rotator.secret import last_line, redact, without_keys

_EXEC_INFO = "KUBERNETES_EXEC_INFO"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Place = tuple[str | None, str | None]  # kubeconfig and context, as a playbook has them
_FileVersion = tuple[str, int]  # the kubeconfig's paths, and when one was changed last (ns)


@dataclass(slots=True)
class Connection:
    """A configured client: made once, as reading certificates takes longer than a request.

    `skew`: seconds by which the server's clock was ahead of ours at its last answer.
    """

    configuration: Any
    pool: Any
    namespace: str
    file: _FileVersion
    skew: float = 0.0


_connections: dict[Place, Connection] = {}
_lock = threading.Lock()


def to(kubeconfig: str | None, context: str | None) -> Connection:
    """The connection; a new one where the kubeconfig was changed since: logins rewrite it.

    Raises ConfigError (no package, no way to a cluster), what the login program's failure means.
    """
    place, file = (kubeconfig, context), _file(kubeconfig)
    with _lock:
        connection = _connections.get(place)
    if connection is None or connection.file != file:
        # It may run a program that logs in: nobody else waits for that.
        connection = _connect(file, context)
        with _lock:
            _connections[place] = connection
    return connection


def forget(kubeconfig: str | None, context: str | None) -> None:
    """The next request connects anew: the server has refused who we were."""
    with _lock:
        _connections.pop((kubeconfig, context), None)


def _file(kubeconfig: str | None) -> _FileVersion:
    path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    files = [Path(part).expanduser() for part in path.split(os.pathsep)]
    newest = max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)
    return (os.pathsep.join(map(str, files)), newest) if newest else ("", 0)


def _connect(file: _FileVersion, context: str | None) -> Connection:
    try:
        config: Any = import_module("kubernetes.config")
        client: Any = import_module("kubernetes.client")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Kubernetes needs the package kubernetes", installed.way_to(PLUGINS.extra)
        ) from error
    deadline.watch_connections()
    _through_our_door()
    configuration, namespace = client.Configuration(), "default"
    _logins.failure = None
    try:
        if file[0]:
            config.load_kube_config(
                config_file=file[0], context=context, client_configuration=configuration
            )
            contexts, current = config.list_kube_config_contexts(config_file=file[0])
            mine = next((entry for entry in contexts if entry["name"] == context), current)
            namespace = mine["context"].get("namespace") or "default"
        else:
            config.load_incluster_config(client_configuration=configuration)
            namespace = (_ACCOUNT / "namespace").read_text().strip()
    except (config.ConfigException, OSError, TypeError, KeyError) as error:
        raise ConfigError(
            f"no way to a cluster: {redact(str(error))[:200]}",
            "KUBECONFIG, ~/.kube/config, or `kubeconfig:` and `context:` in the playbook",
        ) from error
    if (failure := _logins.failure) is not None:
        raise failure
    pool = client.ApiClient(configuration).rest_client.pool_manager
    return Connection(configuration, pool, namespace, file)


# --- the login program ---
class _Logins(threading.local):
    """Why the login program of the connection that this thread makes failed."""

    failure: RotatorError | None = None


_logins = _Logins()


@cache
def _through_our_door() -> None:
    """A kubeconfig's login program is a program like any other."""
    provider: Any = import_module("kubernetes.config.exec_provider")
    provider.subprocess = SimpleNamespace(Popen=_Login, PIPE=None)


class _Login(programs.LikePopen):
    """It is given that nobody sits at a terminal.

    That it failed is kept, as the package would go on as nobody.
    """

    def __init__(self, args: Sequence[str], *, env: Mapping[str, str], **more: Any) -> None:
        info = json.loads(env[_EXEC_INFO])
        info["spec"]["interactive"] = False
        try:
            super().__init__(args, env={**env, _EXEC_INFO: json.dumps(info)}, **more)
        except RotatorError as error:
            _logins.failure = error
            raise
        if self.returncode:
            said = without_keys(last_line(str(self.communicate()[1]).splitlines()))
            words = f"the kubeconfig's login program {args[0]} ended with {self.returncode}"
            _logins.failure = AccessDenied(
                f"{words}: {said}" if said else words, "run it by hand to see why"
            )
