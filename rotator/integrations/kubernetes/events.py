"""Events: what `kubectl describe` of an object shows.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rotator.errors import (
    PermanentError,
    TransientError,
)
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.kubernetes.objects import Object
from rotator.secret import redact


def record(cluster: Cluster, about: Object, reason: str, text: str) -> None:
    """Record an event about an object.

    It is left out where we may not, or the server cannot now.
    """
    meta, now = about["metadata"], datetime.now(UTC)
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{time.time_ns():x}"[-253:],
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": about.get("apiVersion", "v1"),
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta.get("uid", ""),
        },
        "reason": reason,
        "message": redact(text)[:1000],
        "type": "Normal",
        "source": {"component": "rotator"},
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
    try:
        cluster.call("POST", f"/api/v1/namespaces/{meta['namespace']}/events", body, safe=True)
    except (PermanentError, TransientError):
        return  # preflight reports the missing permission; an event is no part of a rotation
