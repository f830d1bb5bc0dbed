"""The last words of a container that does not come up.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
(`read log of the specified Pod`: `previous`, `tailLines`).
"""

from __future__ import annotations

from rotator.errors import RotatorError
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.kubernetes.rollouts import Trouble
from rotator.secret import last_line

_LINES = 20


def last_words(cluster: Cluster, namespace: str, trouble: Trouble) -> str:
    """The last line of its log that says something, redacted; '' where none can be read."""
    query = {"container": trouble.container, "tailLines": str(_LINES)}
    query |= {"previous": "true"} if trouble.previous else {}
    try:
        text = cluster.text(f"{kube_views.path('Pod', namespace, trouble.pod)}/log", **query)
    except RotatorError:  # preflight has warned where we may not; it may be gone
        return ""
    return last_line(text.splitlines())
