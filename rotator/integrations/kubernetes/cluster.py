"""The one door to Kubernetes: requests to an API server, each sent once; objects are its JSON.

Retries are the engine's. Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/
(lists in pages, watches, bookmarks, `resourceVersion`) and
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ (errors).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from rotator import deadline
from rotator.clients.dates import clock_skew
from rotator.errors import (
    NotFound,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
)
from rotator.integrations.kubernetes import connection, errors, outages
from rotator.integrations.kubernetes.connection import Connection
from rotator.plugin import Address, setting
from rotator.secret import redact

_TIMEOUT = 20.0
_PAGE = 500
_KINDS = {"PATCH": "application/merge-patch+json"}


@dataclass(frozen=True, kw_only=True)
class ClusterConnection:
    """The settings that every plugin of Kubernetes has: which cluster, and who asks."""

    context: str | None = setting(
        "Context of the kubeconfig; else the current one", default=None, connection=True
    )
    kubeconfig: str | None = setting(
        "File; else KUBECONFIG or ~/.kube/config, or, in a pod, its service account",
        default=None,
        connection=True,
        path=True,
        runs=True,
    )

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig, self.context)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and who asks it."""

    kubeconfig: str | None = None
    context: str | None = None

    @property
    def place(self) -> str:
        """What tells it from other clusters of one user, without asking it."""
        return f"{self.kubeconfig or ''}#{self.context or ''}"

    @property
    def namespace(self) -> str:
        """What kubectl would use without -n."""
        return self._client().namespace

    @property
    def skew(self) -> float:
        """Seconds by which the server's clock was ahead of ours at its last answer; to about a
        second.
        """
        return self._client().skew

    @property
    def outages(self) -> list[tuple[float, float]]:
        """When this process did not reach the server as it should: first and last failure (Unix
        seconds).
        """
        return outages.of(self)

    @property
    def configuration(self) -> Any:
        """Of the package kubernetes."""
        return self._client().configuration

    @property
    def authorization(self) -> dict[str, str]:
        """The header by which we are known, if it is not by a certificate."""
        bearer = self.configuration.auth_settings().get("BearerToken") or {}
        return {"authorization": bearer["value"]} if bearer.get("value") else {}

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, None where there is none."""
        try:
            return self.call("GET", path, safe=True)
        except NotFound:
            return None

    def items(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """All objects of a list, and the version to watch from."""
        objects: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE), **query}
        in_time = deadline.listing(f"{self}: the list {path}")
        while True:
            in_time()
            page = self.call("GET", path, safe=True, query=query)
            objects += page.get("items") or ()
            about = page.get("metadata") or {}
            if not about.get("continue"):
                return objects, str(about.get("resourceVersion", ""))
            query = {**query, "continue": about["continue"]}

    def patch(
        self, path: str, body: Mapping[str, Any], *, safe: bool, manager: str = "rotator"
    ) -> dict[str, Any]:
        """A merge patch: what it does not name stays.

        With metadata.resourceVersion it is compare-and-set.
        """
        return self.call("PATCH", path, body, safe=safe, query={"fieldManager": manager})

    def text(self, path: str, **query: str) -> str:
        """An answer that is no JSON, as a container's log."""
        return self._request("GET", path, None, True, query).decode(errors="replace")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        safe: bool,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request, sent once. `safe`: it may be sent twice.

        Raises TransientError (nothing happened), OutcomeUnknown (an unsafe one may have),
        AccessDenied, NotFound, Conflict, PermanentError (with the server's own words), ConfigError,
        LeaseLost.
        """
        raw = self._request(method, path, body, safe, query or {})
        try:
            answer = json.loads(raw)
        except ValueError as error:
            if not safe:
                raise OutcomeUnknown(f"{self} answered {method} only in part") from error
            raise PermanentError(
                f"{self} does not answer as Kubernetes does", "is a proxy in between?"
            ) from error
        return answer if isinstance(answer, dict) else {}

    def watch(self, path: str, version: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Events since `version`, as they come, for at most `seconds`."""
        import urllib3

        query = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true",
        }
        timeout = urllib3.Timeout(connect=_TIMEOUT, read=seconds + 10)
        answer = self._send("GET", path, None, True, query, timeout, stream=True)
        try:
            if answer.status != 200:
                raise self._refused(answer.status, answer.read(), "GET", path, True)
            left, end = b"", deadline.within(seconds + _TIMEOUT)
            for chunk in answer.stream(65536, decode_content=True):
                if end() <= 0:  # it drips
                    return
                *lines, left = (left + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            outages.note(self)
            raise TransientError(
                f"{self}: the watch was cut: {redact(str(error))[:200]}"
            ) from error
        finally:
            answer.release_conn()

    # --- underneath ---
    def _request(
        self, method: str, path: str, body: Any, safe: bool, query: Mapping[str, str]
    ) -> bytes:
        import urllib3

        timeout = urllib3.Timeout(total=deadline.remaining(_TIMEOUT))
        answer = self._send(method, path, body, safe, query, timeout)
        if answer.status == 401:  # a token that was changed on disk since
            connection.forget(self.kubeconfig, self.context)
            answer = self._send(method, path, body, safe, query, timeout)
        self._client().skew = clock_skew(answer.headers.get("date", ""))
        if answer.status >= 300:
            raise self._refused(answer.status, answer.data, method, path, safe)
        return bytes(answer.data)

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        safe: bool,
        query: Mapping[str, str],
        timeout: Any,
        stream: bool = False,
        anonymous: bool = False,
    ) -> Any:
        import urllib3

        try:  # a kubeconfig may name a program that logs in
            client = deadline.bounded(deadline.CALL, self._client)
        except TimeoutError as error:
            raise TransientError(f"{self}: no login: {error}", "`kubectl version`") from error
        headers = {
            "accept": "application/json",
            "user-agent": "rotator",
            **({} if anonymous else self.authorization),
        }
        headers["content-type"] = _KINDS.get(method, "application/json")
        url = f"{client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")

        def ask() -> Any:
            deadline.check()
            return client.pool.request(
                method,
                url,
                body=json.dumps(body) if body is not None else None,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=not stream,
            )

        try:
            return deadline.bounded(deadline.CALL if safe else deadline.remaining(), ask)
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
        ) as error:
            outages.note(self)
            raise TransientError(
                f"{self} cannot be reached", "is the API server up? `kubectl version`"
            ) from error
        except TimeoutError as error:
            outages.note(self)
            words = f"{self} did not answer {method} {path} whole: {error}"
            raise (TransientError if safe else OutcomeUnknown)(words) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            outages.note(self)
            words = f"{self} did not answer {method} {path}: {redact(str(error))[:200]}"
            if safe or isinstance(error, urllib3.exceptions.SSLError):
                raise TransientError(words) from error
            raise OutcomeUnknown(words) from error

    def _refused(self, status: int, raw: bytes, method: str, path: str, safe: bool) -> RotatorError:
        if (status in (401, 403) and self._starting()) or status >= 500:
            outages.note(self)
            return errors.not_now(str(self), status, raw, safe)
        return errors.refused(str(self), status, raw, f"{method} {path}")

    def _starting(self) -> bool:
        """Whether the server is not ready: before it has read its roles and accounts, it refuses
        everybody.
        """
        import urllib3

        timeout = urllib3.Timeout(total=deadline.remaining(_TIMEOUT))
        try:
            answer = self._send("GET", "/readyz", None, True, {}, timeout, anonymous=True)
        except TransientError:
            return True
        return bool(answer.status >= 500)  # else it is ready, or does not tell strangers

    def _client(self) -> Connection:
        return connection.to(self.kubeconfig, self.context)

    def __str__(self) -> str:
        return f"the cluster {self.context}" if self.context else "the cluster"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A Secret that a playbook writes, and which of its keys. `namespace` '': the context's."""

    cluster: Cluster
    namespace: str
    name: str
    keys: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, cluster: Cluster, address: Address) -> SecretRef:
        """The Secret of a store's address, whose name is NAMESPACE/NAME or NAME."""
        namespace, _, name = address.name.rpartition("/")
        return cls(cluster, namespace, name, address.fields)
