"""A PostgreSQL journal behind a pooler: each transaction may get another connection."""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from rotator.errors import JournalError
from rotator.integrations.memory import world as memory
from rotator.journal import upkeep
from rotator.journal.database import Database
from rotator.usecases.service import Request
from tests.integration.conftest import Bench
from tests.servers.pgbouncer import Pgbouncer
from tests.servers.server import wipe

pytestmark = pytest.mark.postgres
Pooled = Callable[..., str]


@pytest.fixture
def pooled(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pooled]:
    """The address of a fresh database behind a pooler of this mode and size."""
    monkeypatch.setenv("ROTATOR_KEY", base64.b64encode(b"k" * 32).decode())
    started: list[Pgbouncer] = []

    def start(mode: str = "transaction", size: int = 4) -> str:
        name = f"j{uuid.uuid4().hex[:12]}"
        engine = create_engine(
            postgres.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        folder = Path(
            tempfile.mkdtemp(prefix="rotator-pooler-")
        )  # where another user may pass, too
        started.append(Pgbouncer(folder, postgres, mode, size).start())
        return started[-1].url(name)

    yield start
    for server in started:
        wipe(server)


_PLAYBOOK = """
generate:
  uses: command
  generate: [{python}, -IS, {folder}/keys.py, generate, {folder}/{name}.json]
  list: [{python}, -IS, {folder}/keys.py, list, {folder}/{name}.json]
  revoke: [{python}, -IS, {folder}/keys.py, revoke, {folder}/{name}.json]
  probe: [{python}, -IS, {folder}/keys.py, probe, {folder}/{name}.json]
store: {{uses: file, path: {folder}/{name}.key, create: true}}
revoke: {{grace: 0s, quiet: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, list_lag: 0s, step: 20s}}
"""
NAMES = [f"p{number}" for number in range(1, 7)]


@pytest.mark.parametrize("size", [4, 1])
def test_six_rotations_side_by_side_behind_a_transaction_pooler(
    pooled: Pooled, home: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Prepared statements are of a connection, and collided there.

    With one connection nothing waits for a second.
    """
    from tests.contract.test_providers import _SCRIPT

    (home / "keys.py").write_text(
        _SCRIPT.replace("cmd-secret-value-", "cmd-secret-value-of-{store.stem}-")
    )
    for name in NAMES:
        playbook = _PLAYBOOK.format(python=sys.executable, folder=home, name=name)
        (home / "playbooks" / f"{name}.yaml").write_text(playbook)
    monkeypatch.setenv("ROTATOR_DATABASE_URL", pooled(size=size))
    monkeypatch.setenv("ROTATOR_HOME", str(home / "state"))
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(home / "playbooks"))
    rotate = [sys.executable, "-c", "from rotator.cli.entry import rotate; rotate()"]
    for _ in range(2):
        done = subprocess.run([*rotate, *NAMES, "--wait"], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    held = [(home / f"{name}.key").read_text() for name in NAMES]
    assert held == [f"cmd-secret-value-of-{name}-k1" for name in NAMES], "each was rotated twice"


def test_processes_side_by_side_with_one_connection_between_them(
    pooled: Pooled, tmp_path: Path, memory_world: memory.World
) -> None:
    url = pooled(size=1)
    first, second = Bench(tmp_path, url), None
    try:
        second = first.fresh()
        assert first.service.rotate("one", Request(wait=True)).code == 0
        assert second.rotate("one", Request(wait=True)).code == 0
        assert len(first.live) == 1 and first.stored == first.live[0]
    finally:
        first.service.close()
        if second is not None:
            second.close()


def test_a_journal_is_upgraded_and_checked_through_the_pooler(pooled: Pooled) -> None:
    database = Database(pooled())
    before, after = upkeep.upgrade(database)
    assert (before, after) == ("", database_version(database))
    database.close()


def database_version(database: Database) -> str:
    with database.read() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def test_a_pooler_that_gives_each_statement_another_connection_is_refused_with_what_to_set(
    pooled: Pooled,
) -> None:
    with pytest.raises(JournalError) as refused:
        Database(pooled("statement")).prepare()
    assert "pool_mode = transaction" in refused.value.hint
