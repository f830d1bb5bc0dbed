"""PgBouncer before a PostgreSQL, in transaction mode unless told otherwise: on a Unix socket in its
own directory.
"""

from __future__ import annotations

import os
import shutil
import urllib.parse
from pathlib import Path
from typing import Any

from tests.servers.server import Server
from tests.servers.tools import apt, free_port, wait_for

_INI = """\
[databases]
* = host={host} user=rotator
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
query_wait_timeout = 20
"""


class Pgbouncer(Server):
    """`postgres` is the address that `tests.servers.postgres` gives; `size`: connections to it for
    each database.
    """

    def __init__(
        self, directory: Path, postgres: str, mode: str = "transaction", size: int = 4
    ) -> None:
        super().__init__(directory)
        self.postgres, self.mode, self.size, self.port = postgres, mode, size, free_port()

    @classmethod
    def install(cls) -> None:
        apt("pgbouncer", tools=("pgbouncer",))

    def up(self) -> dict[str, Any]:
        behind = urllib.parse.parse_qs(urllib.parse.urlsplit(self.postgres).query)["host"][0]
        settings = self.dir / "pgbouncer.ini"
        settings.write_text(
            _INI.format(
                host=behind, folder=self.dir, port=self.port, mode=self.mode, size=self.size
            )
        )
        argv = ["pgbouncer", settings]
        if os.geteuid() == 0:  # which it refuses to run as
            self.dir.chmod(0o711)
            shutil.chown(self.dir, "postgres")
            settings.chmod(0o644)
            argv = ["runuser", "-u", "postgres", "--", *argv]
        self.spawn("pgbouncer", argv)
        wait_for("pgbouncer", (self.dir / f".s.PGSQL.{self.port}").exists, 10, 0.02, self.ended)
        return {"DATABASE_URL": self.url("postgres")}

    def url(self, database: str) -> str:
        """As a platform gives it."""
        return f"postgres://rotator@/{database}?host={self.dir}&port={self.port}"
