"""What we may do in a namespace, by the API server's own word, before anything is done.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
(SelfSubjectAccessReview).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotator.errors import AccessDenied, NotFound
from rotator.integrations.kubernetes.cluster import Cluster

_API = "/apis/authorization.k8s.io/v1"


@dataclass
class Access:
    """Asked once for all rules; one by one for what they do not show: not every authorizer lists
    them.
    """

    cluster: Cluster
    namespace: str
    _rules: list[Mapping[str, Any]] | None = field(default=None, repr=False)

    def may(self, verb: str, group: str, resource: str, name: str = "") -> bool:
        """Whether we may do this. A subresource is written `pods/log`."""
        if self._rules is None:
            self._rules = self._review()
        if any(_covers(rule, verb, group, resource, name) for rule in self._rules):
            return True
        return self._asked(verb, group, resource, name)

    def _review(self) -> list[Mapping[str, Any]]:
        try:
            told = self._post("SelfSubjectRulesReview", {"namespace": self.namespace})
        except (AccessDenied, NotFound):
            return []
        return list(told.get("status", {}).get("resourceRules") or ())

    def _asked(self, verb: str, group: str, resource: str, name: str) -> bool:
        plain, _, sub = resource.partition("/")
        asked = {
            "verb": verb,
            "group": group,
            "resource": plain,
            "subresource": sub,
            "namespace": self.namespace,
        }
        told = self._post(
            "SelfSubjectAccessReview", {"resourceAttributes": {**asked, "name": name}}
        )
        return bool(told.get("status", {}).get("allowed"))

    def _post(self, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        return self.cluster.call("POST", f"{_API}/{kind.lower()}s", body, safe=True)


def _covers(rule: Mapping[str, Any], verb: str, group: str, resource: str, name: str) -> bool:
    """As RBAC reads a rule."""
    wanted = (("verbs", verb), ("apiGroups", group))
    if not all({value, "*"} & set(rule.get(part) or ()) for part, value in wanted):
        return False
    subresource = "*/" + resource.partition("/")[2] if "/" in resource else resource
    if not {resource, subresource, "*"} & set(rule.get("resources") or ()):
        return False
    return not rule.get("resourceNames") or name in rule["resourceNames"]
