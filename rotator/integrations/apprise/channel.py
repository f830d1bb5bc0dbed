"""Channel `apprise`: any of the services that the package apprise knows.

Source: https://github.com/caronc/apprise/wiki (addresses of services), and
https://github.com/caronc/apprise/wiki/Development_API (`instantiate`, `notify`)
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rotator import installed
from rotator.errors import ConfigError, PermanentError, TransientError
from rotator.integrations.apprise import PLUGINS
from rotator.plugin import setting
from rotator.plugin.channel import Kind, Notice, without_address
from rotator.reference import Reference

_TYPES = {
    Kind.ROLLED_BACK: "failure",
    Kind.REFUSED: "failure",
    Kind.ATTENTION: "failure",
    Kind.OVERDUE: "warning",
    Kind.WAITING: "warning",
    Kind.DONE: "success",
}
_LIST = "https://github.com/caronc/apprise/wiki lists the services and their addresses"


@dataclass(frozen=True, kw_only=True)
class Apprise:
    """Slack, Teams, e-mail, PagerDuty, Opsgenie, Telegram, ntfy and what else apprise knows, by an
    address of apprise.
    """

    url: Reference = setting(
        "An address of apprise, for instance slack://… or mailtos://…: a reference, as it holds"
        " the credentials",
        connection=True,
    )

    def __post_init__(self) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ConfigError(
                "notices by apprise need the package apprise", installed.way_to(PLUGINS.extra)
            )

    def check(self) -> None:
        self._service(self.url.resolve().reveal())

    def send(self, notice: Notice) -> None:
        address = self.url.resolve()  # alive, and so redacted, until it is sent
        service = self._service(address.reveal())
        body, kind = notice.text, _TYPES.get(notice.kind, "info")
        with _heard() as said:
            try:
                sent = service.notify(title=notice.title, body=body, notify_type=kind)
            except Exception as error:  # of a service of apprise, which may raise anything
                said.append(f"{type(error).__name__}: {error}")
                sent = False
        if not sent:
            words = without_address(said[-1] if said else "no reason was given", address.reveal())
            raise TransientError(f"{service.service_name} did not take it: {words}")

    def _service(self, address: str) -> Any:
        """Raises PermanentError for an address that apprise does not understand."""
        import apprise

        # Nothing is kept on disk: some services would write tokens there.
        asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
        with _heard():
            found = apprise.Apprise.instantiate(address, asset=asset)
        if found is not None:
            return found
        scheme, separator, _ = address.partition("://")
        if not separator:
            raise PermanentError(f"{self.url} is no address of apprise: it has no ://", _LIST)
        known: Any = import_module("apprise.manager_plugins")
        if scheme.lower() not in known.NotificationManager().schemas():
            raise PermanentError(f"apprise knows no service '{scheme}' ({self.url})", _LIST)
        raise PermanentError(f"{self.url} is no address of '{scheme}' that apprise accepts", _LIST)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What apprise logs in this thread meanwhile: its one way of saying why. Nothing is printed."""
    said: list[str] = []
    mine = threading.get_ident()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine and record.levelno >= logging.WARNING:
                said.append(record.getMessage())

    logger, handler = logging.getLogger("apprise"), Handler()
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
