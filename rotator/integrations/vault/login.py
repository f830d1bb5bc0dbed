"""Who asks Vault: a token that was given, or one that a login gave.

What a playbook does not say comes from VAULT_TOKEN or ~/.vault-token, as Vault's users expect it. A
token that a login gave is kept in this process, renewed after two thirds of its life, and had anew
when the server refuses it. Sources: https://developer.hashicorp.com/vault/api-docs/auth/approle,
…/auth/kubernetes and …/auth/token (`renew-self`, `lookup-self`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rotator import plain
from rotator.errors import AccessDenied, ConfigError, NotFound, PermanentError
from rotator.integrations.vault.wire import Answer
from rotator.plugin import STRICT, setting
from rotator.reference import Reference
from rotator.secret import Secret

_RENEW_AFTER = 2 / 3  # of a token's life
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


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


@dataclass(slots=True)
class _Token:
    """A token that a login gave. Times are seconds of the monotonic clock."""

    secret: Secret
    renew_at: float = float("inf")
    renewable: bool = False


class Send(Protocol):
    """One request to the server with a token, or without one; `rotator.integrations.vault.wire`."""

    def __call__(
        self, token: Secret | None, method: str, path: str, body: Any = None, *, safe: bool
    ) -> Answer: ...


_tokens: dict[Hashable, _Token] = {}
_lock = threading.Lock()


def token(server: Hashable, auth: VaultAuth, send: Send) -> tuple[Secret, bool]:
    """The token to ask `server` with, and whether it was given rather than had by logging in.

    Raises AccessDenied, NotFound (there is no token), what a reference or a login raises.
    """
    if auth.file is not None:
        return Secret(_text(Path(auth.file))), True
    if auth.token is not None:
        return auth.token.resolve(), True
    if auth.approle is None and auth.kubernetes is None:
        return _usual_token(), True
    with _lock:
        kept = _tokens.get(server)
        if kept is None:
            kept = _tokens[server] = _log_in(auth, send)
        elif time.monotonic() > kept.renew_at:
            kept = _tokens[server] = _renewed(kept, auth, send)
        return kept.secret, False


def forget(server: Hashable) -> None:
    """The next request logs in anew."""
    with _lock:
        _tokens.pop(server, None)


def lives(token: Secret, send: Send) -> bool:
    """Whether the server knows the token: else it was revoked, or is of a server before this one.

    A refusal then was the policy's.
    """
    try:
        return send(token, "GET", "auth/token/lookup-self", safe=True).found
    except AccessDenied:
        return False


def _log_in(auth: VaultAuth, send: Send) -> _Token:
    body: dict[str, str] = {}
    if auth.approle is not None:
        path, body = f"auth/{auth.approle.mount}/login", {"role_id": auth.approle.role_id}
        if auth.approle.secret_id is not None:
            body["secret_id"] = auth.approle.secret_id.resolve().reveal()
        hint = "are role and secret id right?"
    else:
        assert auth.kubernetes is not None
        path = f"auth/{auth.kubernetes.mount}/login"
        body = {"role": auth.kubernetes.role, "jwt": _text(Path(auth.kubernetes.token_file))}
        hint = "is the role bound to this service account?"
    try:
        return _token_of(send(None, "POST", path, body, safe=True))
    except (AccessDenied, PermanentError) as error:
        raise AccessDenied(f"Vault refuses to log us in ({path}): {error.message}", hint) from error


def _renewed(kept: _Token, auth: VaultAuth, send: Send) -> _Token:
    if kept.renewable:
        with contextlib.suppress(PermanentError):  # it may not be renewed for ever
            return _token_of(send(kept.secret, "POST", "auth/token/renew-self", {}, safe=True))
    return _log_in(auth, send)


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
