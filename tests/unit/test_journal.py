"""The journal's safety: its key, its versions, its upkeep."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

from rotator.audit import checkpoint
from rotator.core.plan import Key, Plan
from rotator.core.state import Rotation
from rotator.errors import ConfigError, JournalError
from rotator.journal import credentials, failures, naming, roll_outs, sqlite, tables, upkeep
from rotator.journal import database as database_door
from rotator.journal.database import Database
from rotator.journal.journal import Journal, open_journal
from rotator.journal.sealing import AesGcmSealer, KeySource
from rotator.model import single
from rotator.secret import Secret

KEY = base64.b64encode(b"n" * 32).decode()


def opened(folder: Path) -> Journal:
    return open_journal(f"sqlite:///{folder}/journal.db", KeySource(folder / "rotator.key"))


def seal_one(journal: Journal) -> Key:
    credential = single("sk-canary-in-the-journal-0123", key_id="k1")
    key = journal.key_of(credential)
    with journal.database.write() as connection:
        credentials.keep(connection, journal.sealer, "p", "r", key, credential, 0.0)
    return key


def value(journal: Journal, key: Key) -> str | None:
    with journal.database.read() as connection:
        found = credentials.value_of(connection, journal.sealer, "p", key)
    return found.primary.reveal() if found else None


def test_a_sealed_value_opens_and_its_text_is_not_in_the_file(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = seal_one(journal)
    assert value(journal, key) == "sk-canary-in-the-journal-0123"
    assert all(b"canary" not in path.read_bytes() for path in tmp_path.glob("journal.db*"))


def test_a_seal_is_bound_to_its_playbook_and_field(tmp_path: Path) -> None:
    sealer = AesGcmSealer(Secret(KEY))
    sealed = sealer.seal(Secret("value"), "p\0f\0key")
    assert sealer.open(sealed, "p\0f\0key").reveal() == "value"
    with pytest.raises(JournalError):
        sealer.open(sealed, "q\0f\0key")


def test_the_key_file_is_made_only_with_an_empty_journal(tmp_path: Path) -> None:
    """A lost key is not replaced by a new one: nothing sealed would ever open again."""
    journal = opened(tmp_path)
    key = seal_one(journal)
    assert (tmp_path / "rotator.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "rotator.key").unlink()
    again = opened(tmp_path)
    assert (
        again.sealer is None
        and not (tmp_path / "rotator.key").exists()
        and value(again, key) is None
    )


def test_another_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path)
    monkeypatch.setenv("ROTATOR_KEY", KEY)
    with pytest.raises(JournalError, match="this one is"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o440, True), (0o400, True), (0o644, False), (0o660, False)]
)
def test_an_open_key_file_is_refused(tmp_path: Path, mode: int, fine: bool) -> None:
    path = tmp_path / "rotator.key"
    path.write_text(KEY)
    path.chmod(mode)
    if fine:
        assert opened(tmp_path).sealer is not None
    else:
        with pytest.raises(ConfigError, match="open to others"):
            opened(tmp_path)


def test_a_key_from_a_command(tmp_path: Path) -> None:
    source = KeySource(tmp_path / "none", command=f"echo {KEY}")
    assert open_journal(f"sqlite:///{tmp_path}/j.db", source).sealer is not None


def test_rekey_seals_everything_anew_and_fingerprints_stay(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = seal_one(journal)
    assert upkeep.rekey(journal, Secret(KEY)) == 1
    (tmp_path / "rotator.key").write_text(KEY)
    again = opened(tmp_path)
    assert value(again, key) == "sk-canary-in-the-journal-0123"
    assert again.key_of(single("sk-canary-in-the-journal-0123", key_id="k1")) == key


def test_a_backup_is_a_whole_journal_without_the_key(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    seal_one(journal)
    upkeep.backup(journal, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM credentials").fetchone() == (1,)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with pytest.raises(JournalError, match="exists already"):
        upkeep.backup(journal, tmp_path / "copy.db")


def test_the_public_key_is_made_once_and_is_told_without_the_sealing_key(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with journal.database.write() as connection:
        first = checkpoint.public_key(connection, journal)
        assert first and checkpoint.public_key(connection, journal) == first
        assert checkpoint.public_key(connection, replace(journal, sealer=None)) == first


def test_only_a_lock_is_waited_for() -> None:
    tried = []

    def act() -> None:
        tried.append(1)
        raise sqlite3.OperationalError("no such table: rotations")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        sqlite.patiently(act)
    assert len(tried) == 1


def test_who_keeps_the_journal_to_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague pressed Ctrl-Z at the wrong moment: every command stops there, and says whom to
    wake or to end.
    """
    opened(tmp_path).database.close()
    path = tmp_path / "journal.db"
    script = (
        "import os, signal, sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    )
    script += (
        "c.execute('BEGIN IMMEDIATE')\nprint('has it', flush=True)\nos.kill(os.getpid(),"
        " signal.SIGSTOP)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"has it\n"
        database = Database(f"sqlite:///{path}")
        try:
            monkeypatch.setattr(failures, "BUSY_FOR", 0.2)
            os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
            with pytest.raises(JournalError) as refused, database.write():
                pass
        finally:
            holder.kill()
    assert (
        f"process {holder.pid} (" in refused.value.message
        and "which is stopped" in refused.value.message
    )
    assert (
        f"kill -CONT {holder.pid}" in refused.value.hint
        and f"kill -9 {holder.pid}" in refused.value.hint
    )
    with database.write():
        pass


def test_who_keeps_the_journal_to_itself_and_is_not_seen_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another container its processes cannot be seen; the lock is."""
    opened(tmp_path).database.close()
    path = tmp_path / "journal.db"
    monkeypatch.setattr(failures, "BUSY_FOR", 0.1)
    monkeypatch.setattr(failures.procfs, "writers_with_a_lock", lambda file: [])
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        refused = pytest.raises(JournalError, match="has had the journal to itself")
        with refused as told, Database(f"sqlite:///{path}").write():
            pass
    assert told.value.hint == "which one is not seen; try again: nothing is lost"


def test_a_backup_into_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalError, match="cannot be written: No such file or directory"):
        upkeep.backup(journal, tmp_path / "nowhere" / "copy.db")
    journal.database.close()


def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(f"sqlite:///{tmp_path}/journal.db")
    before, after = upkeep.upgrade(database)
    assert (before, after) == ("", tables.HEAD)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    assert database.prepare() is False, "a migrated journal is one of this version"


def test_an_older_journal_is_upgraded_and_loses_nothing(tmp_path: Path) -> None:
    """Opened by a newer rotator it is refused with the verb that upgrades it; then everything is
    there.
    """
    seal_one(opened(tmp_path))
    with sqlite3.connect(tmp_path / "journal.db") as old:
        old.execute("DROP TABLE pauses")
        old.execute("DROP TABLE orders")
        old.execute("DROP TABLE roll_outs")
        old.execute("DROP TABLE sharers")
        old.execute("DROP INDEX debts_by_key")
        old.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(JournalError) as refused:
        opened(tmp_path)
    assert "db upgrade" in refused.value.hint
    assert f"the journal {tmp_path}/journal.db is of version 0001" in refused.value.message
    assert upkeep.upgrade(Database(f"sqlite:///{tmp_path}/journal.db")) == ("0001", tables.HEAD)
    with opened(tmp_path).database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM credentials")).scalar() == 1
        assert connection.execute(text("SELECT count(*) FROM pauses")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM roll_outs")).scalar() == 0


def test_a_journal_of_a_newer_rotator_is_named_and_stays_as_it_is(tmp_path: Path) -> None:
    """By every verb, the one that upgrades a journal included."""
    seal_one(opened(tmp_path))
    with sqlite3.connect(tmp_path / "journal.db") as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    for act in (
        lambda: opened(tmp_path),
        lambda: upkeep.upgrade(Database(f"sqlite:///{tmp_path}/journal.db")),
    ):
        with pytest.raises(JournalError) as refused:
            act()
        assert f"the journal {tmp_path}/journal.db is of version 9999" in refused.value.message
        assert refused.value.hint == "use a newer rotator"
    with sqlite3.connect(tmp_path / "journal.db") as newer:
        assert newer.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_a_journal_that_lacks_a_column_gets_it(tmp_path: Path) -> None:
    """Orders of a kind, when a key ends, and by which clock times were written."""
    seal_one(opened(tmp_path))
    with sqlite3.connect(tmp_path / "journal.db") as old:
        old.execute("ALTER TABLE orders DROP COLUMN kind")
        old.execute("ALTER TABLE credentials DROP COLUMN ends")
        old.execute("ALTER TABLE playbooks DROP COLUMN boot")
        old.execute("ALTER TABLE playbooks DROP COLUMN wall_clock")
        old.execute("DROP INDEX one_active_of_a_group")
        old.execute("ALTER TABLE rotations DROP COLUMN in_group")
        old.execute("UPDATE alembic_version SET version_num = '0004'")
    assert upkeep.upgrade(Database(f"sqlite:///{tmp_path}/journal.db")) == ("0004", tables.HEAD)
    with opened(tmp_path).database.read() as connection:
        assert connection.execute(text("SELECT count(ends) FROM credentials")).scalar() == 0
        assert connection.execute(text("SELECT count(kind) FROM orders")).scalar() == 0
        assert connection.execute(text("SELECT count(wall_clock) FROM playbooks")).scalar() == 0


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with journal.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(JournalError, match="version 9999"):
        opened(tmp_path)


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(JournalError, match="damaged"):
        opened(tmp_path)


def test_durability_is_not_traded_for_speed(tmp_path: Path) -> None:
    with opened(tmp_path).database.read() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete")
        ]
    assert values == ["wal", 2, 1]


def test_a_key_command_that_fails_and_a_key_that_is_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ended with 3"):
        KeySource(tmp_path / "key", command="exit 3").load()
    for wrong in ("not base64 at all!", base64.b64encode(b"short").decode()):
        with pytest.raises(ConfigError, match="does not hold a sealing key"):
            KeySource(tmp_path / "key", command=f"echo '{wrong}'").load()


def test_without_its_key_a_journal_seals_nothing_and_opens_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = seal_one(journal)
    credential = single("sk-another-canary-0123456789", key_id="k2")
    stranger = AesGcmSealer(Secret(KEY))
    with journal.database.write() as connection:
        with pytest.raises(JournalError, match="no sealing key"):
            credentials.keep(
                connection, None, "p", "r", journal.key_of(credential), credential, 0.0
            )
        assert credentials.value_of(connection, stranger, "p", key) is None
    journal.database.close()
    (tmp_path / "rotator.key").unlink()
    lost = opened(tmp_path)
    (told,) = upkeep.check(lost)
    assert lost.sealer is None and str(tmp_path / "rotator.key") in told
    with pytest.raises(JournalError, match="sealing key is not found") as refused:
        upkeep.rekey(lost, Secret(KEY))
    assert refused.value.hint.index("ROTATOR_KEY_FILE") < refused.value.hint.index("--lost"), (
        "first: is it elsewhere?"
    )


def test_a_backup_over_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(JournalError, match="exists already"):
        upkeep.backup(opened(tmp_path), tmp_path / "there")


def test_without_its_driver_postgresql_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(JournalError, match="needs psycopg") as told:
        Database("postgresql://nowhere/x")
    assert "pip install 'psycopg[binary]" in told.value.hint


def test_a_writer_waits_for_another_process_and_says_what_the_disk_says(tmp_path: Path) -> None:
    """Another process holds the write lock for a moment; a file that may not be written is a
    sentence.
    """
    journal = opened(tmp_path)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    with journal.database.write() as connection:
        connection.execute(text("SELECT 1"))
    release.join()
    other.close()
    with (
        pytest.raises(JournalError, match="cannot be opened"),
        journal.database.write() as connection,
    ):
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.exec_driver_sql("CREATE TABLE x (y)")


def test_what_is_no_lock_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)

    def broken(self: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("sqlalchemy.Connection.begin", broken)
    with pytest.raises(JournalError, match="unable to open"), journal.database.write():
        pass


def test_a_key_file_that_another_process_has_just_made_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two first starts at once: one makes the key, the other uses it."""
    make = KeySource.make

    def slower(self: KeySource) -> Secret:
        make(self)
        raise FileExistsError(self.file)

    monkeypatch.setattr(KeySource, "make", slower)
    journal = opened(tmp_path)
    key = seal_one(journal)
    assert value(journal, key) == "sk-canary-in-the-journal-0123"


def test_a_journal_that_never_had_a_key_and_is_not_empty_gets_none(tmp_path: Path) -> None:
    """A key is made together with an empty journal, and never again: something may be sealed under
    a lost one.
    """
    journal = opened(tmp_path)
    seal_one(journal)
    with journal.database.write() as connection:
        connection.execute(text("DELETE FROM meta WHERE name = 'sealing_key'"))
    journal.database.close()
    (tmp_path / "rotator.key").unlink()
    with pytest.raises(ConfigError, match="no sealing key at"):
        opened(tmp_path)


def test_a_file_that_is_not_as_it_should_be_is_found_by_check(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.database.close()
    with sqlite3.connect(tmp_path / "journal.db") as direct:
        direct.execute("PRAGMA writable_schema = ON")
        declared = direct.execute("SELECT sql FROM sqlite_schema WHERE name = 'meta'").fetchone()[0]
        loose = declared.replace(" NOT NULL", "")
        direct.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'meta'", (loose,))
    with sqlite3.connect(tmp_path / "journal.db") as direct:
        direct.execute("INSERT INTO meta (name, value) VALUES ('odd', NULL)")
        direct.execute("PRAGMA writable_schema = ON")
        direct.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'meta'", (declared,))
    found = upkeep.check(opened(tmp_path))
    assert any("the file is damaged" in line for line in found)


def test_what_the_database_says_for_no_known_reason_is_told_all_the_same(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with (
        pytest.raises(JournalError, match="the journal's database failed"),
        journal.database.write() as connection,
    ):
        connection.exec_driver_sql("SELECT nothing FROM nowhere")


def test_a_key_file_is_made_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # what vfat answers

    monkeypatch.setattr("os.link", refused)
    journal = opened(tmp_path)
    key = seal_one(journal)
    assert value(journal, key) == "sk-canary-in-the-journal-0123"
    assert (tmp_path / "rotator.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        KeySource(tmp_path / "rotator.key").make()
    assert sorted(path.name for path in tmp_path.glob("*rotator.key*")) == ["rotator.key"]


def test_who_waits_too_long_behind_another_writer_of_the_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose database is silent would hold up all others, one after the other."""
    journal = opened(tmp_path)
    monkeypatch.setattr(database_door, "SILENT", 0.05)
    entered, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with journal.database.write():
            entered.set()
            ends.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(60)
    with pytest.raises(failures.JournalAway, match="waits for the journal"):
        journal.database.write().__enter__()
    ends.set()
    holder.join()
    with journal.database.write():
        pass
    journal.database.close()


def test_a_restart_that_others_follow_outlives_the_playbook_that_ordered_it(
    tmp_path: Path,
) -> None:
    """They would look for one of their own, which nobody ordered."""
    journal, fixed = opened(tmp_path), {"change": "c", "rotation": "r-gone", "since": 1.0}
    fixed |= {"playbook": "gone", "shared": True, "ordered": True}
    with journal.database.write() as connection:
        for name in ("followed", "its own"):
            connection.execute(tables.roll_outs.insert().values(name=name, **fixed))
        sharer = {"name": "followed", "rotation": "r", "consumer": "app", "round": 1}
        for playbook in ("gone", "other"):
            values = {**sharer, "rotation": f"r-{playbook}", "playbook": playbook, "roll_out": 1}
            connection.execute(tables.sharers.insert().values(values))
        naming.forget(connection, "gone")
        other = Rotation("r-other", "other", Plan(), round=1)
        followed = roll_outs.newest(connection, other, "app")
        left = connection.execute(select(tables.roll_outs.c.name)).scalars().all()
    assert followed is not None
    assert followed.change == "c"
    assert left == ["followed"]
