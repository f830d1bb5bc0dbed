"""A PostgreSQL that is frozen or gone without a word, and a process that is frozen with a transaction
open: nobody waits for ever.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from rotator.errors import JournalError
from rotator.journal import database as databases
from rotator.journal import tables, upkeep
from rotator.journal.database import Database, serialise
from tests.integration.conftest import Bench
from tests.integration.test_daemon_loop import Running
from tests.servers import postgres
from tests.servers.tools import wait_for

pytestmark = pytest.mark.postgres


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Postgres]:
    monkeypatch.setenv("ROTATOR_KEY", base64.b64encode(b"k" * 32).decode())
    monkeypatch.setattr(databases, "SILENT", 1.0)
    with postgres.server() as found:
        yield found
        found.freeze(False)


def _in_its_time(act: Callable[[], object]) -> BaseException | None:
    """What it raised: it ends, within what no machine is too slow for."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert raised, "it still waits"
    return raised[0]


def test_a_frozen_server_is_given_up_in_words_and_used_again_once_it_goes_on(
    server: postgres.Postgres,
) -> None:
    database = Database(server.url)
    database.prepare()
    server.freeze()
    for act in (lambda: database.version(), lambda: database.must_be_known()):
        error = _in_its_time(act)
        assert isinstance(error, JournalError), error
        assert "journal's database failed" in error.message
    server.freeze(False)
    assert _in_its_time(database.must_be_known) is None
    database.close()


def test_the_loop_turns_on_beside_a_frozen_server(
    server: postgres.Postgres, tmp_path: Path, memory_world: object
) -> None:
    """So that `/livez` answers: a restart would not help the database."""
    running = Running(Bench(tmp_path, server.url)).start()
    loop = running.loop
    wait_for("its first look", lambda: loop.ticked is not None, 60, 0.05)
    server.freeze()
    wait_for("its word", lambda: bool(loop.tick_error), 60, 0.05)
    turned = loop.turned
    wait_for("further turns", lambda: loop.turned > turned, 60, 0.05)
    server.freeze(False)
    wait_for("a good look", lambda: not loop.tick_error, 60, 0.05)
    running.stop()


_HOLDS = """
import os, signal, sys
from rotator.journal import database
database.HOLDS = 1.0
found = database.Database(sys.argv[1])
with found.write() as connection:
    database.serialise(connection)
    print("it has it", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_is_frozen_with_a_transaction_open_holds_nobody_up(
    server: postgres.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "SILENT", 30.0)
    database = Database(server.url)
    database.prepare()
    words = [sys.executable, "-c", _HOLDS, server.url]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"it has it\n"

        def also() -> None:
            with database.write() as connection:
                serialise(connection)

        assert _in_its_time(also) is None
    finally:
        holder.kill()
        holder.wait()
    database.close()


def test_an_upgrade_does_not_wait_for_ever_behind_who_is_frozen_while_it_reads(
    server: postgres.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others would wait behind it."""
    monkeypatch.setattr(databases, "TABLE", 1.0)
    database, frozen = Database(server.url), Database(server.url)
    database.prepare()
    with database.write() as connection:
        connection.execute(text("ALTER TABLE rotations DROP COLUMN in_group"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    with frozen.read() as reading:
        reading.execute(text("SELECT count(*) FROM rotations"))
        error = _in_its_time(lambda: upkeep.upgrade(database))
        assert isinstance(error, JournalError) and "lock timeout" in error.message, error
        assert "is one frozen?" in error.hint
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM rotations")).scalar() == 0
    assert upkeep.upgrade(database) == ("0012", tables.HEAD)
    database.close()
    frozen.close()


def test_what_the_address_says_of_its_time_counts(server: postgres.Postgres) -> None:
    database = Database(f"{server.url}&keepalives_idle=77&connect_timeout=3")
    with database.read() as connection:
        raw = connection.connection.dbapi_connection
        told = raw.info.get_parameters()  # type: ignore[union-attr]
    assert (told["keepalives_idle"], told["connect_timeout"]) == ("77", "3")
    assert told["tcp_user_timeout"] == "20000"
    database.close()


def test_a_migration_may_take_long_without_a_word(server: postgres.Postgres) -> None:
    database = Database(server.url)
    database.prepare()
    with database.unhurried(), database.write() as connection:
        assert connection.execute(text("SELECT pg_sleep(3)")).all()
    with pytest.raises(JournalError, match="failed"), database.write() as connection:
        connection.execute(text("SELECT pg_sleep(3)"))
    database.close()
