"""What a playbook lays open: credentials in files that everyone reads, keys that travel in clear
text.
"""

from __future__ import annotations

import os
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from rotator.clients.http_connection import is_this_machine
from rotator.model import Finding, Level
from rotator.playbook.playbook import Playbook
from rotator.plugin import AsksWithKey, UsualAddress
from rotator.reference import Reference


def exposed(playbook: Playbook) -> list[Finding]:
    """Warnings, each once."""
    plugins = [playbook.provider, *(entry.store for entry in playbook.stores), *playbook.probes]
    plugins += [entry.restarter for entry in playbook.consumers]
    return list(dict.fromkeys(finding for plugin in plugins for finding in _of(plugin, "")))


def _of(value: Any, name: str) -> Iterator[Finding]:
    if isinstance(value, Reference):
        yield from _of_reference(value, name)
    elif isinstance(value, str):
        yield from _of_text(value, name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _of(one, str(key))
    elif isinstance(value, AsksWithKey) and not value.asks_with_key:
        return  # it sends no key
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _of(getattr(value, field.name), field.metadata.get("spelled") or field.name)
        if isinstance(value, UsualAddress):
            yield from _of_text(value.usual_address(), "its usual address")


def _of_reference(reference: Reference, name: str) -> Iterator[Finding]:
    """A file on a file system that is read-only, as a mounted Secret is, is not changed
    by chmod.
    """
    path = Path(str(reference.value))
    try:
        if reference.kind != "file" or not path.stat().st_mode & stat.S_IROTH:
            return
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return
    except OSError:
        return  # told when it is read
    yield Finding(Level.WARNING, f"{path} ({name}) is readable by everyone", f"chmod 600 {path}")


def _of_text(text: str, name: str) -> Iterator[Finding]:
    if text.startswith("http://") and (host := clear(text)):
        yield Finding(
            Level.WARNING,
            f"keys travel to {host} in clear text ({name}: {text})",
            "https://, or a tunnel",
        )


def clear(url: str) -> str:
    """The host that an http:// address names, '' for this machine itself."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if is_this_machine(host) else host
