"""One request to a server of Vault or OpenBao by the package hvac, imported late, and what its
answer means.

Sources: https://developer.hashicorp.com/vault/api-docs#http-status-codes and
https://developer.hashicorp.com/vault/api-docs/system/health
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotator import deadline, installed
from rotator.errors import (
    AccessDenied,
    ConfigError,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.integrations.vault import PLUGINS
from rotator.secret import Secret, redact

_TIMEOUT = 20.0  # seconds
# What the server says of itself instead of an answer.
_NOT_NOW = {
    412: "has not yet seen an earlier write",
    429: "is busy, or a standby",
    472: "is a standby for disaster recovery",
    473: "is a performance standby",
    501: "is not initialised",
    503: "is sealed, or in maintenance",
}
# The capability of a policy that each method needs.
_NEEDS = {
    "GET": "read",
    "LIST": "list",
    "POST": "update",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


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


@dataclass(frozen=True, slots=True)
class Wire:
    """Where requests go. `verify`: whether the server's certificate is checked, or by which
    authority's file.
    """

    url: str
    namespace: str | None
    verify: str | bool

    def send(
        self,
        token: Secret | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        safe: bool,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One request, sent once; a `body` that is a text is JSON already. `safe`: it may be sent
        twice.

        Raises TransientError (nothing happened), OutcomeUnknown (an unsafe one may have),
        AccessDenied, PermanentError (its message is the server's), ConfigError, LeaseLost.
        """
        try:
            import hvac.adapters
            import requests
        except ModuleNotFoundError as error:
            raise ConfigError(
                "Vault needs the package hvac", installed.way_to(PLUGINS.extra)
            ) from error
        deadline.watch_connections()
        adapter = hvac.adapters.RawAdapter(
            base_uri=self.url,
            token=token.reveal() if token else None,
            verify=self.verify,
            timeout=deadline.remaining(_TIMEOUT),
            namespace=self.namespace,
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
                method.lower(),
                f"/v1/{path}",
                headers=headers,
                params=dict(query) if query else None,
                **sent,
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
        # Vault says 204 where there is nothing to say: this was cut short.
        if status == 200 and not answer.content:
            words = f"{self.url} answered {method} {path} only in part"
            raise TransientError(words) if safe else OutcomeUnknown(words)
        if status < 300 or status == 404:
            return Answer(status, _json(answer, self.url), answer.content.decode(errors="replace"))
        if status < 400:
            where = redact(str(answer.headers.get("location", "elsewhere")))
            raise TransientError(
                f"{self.url} redirects to {where}",
                "give the active server's address, or a balancer's",
            )
        said = _words(answer)
        if status in _NOT_NOW:
            raise TransientError(
                f"{self.url} {_NOT_NOW[status]} ({status}{said and ': '}{said})", "`vault status`"
            )
        if status == 403:
            needed = _NEEDS.get(method, "update")
            raise AccessDenied(
                f"Vault refuses to {needed} {path} (403{said and ': '}{said})",
                f'does the token live, and has its policy  path "{path}" {{ capabilities ='
                f' ["{needed}"] }}  ?',
            )
        if status >= 500:
            words = f"{self.url} answered {status}: {said}"
            raise TransientError(words) if safe else OutcomeUnknown(words)
        raise PermanentError(f"Vault refuses {method} {path} ({status}): {said}")


def _json(answer: Any, url: str) -> Mapping[str, Any]:
    if not answer.content:
        return {}
    try:
        body = answer.json()
    except ValueError as error:
        raise PermanentError(
            f"{url} does not answer as Vault does",
            "is the address right, or a proxy's login page in between?",
        ) from error
    return body if isinstance(body, dict) else {}


def _words(answer: Any) -> str:
    """What the server says is wrong, for a person, redacted."""
    try:
        body = answer.json()
        errors = body.get("errors") or () if isinstance(body, dict) else ()
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
    if unsent or safe:
        return TransientError(
            f"{url} cannot be reached: {redact(str(reason or error))[:200]}",
            "is VAULT_ADDR right, and the server up? `vault status`",
        )
    return OutcomeUnknown(f"{url} did not answer: {redact(str(error))[:200]}")
