"""Worlds in memory to measure in: a service with some playbooks, and a journal with many finished
rotations.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from rotator.integrations.memory import world as memory
from rotator.journal import tables
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.service import Service

_PLAYBOOK = """
description: in memory
generate: {{uses: memory, issuer: {name}}}
store: [{{uses: memory, cell: {name}}}]
restart: [{{uses: memory, consumers: [{name}]}}]
schedule: {{every: 30d}}
revoke: {{grace: {grace}, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{passes: 1, pass_interval: 1ms, step: 60s, list_lag: 0s}}
"""


class World:
    """`names` playbooks, each with an issuer, a cell and a consumer of its own."""

    def __init__(self, names: int, prefix: str = "p", grace: str = "0s") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rotator-bench-"))
        (self.folder / "playbooks").mkdir(exist_ok=True)
        self.names = [f"{prefix}{number:04d}" for number in range(names)]
        for name in self.names:
            cell = memory.WORLD.cell(name)
            cell.values, cell.version = (
                {"key": Secret(memory.WORLD.issuer(name).create("by hand").value)},
                1,
            )
            cell.note = None
            memory.WORLD.consumers[name] = memory.Consumer(name)
            memory.WORLD.start(name)
            (self.folder / "playbooks" / f"{name}.yaml").write_text(
                _PLAYBOOK.format(name=name, grace=grace)
            )
        self.service = Service(
            Settings(self.folder, playbooks=(self.folder / "playbooks",)), "bench"
        )
        self.transactions = 0
        self._count()

    def _count(self) -> None:
        database, real = self.service.journal.database, self.service.journal.database.write

        @contextmanager
        def counted() -> Any:
            with real() as connection:
                yield connection
            self.transactions += 1

        database.write = counted  # type: ignore[method-assign]

    def close(self) -> None:
        self.service.close()


def multiply(service: Service, times: int) -> None:
    """Every finished rotation of the journal, with its debts, keys and audit, `times` more often,
    ever earlier.
    """
    copies = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < :times) "
    back = "86400.0 * 30 * c.i"
    statements = (
        (
            "INSERT INTO rotations SELECT id || '-' || c.i, playbook, active, phase, outcome, due,"
            f" state, intent, definition, actor, reason, began - {back}, ended - {back},"
            " counts_from, seen, attention FROM rotations, c WHERE NOT active"
        ),
        (
            "INSERT INTO debts SELECT id || '-' || c.i, playbook, rotation || '-' || c.i, key_id,"
            " phase, open, due, state, intent, seen, attention, at_once FROM debts, c WHERE NOT"
            " open"
        ),
        (
            "INSERT INTO credentials (playbook, rotation, key_id, fingerprint, hint, sealed, made)"
            " SELECT playbook, rotation || '-' || c.i, key_id || c.i, fingerprint, hint, NULL,"
            f" made - {back} FROM credentials, c WHERE sealed IS NULL"
        ),
        (
            "INSERT INTO audit (chain, seq, record, hash) SELECT chain || '-' || c.i, seq, record,"
            " hash FROM audit, c WHERE chain != 'installation'"
        ),
    )
    with service.journal.database.write() as connection:
        for statement in statements:
            kind, rest = statement.split(" SELECT ", 1)
            connection.execute(text(f"{kind} {copies} SELECT {rest}"), {"times": times})


def known(connection: Connection, names: Sequence[str]) -> None:
    """Each of these playbooks as if it had just been rotated."""
    now = time.time()
    rows = [
        {"name": name, "definition": "{}", "counts_from": now, "reconciled": now} for name in names
    ]
    connection.execute(tables.playbooks.insert(), rows)
