"""Files here and on hosts: .env files, and files of one value."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    stores={"dotenv": "dotenv:DotenvStore", "file": "file:FileStore"},
)
