"""One audit record: what was intended, done, decided, refused or ordered; by whom;
chained by hash.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the person or service, the node, and the way in (cli, due, demo, …)."""

    who: str
    where: str
    way: str

    @property
    def text(self) -> str:
        return f"{self.who}@{self.where} by {self.way}"


@cache
def this_process(way: str, node: str = "") -> Actor:
    """`node`: the name of this machine, its host name unless a setting says another one."""
    user = os.environ.get("SUDO_USER") or _user()
    return Actor(user, node or socket.gethostname(), way)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def rfc3339(at: float) -> str:
    """UTC with microseconds: 2026-11-21T06:28:16.123456Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(record: Mapping[str, Any]) -> str:
    """The one JSON text of a record that is hashed."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(prev: str, text: str) -> str:
    """SHA-256 over the previous record's hash and this record's canonical JSON (without its own
    hash).
    """
    return hashlib.sha256(f"{prev}\n{text}".encode()).hexdigest()
