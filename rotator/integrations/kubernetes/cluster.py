"""The one door to Kubernetes: the package kubernetes, imported late, for settings and connections;
objects as JSON.

Where and who, as kubectl's users expect it: a playbook's `kubeconfig` and `context`, else
KUBECONFIG or ~/.kube/config, else, in a pod, its service account. Retries are the engine's: each
request is sent once.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from rotator import deadline, installed
from rotator.clients import programs
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
)
from rotator.plugin import setting
from rotator.secret import last_line, redact, without_keys

_TIMEOUT = 20.0
_PAGE = 500
_EXEC_INFO = "KUBERNETES_EXEC_INFO"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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


@dataclass(slots=True)
class _Connected:
    """A configured client: made once, as reading certificates takes longer than a request."""

    configuration: Any
    pool: Any
    namespace: str
    file: tuple[str, int]
    skew: float = 0.0


_connected: dict[Cluster, _Connected] = {}
_connecting = threading.Lock()


class _Logins(threading.local):
    """Why the login program of the connection that this thread makes failed."""

    failed: RotatorError | None = None


_logins = _Logins()
_outages: dict[Cluster, list[tuple[float, float]]] = {}
_ONE_OUTAGE = 30.0  # seconds between two failures that are of one outage


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and who asks it."""

    kubeconfig: str | None = None
    context: str | None = None

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
        with _connecting:
            return list(_outages.get(self, ()))

    @property
    def configuration(self) -> Any:
        """Of the package kubernetes."""
        return self._client().configuration

    @property
    def authorization(self) -> dict[str, str]:
        """The header by which we are known, if it is not by a certificate."""
        bearer = self.configuration.auth_settings().get("BearerToken") or {}
        return {"authorization": bearer["value"]} if bearer.get("value") else {}

    def _away(self) -> None:
        """Note a failure.

        Who else depends on the server may have noticed it, too, and take a while to be back.
        """
        now = time.time()
        with _connecting:
            found = _outages.setdefault(self, [])
            if found and now - found[-1][1] < _ONE_OUTAGE:
                found[-1] = (found[-1][0], now)
            else:
                found[:] = [*found[-9:], (now, now)]

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, None where there is none."""
        try:
            return self.call("GET", path, safe=True)
        except NotFound:
            return None

    def items(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """All objects of a list, and the version to watch from."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE), **query}
        in_time = deadline.listing(f"{self}: the list {path}")
        while True:
            in_time()
            page = self.call("GET", path, safe=True, query=query)
            found += page.get("items") or ()
            told = page.get("metadata") or {}
            if not told.get("continue"):
                return found, str(told.get("resourceVersion", ""))
            query = {**query, "continue": told["continue"]}

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
            found = json.loads(raw)
        except ValueError as error:
            if not safe:
                raise OutcomeUnknown(f"{self} answered {method} only in part") from error
            raise PermanentError(
                f"{self} does not answer as Kubernetes does", "is a proxy in between?"
            ) from error
        return found if isinstance(found, dict) else {}

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
            self._away()
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
            with _connecting:
                _connected.pop(self, None)
            answer = self._send(method, path, body, safe, query, timeout)
        self._client().skew = _skew(answer.headers.get("date", ""))
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
            self._away()
            raise TransientError(
                f"{self} cannot be reached", "is the API server up? `kubectl version`"
            ) from error
        except TimeoutError as error:
            self._away()
            words = f"{self} did not answer {method} {path} whole: {error}"
            raise (TransientError if safe else OutcomeUnknown)(words) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._away()
            words = f"{self} did not answer {method} {path}: {redact(str(error))[:200]}"
            if safe or isinstance(error, urllib3.exceptions.SSLError):
                raise TransientError(words) from error
            raise OutcomeUnknown(words) from error

    def _refused(self, status: int, raw: bytes, method: str, path: str, safe: bool) -> RotatorError:
        words = _words(raw)
        if status in (401, 403):
            if self._starting():
                self._away()
                return TransientError(f"{self} is not ready: {words}")
            return AccessDenied(
                f"Kubernetes refuses {method} {path}: {words}",
                "which Role has who asks? `kubectl auth can-i`",
            )
        if status in (404, 410):
            return NotFound(words)
        if status == 409:
            return Conflict(words)
        if status == 429:
            return TransientError(f"{self} is busy: {words}")
        if status >= 500:
            self._away()
            told = f"{self} answered {status}: {words}"
            return TransientError(told) if safe else OutcomeUnknown(told)
        return PermanentError(f"Kubernetes refuses {method} {path} ({status}): {words}")

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

    def _client(self) -> _Connected:
        file = self._file()
        with _connecting:
            found = _connected.get(self)
        if found is None or found.file != file:
            found = self._connect(
                file
            )  # which may run a program that logs in: nobody else waits for that
            with _connecting:
                _connected[self] = found
        return found

    def _file(self) -> tuple[str, int]:
        """The kubeconfig and when it was changed: logins rewrite it."""
        path = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        files = [Path(part).expanduser() for part in path.split(os.pathsep)]
        newest = max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)
        return (os.pathsep.join(map(str, files)), newest) if newest else ("", 0)

    def _connect(self, file: tuple[str, int]) -> _Connected:
        try:
            config: Any = import_module("kubernetes.config")
            client: Any = import_module("kubernetes.client")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "Kubernetes needs the package kubernetes", installed.way_to("kubernetes")
            ) from error
        deadline.watch_connections()
        _through_our_door()
        made, namespace = client.Configuration(), "default"
        _logins.failed = None
        try:
            if file[0]:
                config.load_kube_config(
                    config_file=file[0], context=self.context, client_configuration=made
                )
                contexts, current = config.list_kube_config_contexts(config_file=file[0])
                mine = next((one for one in contexts if one["name"] == self.context), current)
                namespace = mine["context"].get("namespace") or "default"
            else:
                config.load_incluster_config(client_configuration=made)
                namespace = (_ACCOUNT / "namespace").read_text().strip()
        except (config.ConfigException, OSError, TypeError, KeyError) as error:
            raise ConfigError(
                f"no way to a cluster: {redact(str(error))[:200]}",
                "KUBECONFIG, ~/.kube/config, or `kubeconfig:` and `context:` in the playbook",
            ) from error
        if (failed := _logins.failed) is not None:
            raise failed
        return _Connected(made, client.ApiClient(made).rest_client.pool_manager, namespace, file)

    def __str__(self) -> str:
        return f"the cluster {self.context}" if self.context else "the cluster"


