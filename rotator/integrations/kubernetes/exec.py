"""What a container was started with, by the API server's exec; the websocket is the package
kubernetes' own.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (`exec`).
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from rotator import deadline
from rotator.errors import AccessDenied, TransientError
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.secret import Secret, redact

VERBS = (
    "get",
    "create",
)  # on pods/exec: a websocket is a GET, for which Kubernetes 1.35 wants `create`, too
_TIMEOUT = 20.0


def variable(
    cluster: Cluster, namespace: str, pod: str, container: str, name: str
) -> Secret | None:
    """A variable as `printenv` prints it there; None where there is none, no printenv, or nothing
    runs any more.

    Raises TransientError, AccessDenied, LeaseLost.
    """
    try:
        return deadline.bounded(
            deadline.CALL, lambda: _looked(cluster, namespace, pod, container, name)
        )
    except TimeoutError as error:
        raise TransientError(f"{cluster}: {pod} cannot be looked into: {error}") from error


def _looked(cluster: Cluster, namespace: str, pod: str, container: str, name: str) -> Secret | None:
    client: Any = import_module("kubernetes.stream.ws_client")
    websocket: Any = import_module("websocket")
    deadline.check()
    websocket.setdefaulttimeout(deadline.remaining(_TIMEOUT))
    query = [
        ("container", container),
        ("command", "printenv"),
        ("command", name),
        ("stdout", "1"),
        ("stderr", "1"),
    ]
    path = f"{kube_views.path('Pod', namespace, pod)}/exec"
    url = client.get_websocket_url(f"{cluster.configuration.host}{path}", query)
    try:
        opened = client.WSClient(
            cluster.configuration, url, cluster.authorization, capture_all=False
        )
        try:
            return _printed(opened, client.ERROR_CHANNEL, f"{cluster}: {pod}")
        finally:
            opened.close()
    except websocket.WebSocketBadStatusException as error:
        _refused(error, f"{cluster}: {pod}")
        return None
    except (websocket.WebSocketException, OSError) as error:
        raise TransientError(
            f"{cluster}: {pod} cannot be looked into: {redact(str(error))[:200]}"
        ) from error


def _printed(opened: Any, errors: int, where: str) -> Secret | None:
    opened.run_forever(timeout=deadline.remaining(_TIMEOUT))
    if opened.is_open():
        raise TransientError(f"{where} did not say in time what it was started with")
    told = opened.read_stdout()
    try:
        ended = json.loads(opened.read_channel(errors) or "{}")
    except ValueError:
        ended = {}
    return Secret(told.removesuffix("\n")) if ended.get("status") == "Success" else None


def _refused(error: Any, where: str) -> None:
    """Raises what may pass, and what a person must mend; else there is nothing to look into."""
    words = f"{where} does not let us look: {redact(str(error))[:200]}"
    if error.status_code in (401, 403):
        raise AccessDenied(words, "the Role needs `get` and `create` on pods/exec") from error
    if error.status_code in (429, 502, 503, 504):
        raise TransientError(words) from error
