"""The connection of one request: by which proxy, whom we trust, and how another thread cuts it.

Source: https://www.python-httpx.org/environment_variables/ and httpcore's `trace` extension.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rotator import __version__, deadline
from rotator.errors import PermanentError

if TYPE_CHECKING:
    import ssl

    import httpx

_TIMEOUT = 20.0  # seconds
_TRUSTED = 60.0  # seconds until certificates are read again
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Line:
    """The connection of one request: whether anything was sent, and how another thread cuts it."""

    def __init__(self) -> None:
        self.sent = False
        self._stream: Any = None

    def follow(self, event: str, facts: Mapping[str, Any]) -> None:
        """httpcore tells what it does.

        Connecting may have taken long: the deadline is asked right before sending.
        """
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = facts["return_value"]
        elif event.endswith(".send_request_headers.started"):
            deadline.check()
            self.sent = True

    def cut(self) -> None:
        line = self._stream.get_extra_info("socket") if self._stream is not None else None
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def client(host: str) -> httpx.Client:
    """Through the environment's proxy, but for this machine itself: the key would leave it.

    Raises PermanentError.
    """
    import httpx

    try:
        return httpx.Client(
            timeout=deadline.remaining(_TIMEOUT),
            follow_redirects=False,
            headers={"user-agent": f"rotator/{__version__}"},
            verify=_trust(int(time.monotonic() // _TRUSTED), *map(os.environ.get, _TRUST)),
            trust_env=not is_this_machine(host),
        )
    except (
        ValueError,
        ImportError,
        httpx.InvalidURL,
    ) as error:  # what it says may name the proxy's password
        hint = (
            f"http:// or https:// in {_proxies() or 'HTTP_PROXY, HTTPS_PROXY, ALL_PROXY'}; NO_PROXY"
            " names exceptions"
        )
        raise PermanentError("the proxy that the environment names cannot be used", hint) from error


def is_this_machine(host: str) -> bool:
    """Whether an address, or a name, means the loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f".{host.lower().rstrip('.')}".endswith(".localhost")


def _proxies() -> str:
    """The variables that name a proxy here."""
    return ", ".join(
        name for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    )


@lru_cache(maxsize=1)
def _trust(minute: int, *named: str | None) -> ssl.SSLContext:
    """Whom we trust; reading that costs more than most requests, so it is read anew each minute."""
    import httpx

    return httpx.create_ssl_context()
