"""A changed, dropped or reordered record shows; a cut tail shows against a checkpoint that left the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rotator.audit import chain, checkpoint, stream, verify
from rotator.audit import record as record_module
from rotator.audit.record import Actor
from rotator.errors import ConfigError
from rotator.journal.journal import Journal, open_journal
from rotator.journal.sealing import KeySource
from rotator.secret import Redactor, Secret

ACTOR = Actor("alice", "host", "cli")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))


@pytest.fixture
def lines(journal: Journal) -> list[dict[str, object]]:
    """Two chains of five records, signed."""
    with journal.database.write() as connection:
        for number in range(5):
            for name in ("r1", "r2"):
                chain.append(connection, name, 1000.0 + number, "intent", ACTOR, step="store", target=f"s{number}")
        checkpoint.add(connection, journal, 2000.0)
    with journal.database.read() as connection:
        return list(verify.lines_of(connection))


def test_a_whole_log_is_whole(lines: list[dict[str, object]]) -> None:
    verdict = verify.verify(lines)
    assert (verdict.whole, verdict.records, verdict.chains, verdict.checkpoints, verdict.unsigned_tail) == (
        True,
        10,
        2,
        1,
        0,
    )


FIELDS = ["time", "chain", "seq", "event", "actor", "step", "target", "prev", "hash"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_of_any_field_shows(lines: list[dict[str, object]], field: str) -> None:
    lines[4][field] = {"who": "mallory"} if field == "actor" else 99 if field == "seq" else "changed"
    assert not verify.verify(lines).whole


def test_these_are_all_fields(lines: list[dict[str, object]]) -> None:
    assert sorted(lines[4]) == sorted(FIELDS)


def test_a_dropped_record_shows(lines: list[dict[str, object]]) -> None:
    del lines[4]
    assert not verify.verify(lines).whole


def test_reordered_records_show(lines: list[dict[str, object]]) -> None:
    lines[2], lines[4] = lines[4], lines[2]
    assert not verify.verify(lines).whole


def test_a_cut_tail_shows_against_a_checkpoint(lines: list[dict[str, object]]) -> None:
    """Cut together with its checkpoint it cannot be seen from inside: a kept one shows it."""
    kept = lines[-1]
    cut = lines[:-3]
    assert verify.verify(cut).whole and verify.verify(cut).unsigned_tail == 8
    assert not verify.verify(cut, kept=[kept]).whole
    assert not verify.verify([*cut, kept]).whole


def test_a_forged_checkpoint_shows(lines: list[dict[str, object]], journal: Journal) -> None:
    with journal.database.write() as connection:
        public = checkpoint.public_key(connection, journal)
        stranger = checkpoint.renew_key(connection, journal)
    assert verify.verify(lines, public).whole
    assert not verify.verify(lines, stranger).whole
    lines[-1]["signature"] = "AAAA"
    assert not verify.verify(lines, public).whole


def test_a_row_edited_in_the_database_shows(journal: Journal, lines: list[dict[str, object]]) -> None:
    from sqlalchemy import text

    with journal.database.write() as connection:
        connection.execute(text("UPDATE audit SET record = replace(record, 'alice', 'bob') WHERE n = 3"))
    with journal.database.read() as connection:
        assert "was changed" in verify.verify(verify.lines_of(connection)).mistakes[0]


def test_an_exported_file_is_verified_without_the_journal(lines: list[dict[str, object]], tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert verify.verify(verify.lines_of_file(path)).whole
    path.write_text("not json\n")
    with pytest.raises(ConfigError, match="export.jsonl:1"):
        list(verify.lines_of_file(path))


def test_a_column_edited_in_the_database_shows(journal: Journal, lines: list[dict[str, object]]) -> None:
    """The columns are what is searched; they must say what the signed record says."""
    from sqlalchemy import text

    with journal.database.write() as connection:
        connection.execute(text("UPDATE audit SET seq = 77 WHERE n = 3"))
    with journal.database.read() as connection:
        assert "was changed" in verify.verify(verify.lines_of(connection)).mistakes[0]


def test_checkpoints_that_were_edited_or_dropped_show(journal: Journal, lines: list[dict[str, object]]) -> None:
    with journal.database.write() as connection:
        chain.append(connection, "r1", 2500.0, "outcome", ACTOR)
        checkpoint.add(connection, journal, 3000.0)
    with journal.database.read() as connection:
        *records, first, second = verify.lines_of(connection)
    assert verify.verify([*records, first, second]).whole
    assert "does not follow" in verify.verify([*records, second]).mistakes[0]
    assert "was changed" in verify.verify([*records, {**first, "time": "yesterday"}, second]).mistakes[0]


def test_a_file_may_hold_other_lines_than_records(lines: list[dict[str, object]], tmp_path: Path) -> None:
    """The stream goes where logs go."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'\n{{"level": "info"}}\n{json.dumps(line)}\n' for line in lines))
    assert verify.verify(verify.lines_of_file(path)).whole


def test_a_secret_in_a_persons_words_is_not_written_down(journal: Journal) -> None:
    """And the chain is whole over what was written."""
    leaked = Secret("sk-canary-in-a-reason-0123456789")
    with journal.database.write() as connection:
        chain.append(connection, "r1", 1000.0, "order", ACTOR, reason=f"it was in a log: {leaked.reveal()}")
    with journal.database.read() as connection:
        (record,) = verify.lines_of(connection)
    assert "canary" not in json.dumps(record) and "it was in a log: ***" in str(record["reason"])
    assert verify.verify([record]).whole


def test_an_account_without_a_name_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert record_module._user() == f"uid {os.getuid()}"


def test_a_stream_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written to"):
        stream.Stream((str(tmp_path / "none" / "audit.jsonl"),))


def test_what_a_chain_hangs_on_is_not_taken_for_a_key(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog file of the user's own may say that keys are 64 hex digits, as hashes are."""
    monkeypatch.setattr(chain, "redact", Redactor(["[0-9a-f]{64}", "[0-9A-Z]{26}"]))
    name, key = "01KBZ7Q9V5T2N8M4X6C3R1H0GF", "0a" * 32
    with journal.database.write() as connection:
        for number in range(3):
            chain.append(connection, name, 1.0 + number, "failed", ACTOR, detail={"said": [f"bad {key}"]})
    with journal.database.read() as connection:
        found = list(verify.lines_of(connection))
    assert verify.verify(found).whole and {record["chain"] for record in found} == {name}
    assert all(record["detail"] == {"said": ["bad ***"]} for record in found)
