"""Places that are asked: a Secret of a cluster, a path of Vault; and processes of this machine."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rotator.clients import procfs
from rotator.errors import NotFound, RotatorError
from rotator.secret import Secret
from rotator.setup import manifests
from rotator.setup.found import Source, User, Value, kept

KUBERNETES, VAULT = "kubernetes:", "vault:"
_RUN = Path("/run")


def secret_of_cluster(place: str) -> Source:
    """`NAMESPACE/NAME` of the kubeconfig's present cluster.

    Raises NotFound, AccessDenied, TransientError.
    """
    from rotator.integrations.kubernetes.cluster import Cluster

    cluster = Cluster()
    namespace, _, name = place.rpartition("/")
    path = f"/api/v1/namespaces/{namespace or cluster.namespace}/secrets/{name}"
    found = cluster.get(path)
    if found is None:
        raise NotFound(
            f"there is no Secret {place}", "NAMESPACE/NAME, as `kubectl get secrets -A` shows them"
        )
    keys: dict[str, Value] = {}
    for key, text in (found.get("data") or {}).items():
        try:
            keys[key] = kept(key, base64.b64decode(text).decode().strip())
        except ValueError:
            keys[key] = None
    return manifests.source(place, keys, {})


def path_of_vault(path: str) -> Source:
    """A secret of a KV engine, with the fields that are texts.

    Raises NotFound, AccessDenied, TransientError.
    """
    from rotator.integrations.vault.kv import KvSecret
    from rotator.integrations.vault.server import Vault

    fields = KvSecret(Vault(), path).newest().fields
    if fields is None:
        raise NotFound(f"there is nothing at {path} in Vault", "mount and path: secret/app")
    values = {
        name: kept(name, text.strip()) if isinstance(text, str) else None
        for name, text in fields.items()
    }
    return Source(f"{path} in Vault", {"uses": "vault", "path": path}, values)


def pid_files(beside: Iterable[Path], run: Path = _RUN) -> list[Path]:
    """Beside files that were found, and where services of this machine keep theirs."""
    folders = [*dict.fromkeys(path.parent for path in beside)]
    found = [path for folder in folders for path in sorted(folder.glob("*.pid"))]
    return list(dict.fromkeys([*found, *sorted(run.glob("*.pid")), *sorted(run.glob("*/*.pid"))]))


def processes(
    values: Mapping[str, Value], files: Iterable[Path]
) -> Iterator[tuple[User, list[str]]]:
    """Who runs with one of these values in its environment, and with which of the variables.

    Only those that catch SIGHUP: what a signal does that ends a process, its supervisor decides.
    """
    for path in files:
        try:
            process = procfs.from_pid_file(path)
        except RotatorError:
            continue
        read = [
            name
            for name, value in values.items()
            if isinstance(value, Secret) and procfs.variable(process.pid, name) == value
        ]
        if read and procfs.handles(process, signal.SIGHUP) == "catches":
            settings = {"uses": "process", "pid_file": str(path), "signal": "HUP"}
            yield User(settings, variables={name: name for name in read}), read
