"""Store `kubernetes`: keys of a Secret. Compare-and-set by resourceVersion; other keys, labels and
annotations stay.

Who changed which key is in the object itself (managedFields), so a change of our key, by whomever,
is told from one of a neighbour's. Source:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rotator.clients import around, json_text
from rotator.clients.json_text import NoText
from rotator.errors import ConfigError, Conflict, NotFound, PermanentError
from rotator.integrations.kubernetes import copies as kube_copies
from rotator.integrations.kubernetes import events
from rotator.integrations.kubernetes import owners as kube_owners
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes.access import Access
from rotator.integrations.kubernetes.cluster import ClusterConnection
from rotator.integrations.kubernetes.copies import Copies
from rotator.integrations.kubernetes.notes import Notes
from rotator.integrations.kubernetes.objects import SecretObject
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import Address, setting

_TRIES = 5  # somebody may write other keys at the same moment
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_JSON_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")


@dataclass(frozen=True, kw_only=True)
class KubernetesStore(ClusterConnection):
    """Keep a credential in a Secret of Kubernetes: one or several of its keys.

    A Secret that a controller fills (External Secrets, Vault Secrets Operator, Argo CD …) is
    written at its source, and declared here with `follows: true`.
    """

    secret: str = setting("NAMESPACE/NAME, or NAME in the context's namespace")
    key: str | None = setting("Key of the Secret, for instance OPENAI_API_KEY", default=None)
    keys: Mapping[str, str] | None = setting(
        "Keys for credentials of several values: {KEY: value}", default=None
    )
    create: bool = field(default=False, repr=False)  # both handed over when the playbook is loaded
    follows: bool = field(default=False, repr=False)

    compare_and_set = True
    write_only = False

    def __post_init__(self) -> None:
        if (self.key is None) == (not self.keys):
            raise ConfigError(
                "a kubernetes store has either `key` or `keys`",
                "for instance `key: OPENAI_API_KEY`",
            )
        if self.secret.count("/") > 1 or not self.secret.split("/")[-1]:
            raise ConfigError(
                f"'{self.secret}' is no Secret", "NAMESPACE/NAME, for instance paracle/api-keys"
            )

    @property
    def name(self) -> str:
        return f"kubernetes {self.secret}#{','.join(self._keys)}"

    @property
    def _keys(self) -> Mapping[str, str]:
        return self.keys if self.keys else {str(self.key): "key"}

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        namespace, _, name = self.secret.rpartition("/")
        return namespace or self.cluster.namespace, name

    @property
    def _path(self) -> str:
        return kube_views.path("Secret", *self.place)

    @property
    def writes(self) -> Address:
        """Which Secret, for a restarter that discovers its users."""
        return Address("kubernetes", self.secret, self.cluster.place, tuple(self._keys))

    def with_entry(self, *, create: bool, follows: bool) -> KubernetesStore:
        return replace(self, create=create, follows=follows)

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        findings = list(self._lacking())
        if findings:
            return findings
        secret = self.cluster.get(self._path)
        if secret is None:
            return (
                []
                if self.create
                else [
                    Finding(
                        Level.ERROR,
                        f"{self.name}: there is no such Secret",
                        "`create: true` makes it",
                    )
                ]
            )
        return list(self._against(secret))

    def _lacking(self) -> Iterator[Finding]:
        namespace, name = self.place
        access = Access(self.cluster, namespace)
        for verb in ("get",) if self.follows else ("get", "patch"):
            if not access.may(verb, "", "secrets", name):
                rule = (
                    f'{{apiGroups: [""], resources: ["secrets"], resourceNames: ["{name}"], verbs:'
                    f' ["{verb}"]}}'
                )
                text = f"{self.name}: we may not {verb} this Secret"
                yield Finding(
                    Level.ERROR, text, f"add the rule  {rule}  to the Role in {namespace}"
                )

    def _against(self, secret: SecretObject) -> Iterator[Finding]:
        """What speaks against writing it."""
        if self.follows:
            return
        keeper, source = kube_copies.source_of(secret)
        writer = kube_owners.writer(secret, self._keys)
        if keeper:
            text = f"{self.name} is a copy{source and f' of {source}'}, which {keeper} puts back"
            hint = f"write {source or 'what it is a copy of'}, and declare this one `follows: true`"
            yield Finding(Level.ERROR, text, hint)
        elif writer:
            hint = "write to its source, and declare this store `follows: true`"
            yield Finding(Level.ERROR, f"{self.name} is managed by {writer}", hint)
        if secret.get("immutable"):
            hint = "make it anew without `immutable`, or with another name"
            yield Finding(Level.ERROR, f"{self.name} is immutable", hint)
        if secret.get("type") in _JSON_TYPES:
            yield Finding(
                Level.ERROR,
                f"{self.name} is of type {secret['type']}: not a key but a file",
                "use another Secret",
            )
        with contextlib.suppress(PermanentError):  # told when it is read
            for text in self._raw(secret).values():
                yield from around.accidents(self.name, text)
        if self._applied(secret):
            text = (
                f"{self.name}: `kubectl apply` left the key in clear in an annotation, too; it is"
                " taken out there"
            )
            yield Finding(
                Level.WARNING,
                text,
                "take it out of the manifest as well: applied again, it puts the old key back",
            )

    def copies(self) -> list[Copies]:
        """Where a controller copies it, by its own annotations."""
        secret = self.cluster.get(self._path)
        return list(kube_copies.of(secret)) if secret is not None else []

    def unfollowed_copies(self, followed: Sequence[Any]) -> list[Finding]:
        """Only copies in this cluster that are entries of the playbook are looked at."""
        stores = [store for store in followed if isinstance(store, KubernetesStore)]
        declared = {"/".join(store.place) for store in stores}
        return [
            finding
            for copies in self.copies()
            for finding in kube_copies.unfollowed(copies, self.name, self.place[1], declared)
        ]

    def read(self) -> Held | None:
        secret = self.cluster.get(self._path)
        return self._held(secret) if secret is not None else None

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        for _ in range(_TRIES):
            secret = self.cluster.get(self._path)
            held = self._held(secret) if secret is not None else None
            if (held.version if held else "") != expect:
                break
            try:
                written = self._put(secret, credential, note)
            except Conflict:
                continue  # another key, a label: read again
            events.record(
                self.cluster,
                {**written, "kind": "Secret"},
                "KeyRotated",
                f"{self.name} by {note.rotation}",
            )
            return self._notes.version(written)
        raise Conflict(f"{self.name} was changed by somebody else")

    def retire(self, version: str) -> None:
        """A Secret keeps no old versions."""

    def tidy(self, expect: str) -> None:
        """One request writes all: nothing is left by an interrupted one."""

    def nudge(self, why: str) -> None:
        """Ask the controller that fills it to do so now, where it has a way to be asked."""
        secret = self.cluster.get(self._path)
        if secret is not None:
            kube_owners.nudge(self.cluster, secret, why)

    # --- the object ---
    def _held(self, secret: SecretObject) -> Held | None:
        values, beside = split({self._keys[key]: text for key, text in self._texts(secret).items()})
        if not values:
            return None
        owners = kube_owners.of_keys(secret, self._keys)
        times = [
            at + 1 for _, at in owners if at is not None
        ]  # told in whole seconds, rounded down
        by = ", ".join(manager for manager, _ in owners if manager != self._notes.manager)
        return Held(
            values,
            self._notes.version(secret),
            self._notes.read(secret),
            max(times, default=None),
            beside,
            by,
        )

    def _raw(self, secret: SecretObject) -> dict[str, str]:
        """What our keys hold, with what stands around it."""
        data = secret.get("data") or {}
        try:
            return {
                key: base64.b64decode(data[key]).decode() for key in self._keys if data.get(key)
            }
        except ValueError as error:
            raise PermanentError(
                f"{self.name} is no text", "rotator keeps keys that are text"
            ) from error

    def _texts(self, secret: SecretObject) -> dict[str, str]:
        texts = {key: around.bare(text) for key, text in self._raw(secret).items()}
        return {key: text for key, text in texts.items() if text}

    def _put(
        self, secret: SecretObject | None, credential: Credential, note: Note
    ) -> dict[str, Any]:
        """One request. Raises Conflict if anybody wrote since `secret` was read."""
        texts = {
            k: credential.primary.reveal() if self.keys is None else credential.text(v)
            for k, v in self._keys.items()
        }
        before = self._raw(secret) if secret is not None else {}
        texts = {key: around.like(before.get(key, ""), text) for key, text in texts.items()}
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        annotations = {self._notes.annotation: self._notes.text(note)}
        if secret is None:
            return self._create(data, annotations)
        annotations |= {_APPLIED: applied} if (applied := self._applied(secret)) else {}
        version = secret["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "annotations": annotations}, "data": data}
        return self.cluster.patch(self._path, body, safe=False, manager=self._notes.manager)

    def _create(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
        namespace, name = self.place
        if not self.create:
            raise NotFound(f"{self.name}: there is no such Secret", "`create: true` makes it")
        body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data}
        body["metadata"] = {"name": name, "namespace": namespace, "annotations": annotations}
        where = kube_views.path("Secret", namespace)
        return self.cluster.call(
            "POST", where, body, safe=False, query={"fieldManager": self._notes.manager}
        )

    @property
    def _notes(self) -> Notes:
        return Notes(tuple(self._keys))

    def _applied(self, secret: SecretObject) -> str:
        """What `kubectl apply` remembers, without our keys; '' where they are not in it."""
        text = before = (secret["metadata"].get("annotations") or {}).get(_APPLIED, "")
        try:
            for kind in ("data", "stringData"):
                text = json_text.without(text, self._keys, kind)
        except NoText:
            return ""
        return text if text != before else ""
