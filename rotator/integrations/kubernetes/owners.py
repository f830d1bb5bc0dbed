"""Who writes a Secret, as the object itself tells: fields by manager, owners, marks of
controllers.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management; the
names and marks are those of each controller's own documentation.
"""

from __future__ import annotations

from collections.abc import Iterable

from rotator.errors import PermanentError
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.kubernetes.objects import SecretObject, moment

# A part of the name under which a controller writes fields, and how people call it.
_CONTROLLERS = {
    "external-secrets": "External Secrets",
    "vault-secrets-operator": "the Vault Secrets Operator",
    "argocd": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "sealed-secrets": "Sealed Secrets",
}
_MARKS = {  # annotations and labels that they leave
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "reconcile.external-secrets.io/managed": "External Secrets",
}
# How a controller is asked to fill its Secret now: kind of its owner → where that is, and which
# annotation it watches.
_NUDGES = {
    "ExternalSecret": (
        "/apis/{version}/namespaces/{namespace}/externalsecrets/{name}",
        "force-sync",
    ),
    "VaultStaticSecret": (
        "/apis/{version}/namespaces/{namespace}/vaultstaticsecrets/{name}",
        "rotator/sync",
    ),
}


def of_keys(secret: SecretObject, keys: Iterable[str]) -> list[tuple[str, float | None]]:
    """Managers that wrote one of these keys as it is now, and when each last wrote anything (Unix
    seconds).
    """
    managers = []
    for entry in secret["metadata"].get("managedFields") or ():
        data = (entry.get("fieldsV1") or {}).get("f:data") or {}
        if any(f"f:{key}" in data for key in keys):
            managers.append((str(entry.get("manager", "")), moment(entry.get("time"))))
    return managers


def writer(secret: SecretObject, keys: Iterable[str]) -> str:
    """The controller that would put its own value back, or ''."""
    meta = secret["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") or owner["kind"] in _NUDGES:
            return f"{owner['kind']} {owner['name']}"
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    for mark, name in _MARKS.items():
        if mark in marks:
            return name
    for manager, _ in of_keys(secret, keys):
        for part, name in _CONTROLLERS.items():
            if part in manager:
                return name
    return ""


def nudge(cluster: Cluster, secret: SecretObject, why: str) -> None:
    """Ask the controller to look now. It looks some day by itself, where we may not ask."""
    for owner in secret["metadata"].get("ownerReferences") or ():
        if owner["kind"] in _NUDGES:
            path, annotation = _NUDGES[owner["kind"]]
            where = path.format(
                version=owner["apiVersion"],
                namespace=secret["metadata"]["namespace"],
                name=owner["name"],
            )
            try:
                cluster.patch(where, {"metadata": {"annotations": {annotation: why}}}, safe=True)
            except PermanentError:
                return
