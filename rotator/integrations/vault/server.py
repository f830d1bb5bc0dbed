"""The one door to Vault and OpenBao: the package hvac, imported late. Where and who, as Vault's
users expect it.

What a playbook does not say comes from VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT and, for who asks,
VAULT_TOKEN or ~/.vault-token. A token that a login gave is kept in this process, renewed after two
thirds of its life, and had anew when the server refuses it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotator import deadline, installed, plain
from rotator.errors import (
    AccessDenied,
    ConfigError,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.plugin import STRICT, setting
from rotator.reference import Reference
from rotator.secret import Secret, redact

_TIMEOUT = 20.0
_RENEW_AFTER = 2 / 3  # of a token's life
_MOUNT_KNOWN = 60.0  # seconds: `vault kv enable-versioning` is rare
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
# What the server says of itself instead of an answer.
# https://developer.hashicorp.com/vault/api-docs/system/health
_NOT_NOW = {
    412: "has not yet seen an earlier write",
    429: "is busy, or a standby",
    472: "is a standby for disaster recovery",
    473: "is a performance standby",
    501: "is not initialised",
    503: "is sealed, or in maintenance",
}
_NEEDS = {
    "GET": "read",
    "LIST": "list",
    "POST": "update",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@dataclass(frozen=True, kw_only=True)
class AppRole:
    """Log in with a role id and a secret id."""

    __pydantic_config__ = STRICT

    role_id: str = setting("The role's id")
    secret_id: Reference | None = setting("The secret id, as a reference", default=None)
    mount: str = setting("Where the method is mounted", default="approle")


@dataclass(frozen=True, kw_only=True)
class KubernetesLogin:
    """Log in with the pod's service account."""

    __pydantic_config__ = STRICT

    role: str = setting("Name of the role in Vault")
    mount: str = setting("Where the method is mounted", default="kubernetes")
    token_file: str = setting("The service account's token", default=_SERVICE_ACCOUNT, path=True)


@dataclass(frozen=True, kw_only=True)
class VaultAuth:
    """Who asks: one of these ways. Without any, VAULT_TOKEN, then ~/.vault-token."""

    __pydantic_config__ = STRICT

    token: Reference | None = setting("A token, as a reference", default=None)
    file: str | None = setting(
        "A file with a token that an agent keeps fresh", default=None, path=True
    )
    approle: AppRole | None = setting("Log in by AppRole: role_id, secret_id, mount", default=None)
    kubernetes: KubernetesLogin | None = setting(
        "Log in as the pod's service account: role, mount", default=None
    )

    def __post_init__(self) -> None:
        if (
            sum(way is not None for way in (self.token, self.file, self.approle, self.kubernetes))
            > 1
        ):
            raise ConfigError(
                "more than one way to log in", "`auth` has one of token, file, approle, kubernetes"
            )