@cache
def _through_our_door() -> None:
    """A kubeconfig's login program is a program like any other."""
    provider: Any = import_module("kubernetes.config.exec_provider")
    provider.subprocess = SimpleNamespace(Popen=_Login, PIPE=None)


class _Login(programs.LikePopen):
    """It is told that nobody sits at a terminal.

    That it failed is kept, as the package would go on as nobody.
    """

    def __init__(self, args: Sequence[str], *, env: Mapping[str, str], **more: Any) -> None:
        told = json.loads(env[_EXEC_INFO])
        told["spec"]["interactive"] = False
        try:
            super().__init__(args, env={**env, _EXEC_INFO: json.dumps(told)}, **more)
        except RotatorError as error:
            _logins.failed = error
            raise
        if self.returncode:
            said = without_keys(last_line(str(self.communicate()[1]).splitlines()))
            words = f"the kubeconfig's login program {args[0]} ended with {self.returncode}"
            _logins.failed = AccessDenied(
                f"{words}: {said}" if said else words, "run it by hand to see why"
            )


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A Secret that a playbook writes, and which of its keys. `namespace` '': the context's."""

    cluster: Cluster
    namespace: str
    name: str
    keys: tuple[str, ...] = field(default=())


def moment(text: str | None) -> float | None:
    """Unix seconds of an object's time; the servers tell whole ones, rounded down."""
    return datetime.fromisoformat(text).timestamp() if text else None


def event(cluster: Cluster, about: Mapping[str, Any], reason: str, text: str) -> None:
    """What `kubectl describe` of this object shows.

    Left out where we may not, or the server cannot now.
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
        return  # preflight tells the missing permission; an event is no part of a rotation


def _skew(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else 0.0


def _words(raw: bytes) -> str:
    try:
        found = json.loads(raw)
        words = found.get("message", "") if isinstance(found, dict) else ""
    except ValueError:
        words = raw[:200].decode(errors="replace").split("\n")[0]
    return redact(str(words))[:500]
