"""Whether an address leads to the machine that asks."""

from __future__ import annotations

import ipaddress
import urllib.parse

_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


def is_here(address: str) -> bool:
    """Of a URL: a socket of this machine, or a host that is this machine by its name or number."""
    found = urllib.parse.urlsplit(address)
    if found.scheme in ("unix", "http+unix", "npipe", "fd"):
        return True
    host = found.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _NAMES