@dataclass(frozen=True, kw_only=True)
class VaultConnection:
    """The settings that every plugin of Vault has: where to, and who asks."""

    address: str | None = setting(
        "Server, for instance https://vault:8200; else VAULT_ADDR", default=None, connection=True
    )
    namespace: str | None = setting(
        "Namespace; else VAULT_NAMESPACE", default=None, connection=True
    )
    ca_cert: str | None = setting(
        "File with the authority to trust; else VAULT_CACERT",
        default=None,
        connection=True,
        path=True,
    )
    auth: VaultAuth = setting(
        "How to log in: {token: {env: NAME}}, {file: PATH}, {approle: {role_id, secret_id}} or"
        " {kubernetes: {role}}; else VAULT_TOKEN or ~/.vault-token",
        default=VaultAuth(),
        connection=True,
    )

    @property
    def vault(self) -> Vault:
        return Vault(self.address, self.namespace, self.ca_cert, self.auth)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of status 2xx or 404, which Vault also gives for a deleted version.

    `text`: as it came.
    """

    status: int
    body: Mapping[str, Any]
    text: str = ""

    @property
    def found(self) -> bool:
        return self.status < 300

    @property
    def data(self) -> Mapping[str, Any]:
        return self.body.get("data") or {}


@dataclass(slots=True)
class _Token:
    """A token that a login gave, or one given whose life is known.

    Times are seconds of the monotonic clock.
    """

    secret: Secret
    renew_at: float = float("inf")
    renewable: bool = False


_tokens: dict[Vault, _Token] = {}
_mounts: dict[tuple[Vault, str], tuple[str, int, float]] = {}
_tokens_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Vault:
    """A server and who asks it; what is None comes from the environment at each call."""

    address: str | None = None
    namespace: str | None = None
    ca_cert: str | None = None
    auth: VaultAuth = field(default_factory=VaultAuth)

    @property
    def url(self) -> str:
        return (self.address or os.environ.get("VAULT_ADDR") or "https://127.0.0.1:8200").rstrip(
            "/"
        )

    def call(self, method: str, path: str, body: Any = None, *, safe: bool, **query: Any) -> Answer:
        """One request, sent once; a `body` that is a text is JSON already. `safe`: it may be sent
        twice.

        Raises TransientError (nothing happened), OutcomeUnknown (an unsafe one may have),
        AccessDenied, PermanentError (its message is the server's), ConfigError, LeaseLost.
        """
        token, given = self._token()
        try:
            return self._send(token, method, path, body, safe, query)
        except AccessDenied:
            if given or self._lives(token):
                raise
        with _tokens_lock:
            _tokens.pop(self, None)
        return self._send(self._token()[0], method, path, body, safe, query)

    def _lives(self, token: Secret) -> bool:
        """Whether it was the policy that refused, rather than a token that was revoked or belongs
        to another life.
        """
        try:
            return self._send(token, "GET", "auth/token/lookup-self", None, True, {}).found
        except AccessDenied:
            return False

    def kv_mount(self, path: str) -> tuple[str, int]:
        """The mount of a secret with its final slash, and the version of its KV engine; as `vault
        kv` asks for it.
        """
        known = _mounts.get((self, path))
        if known is None or time.monotonic() > known[2]:
            answer = self.call("GET", f"sys/internal/ui/mounts/{path}", safe=True)
            if not answer.found or answer.data.get("type") not in ("kv", "generic"):
                raise NotFound(
                    f"there is no KV engine at {path}", "`vault secrets list` shows the mounts"
                )
            version = str((answer.data.get("options") or {}).get("version"))
            known = (
                str(answer.data["path"]),
                2 if version == "2" else 1,
                time.monotonic() + _MOUNT_KNOWN,
            )
            _mounts[self, path] = known
        return known[0], known[1]

    def _token(self) -> tuple[Secret, bool]:
        """The token to ask with, and whether it was given rather than had by logging in."""
        if self.auth.file is not None:
            return Secret(_text(Path(self.auth.file))), True
        if self.auth.token is not None:
            return self.auth.token.resolve(), True
        if self.auth.approle is None and self.auth.kubernetes is None:
            return _usual_token(), True
        with _tokens_lock:
            held = _tokens.get(self)
            if held is None:
                held = _tokens[self] = self._log_in()
            elif time.monotonic() > held.renew_at:
                held = _tokens[self] = self._renewed(held)
            return held.secret, False

    def _log_in(self) -> _Token:
        approle, pod = self.auth.approle, self.auth.kubernetes
        body: dict[str, str] = {}
        if approle is not None:
            path, body = f"auth/{approle.mount}/login", {"role_id": approle.role_id}
            if approle.secret_id is not None:
                body["secret_id"] = approle.secret_id.resolve().reveal()
        else:
            assert pod is not None
            path, body = (
                f"auth/{pod.mount}/login",
                {"role": pod.role, "jwt": _text(Path(pod.token_file))},
            )
        try:
            return _token_of(self._send(None, "POST", path, body, True, {}))
        except (AccessDenied, PermanentError) as error:
            right = (
                "are role and secret id right?"
                if approle
                else "is the role bound to this service account?"
            )
            raise AccessDenied(
                f"Vault refuses to log us in ({path}): {error.message}", right
            ) from error

    def _renewed(self, held: _Token) -> _Token:
        if held.renewable:
            with contextlib.suppress(PermanentError):  # it may not be renewed for ever
                return _token_of(
                    self._send(held.secret, "POST", "auth/token/renew-self", {}, True, {})
                )
        return self._log_in()

    def _send(
        self,
        token: Secret | None,
        method: str,
        path: str,
        body: Any,
        safe: bool,
        query: Mapping[str, Any],
    ) -> Answer:
        try:
            import hvac.adapters
            import requests
        except ModuleNotFoundError as error:
            raise ConfigError("Vault needs the package hvac", installed.way_to("vault")) from error
        deadline.watch_connections()
        adapter = hvac.adapters.RawAdapter(
            base_uri=self.url,
            token=token.reveal() if token else None,
            verify=self.ca_cert
            or os.environ.get("VAULT_CACERT")
            or os.environ.get("VAULT_SKIP_VERIFY", "") not in ("1", "true"),
            timeout=deadline.remaining(_TIMEOUT),
            namespace=self.namespace or os.environ.get("VAULT_NAMESPACE"),
            allow_redirects=False,  # the token must not travel to another host
            ignore_exceptions=True,
        )
        headers = {"content-type": "application/merge-patch+json"} if method == "PATCH" else {}
        sent: Any = {"json": body} if body is not None else {}
        if isinstance(body, str):
            headers, sent = {"content-type": "application/json"}, {"data": body.encode()}

        def ask() -> Any:
            deadline.check()
            return adapter.request(
                method.lower(), f"/v1/{path}", headers=headers, params=dict(query) or None, **sent
            )

        try:
            answer = deadline.bounded(deadline.CALL if safe else deadline.remaining(), ask)
        except requests.exceptions.RequestException as error:
            raise _lost(error, self.url, safe) from error
        except TimeoutError as error:
            words = f"{self.url} did not answer {method} whole: {error}"
            raise (TransientError if safe else OutcomeUnknown)(words, "`vault status`") from error
        finally:
            adapter.close()
        return self._judged(answer, method, path, safe)

    def _judged(self, answer: Any, method: str, path: str, safe: bool) -> Answer:
        status = int(answer.status_code)
        if (
            status == 200 and not answer.content
        ):  # Vault says 204 where there is nothing to say: this was cut short
            told = f"{self.url} answered {method} {path} only in part"
            raise TransientError(told) if safe else OutcomeUnknown(told)
        if status < 300 or status == 404:
            return Answer(status, _json(answer, self.url), answer.content.decode(errors="replace"))
        words = _words(answer)
        if status < 400:
            where = redact(str(answer.headers.get("location", "elsewhere")))
            raise TransientError(
                f"{self.url} redirects to {where}",
                "give the active server's address, or a balancer's",
            )
        if status in _NOT_NOW:
            raise TransientError(
                f"{self.url} {_NOT_NOW[status]} ({status}{words and ': '}{words})", "`vault status`"
            )
        if status == 403:
            needed = _NEEDS.get(method, "update")
            raise AccessDenied(
                f"Vault refuses to {needed} {path} (403{words and ': '}{words})",
                f'does the token live, and has its policy  path "{path}" {{ capabilities ='
                f' ["{needed}"] }}  ?',
            )
        if status >= 500:
            told = f"{self.url} answered {status}: {words}"
            raise TransientError(told) if safe else OutcomeUnknown(told)
        raise PermanentError(f"Vault refuses {method} {path} ({status}): {words}")


def _json(answer: Any, url: str) -> Mapping[str, Any]:
    if not answer.content:
        return {}
    try:
        found = answer.json()
    except ValueError as error:
        raise PermanentError(
            f"{url} does not answer as Vault does",
            "is the address right, or a proxy's login page in between?",
        ) from error
    return found if isinstance(found, dict) else {}


def _words(answer: Any) -> str:
    try:
        found = answer.json()
        errors = found.get("errors") or () if isinstance(found, dict) else ()
        return redact("; ".join(" ".join(str(error).split()) for error in errors))[:300]
    except ValueError:
        return redact(str(answer.text)[:80]).split("\n")[0]


def _lost(error: Exception, url: str, safe: bool) -> TransientError | OutcomeUnknown:
    import requests
    import urllib3

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    unsent = isinstance(
        error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError
    ) or isinstance(reason, urllib3.exceptions.NewConnectionError)
    words = f"{url} cannot be reached: {redact(str(reason or error))[:200]}"
    if unsent or safe:
        return TransientError(words, "is VAULT_ADDR right, and the server up? `vault status`")
    return OutcomeUnknown(f"{url} did not answer: {redact(str(error))[:200]}")


def _token_of(answer: Answer) -> _Token:
    auth = answer.body.get("auth") or {}
    if not auth.get("client_token"):
        raise PermanentError("the login's answer has no token")
    life = float(auth.get("lease_duration") or 0)
    renew_at = time.monotonic() + life * _RENEW_AFTER if life else float("inf")
    return _Token(Secret(str(auth["client_token"])), renew_at, bool(auth.get("renewable")))


def _usual_token() -> Secret:
    if value := os.environ.get("VAULT_TOKEN", "").strip():
        return Secret(value)
    path = Path("~/.vault-token").expanduser()
    if not path.exists():
        raise AccessDenied(
            "there is no Vault token",
            "VAULT_TOKEN, ~/.vault-token (`vault login`), or `auth:` in the playbook",
        )
    return Secret(_text(path))


def _text(path: Path) -> str:
    try:
        return plain.text(path).strip()
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", "does the agent write its token there?") from error
    except OSError as error:
        raise AccessDenied(
            f"{path} cannot be read: {error.strerror}", "check its owner and mode"
        ) from error
