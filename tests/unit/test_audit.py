"""A changed, dropped or reordered record shows; a cut tail shows against a checkpoint that left the
machine.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from rotator.audit import chain, checkpoint, outside, stream, verify
from rotator.audit import record as record_module
from rotator.audit.record import Actor
from rotator.errors import ConfigError, JournalError
from rotator.journal import anchor, tables, upkeep
from rotator.journal.journal import Journal, open_journal
from rotator.journal.sealing import AesGcmSealer, KeySource
from rotator.journal.settings import put_setting, setting
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
                chain.append(
                    connection,
                    name,
                    1000.0 + number,
                    "intent",
                    ACTOR,
                    step="store",
                    target=f"s{number}",
                )
        checkpoint.add(connection, journal, 2000.0)
    with journal.database.read() as connection:
        return list(verify.lines_of(connection))


def test_a_whole_log_is_whole(lines: list[dict[str, object]]) -> None:
    verdict = verify.verify(lines)
    assert (
        verdict.whole,
        verdict.records,
        verdict.chains,
        verdict.checkpoints,
        verdict.unsigned_tail,
    ) == (
        True,
        10,
        2,
        1,
        0,
    )


FIELDS = ["time", "chain", "seq", "event", "actor", "step", "target", "prev", "hash"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_of_any_field_shows(lines: list[dict[str, object]], field: str) -> None:
    lines[4][field] = (
        {"who": "mallory"} if field == "actor" else 99 if field == "seq" else "changed"
    )
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


def test_a_row_edited_in_the_database_shows(
    journal: Journal, lines: list[dict[str, object]]
) -> None:
    from sqlalchemy import text

    with journal.database.write() as connection:
        connection.execute(
            text("UPDATE audit SET record = replace(record, 'alice', 'bob') WHERE n = 3")
        )
    with journal.database.read() as connection:
        assert "was changed" in verify.verify(verify.lines_of(connection)).mistakes[0]


def test_an_exported_file_is_verified_without_the_journal(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert verify.verify(verify.lines_of_file(path)).whole
    path.write_text("not json\n")
    with pytest.raises(ConfigError, match="export.jsonl:1"):
        list(verify.lines_of_file(path))


def test_a_column_edited_in_the_database_shows(
    journal: Journal, lines: list[dict[str, object]]
) -> None:
    """The columns are what is searched; they must say what the signed record says."""
    from sqlalchemy import text

    with journal.database.write() as connection:
        connection.execute(text("UPDATE audit SET seq = 77 WHERE n = 3"))
    with journal.database.read() as connection:
        assert "was changed" in verify.verify(verify.lines_of(connection)).mistakes[0]


def test_checkpoints_that_were_edited_or_dropped_show(
    journal: Journal, lines: list[dict[str, object]]
) -> None:
    with journal.database.write() as connection:
        chain.append(connection, "r1", 2500.0, "outcome", ACTOR)
        checkpoint.add(connection, journal, 3000.0)
    with journal.database.read() as connection:
        *records, first, second = verify.lines_of(connection)
    assert verify.verify([*records, first, second]).whole
    assert "does not follow" in verify.verify([*records, second]).mistakes[0]
    assert (
        "was changed"
        in verify.verify([*records, {**first, "time": "yesterday"}, second]).mistakes[0]
    )


def test_a_file_may_hold_other_lines_than_records(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    """The stream goes where logs go."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'\n{{"level": "info"}}\n{json.dumps(line)}\n' for line in lines))
    verdict = verify.verify(verify.lines_of_file(path))
    assert verdict.whole and verdict.others == len(lines)


def test_a_secret_in_a_persons_words_is_not_written_down(journal: Journal) -> None:
    """And the chain is whole over what was written."""
    leaked = Secret("sk-canary-in-a-reason-0123456789")
    with journal.database.write() as connection:
        chain.append(
            connection, "r1", 1000.0, "order", ACTOR, reason=f"it was in a log: {leaked.reveal()}"
        )
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


def test_what_a_chain_hangs_on_is_not_taken_for_a_key(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalog file of the user's own may say that keys are 64 hex digits, as hashes are."""
    monkeypatch.setattr(chain, "redact", Redactor(["[0-9a-f]{64}", "[0-9A-Z]{26}"]))
    name, key = "01KBZ7Q9V5T2N8M4X6C3R1H0GF", "0a" * 32
    with journal.database.write() as connection:
        for number in range(3):
            chain.append(
                connection, name, 1.0 + number, "failed", ACTOR, detail={"said": [f"bad {key}"]}
            )
    with journal.database.read() as connection:
        found = list(verify.lines_of(connection))
    assert verify.verify(found).whole and {record["chain"] for record in found} == {name}
    assert all(record["detail"] == {"said": ["bad ***"]} for record in found)


# --- whoever can write the database, but lacks the sealing key ---


def rewritten(connection: Connection) -> dict[str, list[object]]:
    """Every record tells another story, and every hash is right again."""
    heads: dict[str, list[object]] = {}
    rows = connection.execute(tables.audit.select().order_by(tables.audit.c.n)).mappings().all()
    for row in rows:
        body = {
            **json.loads(row["record"]),
            "prev": heads.get(row["chain"], [0, "0" * 64])[1],
            "actor": "mallory",
        }
        del body["hash"]
        body["hash"] = record_module.digest(body["prev"], record_module.canonical(body))
        heads[row["chain"]] = [row["seq"], body["hash"]]
        to = {"record": record_module.canonical(body), "hash": body["hash"]}
        connection.execute(tables.audit.update().where(tables.audit.c.n == row["n"]).values(**to))
    return heads


def _only_rewritten(connection: Connection) -> None:
    rewritten(connection)


def _checkpoints_deleted(connection: Connection) -> None:
    rewritten(connection)
    connection.execute(tables.checkpoints.delete())


def _checkpoints_forged(connection: Connection) -> None:
    """Signed with a key of his own, whose public part he puts where the journal has its own."""
    heads = rewritten(connection)
    connection.execute(tables.checkpoints.delete())
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    body = {
        "checkpoint": 1,
        "time": "t",
        "upto": 10,
        "heads": heads,
        "prev": "0" * 64,
        "key": public,
    }
    text = record_module.canonical(body)
    signature = base64.b64encode(private.sign(text.encode())).decode()
    made = {
        "n": 1,
        "upto": 10,
        "body": text,
        "hash": checkpoint.hash_of(text),
        "signature": signature,
    }
    connection.execute(tables.checkpoints.insert(), made)
    for name in ("audit_public_key", "audit_public_keys"):
        put_setting(connection, name, public)


def _memory_deleted(connection: Connection) -> None:
    _checkpoints_deleted(connection)
    connection.execute(tables.meta.delete().where(tables.meta.c.name == "audit_anchor"))


def _memory_swapped(connection: Connection) -> None:
    """By something else that is sealed with the right key."""
    _checkpoints_deleted(connection)
    put_setting(connection, "audit_anchor", setting(connection, "audit_private_key"))


def _tail_cut(connection: Connection) -> None:
    connection.execute(tables.audit.delete().where(tables.audit.c.n > 8))


def _last_checkpoint_cut(connection: Connection) -> None:
    connection.execute(tables.checkpoints.delete())
    connection.execute(tables.audit.delete().where(tables.audit.c.n > 0))


def _signing_key_alone_deleted(connection: Connection) -> None:
    """So that the next checkpoint would be signed with another one."""
    connection.execute(tables.meta.delete().where(tables.meta.c.name.like("audit_p%")))


def _signing_key_deleted(connection: Connection) -> None:
    _checkpoints_deleted(connection)
    connection.execute(tables.meta.delete().where(tables.meta.c.name.like("audit_p%")))


def _installation_deleted(connection: Connection) -> None:
    _memory_deleted(connection)
    connection.execute(
        tables.meta.delete().where(tables.meta.c.name.in_(("installation", "sealing_key")))
    )


def _as_if_from_before(connection: Connection) -> None:
    """A journal from before it remembered is believed once; without the key nobody can make one
    look so.
    """
    _memory_deleted(connection)
    put_setting(connection, "sealing_key", hashlib.sha256(b"rotator sealing key").hexdigest()[:16])


FORGED = [
    _checkpoints_deleted,
    _checkpoints_forged,
    _memory_deleted,
    _memory_swapped,
    _tail_cut,
    _last_checkpoint_cut,
    _signing_key_alone_deleted,
    _signing_key_deleted,
    _installation_deleted,
]


def verified(journal: Journal) -> verify.Verdict:
    with journal.database.read() as connection:
        return verify.verify_journal(connection, journal)


def grown(journal: Journal, at: float = 5000.0) -> dict[str, object] | None:
    with journal.database.write() as connection:
        chain.append(connection, "r3", at, "outcome", ACTOR)
        return checkpoint.add(connection, journal, at)


@pytest.mark.parametrize("forge", FORGED, ids=lambda forge: forge.__name__.strip("_"))
def test_a_log_that_lost_its_checkpoints_is_broken_and_stays_so(
    forge: Callable[[Connection], None],
    journal: Journal,
    lines: list[dict[str, object]],
    tmp_path: Path,
) -> None:
    assert verified(journal).whole and lines
    with journal.database.write() as connection:
        kept = connection.execute(tables.audit.select()).mappings().all()
        signed = connection.execute(tables.checkpoints.select()).mappings().all()
        forge(connection)
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert not verified(journal).whole
    assert grown(journal) is None, "the next checkpoint would sign what was forged"
    assert not verified(journal).whole
    with journal.database.write() as connection:  # also if all is put back
        connection.execute(tables.audit.delete())
        connection.execute(tables.checkpoints.delete())
        connection.execute(tables.audit.insert(), [dict(row) for row in kept])
        connection.execute(tables.checkpoints.insert(), [dict(row) for row in signed])
    assert not verified(journal).whole and grown(journal) is None
    with journal.database.write() as connection:
        checkpoint.restart(connection, journal, 6000.0, ACTOR, "known", verified(journal).mistakes)
    assert (
        verified(journal).whole and grown(journal, 7000.0) is not None and verified(journal).whole
    )


def test_records_rewritten_under_checkpoints_that_stand_show(
    journal: Journal, lines: list[dict[str, object]]
) -> None:
    with journal.database.write() as connection:
        _only_rewritten(connection)
    assert not verified(journal).whole and lines
    grown(journal)
    assert not verified(journal).whole, "the next checkpoint vouches for what is new alone"


def test_a_key_cannot_be_made_to_look_as_if_from_before(
    journal: Journal, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    with journal.database.write() as connection:
        _as_if_from_before(connection)
    with pytest.raises(JournalError, match=r"the journal /\S+ was sealed with the key"):
        open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert lines


def test_a_journal_from_before_is_believed_once_and_remembers_from_then_on(
    journal: Journal, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    assert isinstance(journal.sealer, AesGcmSealer) and lines
    with journal.database.write() as connection:
        connection.execute(tables.meta.delete().where(tables.meta.c.name == "audit_anchor"))
        put_setting(connection, "sealing_key", journal.sealer.fingerprint_before_anchors)
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert verified(journal).whole and grown(journal) is not None and verified(journal).whole
    with journal.database.write() as connection:
        _memory_deleted(connection)
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert not verified(journal).whole


def test_a_log_that_is_begun_anew_names_the_broken_one_for_ever(
    journal: Journal, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    with journal.database.write() as connection:
        _checkpoints_forged(connection)
        chain.append(connection, "r1", 3000.0, "outcome", ACTOR)
    assert grown(journal) is None and lines
    with journal.database.write() as connection:
        mistakes = verify.verify_journal(connection, journal).mistakes
        checkpoint.restart(
            connection, journal, 6000.0, ACTOR, "a stranger had the database", mistakes
        )
    for _ in range(2):
        verdict = verified(journal)
        assert verdict.whole and verdict.before and len(verdict.restarts) == 1, verdict
        (named,) = verdict.restarts
        assert (named["reason"], named["by"]) == ("a stranger had the database", ACTOR.text)
        assert "remembers that it signed checkpoint 1" in named["found"][0]
        assert grown(journal, 7000.0) is not None
    with journal.database.read() as connection:
        exported = [*verify.lines_of(connection)]
        keys = ",".join(anchor.load(connection, journal.sealer).keys)  # type: ignore[arg-type]
    (tmp_path / "export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in exported))
    verdict = verify.verify_file(tmp_path / "export.jsonl", keys)
    assert verdict.whole and verdict.restarts[0]["reason"] == "a stranger had the database"
    with journal.database.write() as connection:
        connection.execute(
            tables.checkpoints.delete().where(tables.checkpoints.c.body.like("%stranger%"))
        )
    assert not verified(journal).whole, "what names it cannot be taken out"


def test_a_new_sealing_key_goes_on_remembering_and_a_lost_one_is_told(
    journal: Journal, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    fresh = Secret(base64.b64encode(b"n" * 32).decode())
    upkeep.rekey(journal, fresh)
    (tmp_path / "key").write_text(fresh.reveal())
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert verified(journal).whole and grown(journal) is not None and lines
    nobody = Journal(journal.database, journal.installation, None, journal.fingerprint_key)
    assert "the sealing key is not found" in verified(nobody).mistakes[0] and grown(nobody) is None
    with journal.database.write() as connection, pytest.raises(JournalError, match="is not found"):
        checkpoint.restart(connection, nobody, 6000.0, ACTOR, "why", ["x"])
    other = Secret(base64.b64encode(b"o" * 32).decode())
    upkeep.rekey(nobody, other, lost=True)
    (tmp_path / "key").write_text(other.reveal())
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    assert "the sealing key was lost" in verified(journal).mistakes[0]
    with journal.database.write() as connection:
        checkpoint.restart(connection, journal, 6000.0, ACTOR, "lost", verified(journal).mistakes)
    assert verified(journal).whole and grown(journal, 7000.0) is not None


def test_nothing_yet_is_whole_and_what_was_emptied_is_not(journal: Journal) -> None:
    assert verified(journal).whole and verified(journal).records == 0
    assert grown(journal) is not None
    with journal.database.write() as connection:
        connection.execute(tables.audit.delete())
        connection.execute(tables.checkpoints.delete())
    assert not verified(journal).whole


DAMAGED: dict[str, Callable[[dict[str, object]], object]] = {
    "no chain": lambda line: line.pop("chain", None) or line.pop("checkpoint", None),
    "a number that is none": lambda line: line.update(
        {"seq" if "seq" in line else "checkpoint": "x"}
    ),
    "a hash that is a list": lambda line: line.update(hash=[]),
    "heads that are a list": lambda line: line.update(heads=[1]),
    "a head that is a number": lambda line: line.update(heads={"r1": 5}),
    "another chain": lambda line: line.update(chain={"r": 1}),
    "no signature": lambda line: line.pop("signature", None) or line.pop("prev", None),
    "nothing but its hash": lambda line: [line.pop(name) for name in list(line) if name != "hash"],
}


@pytest.mark.parametrize("which", [0, 9, -1])
@pytest.mark.parametrize("case", DAMAGED)
def test_a_line_that_is_damaged_is_never_whole(
    case: str, which: int, lines: list[dict[str, object]], tmp_path: Path
) -> None:
    DAMAGED[case](lines[which])
    (tmp_path / "export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not verify.verify_file(tmp_path / "export.jsonl").whole


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"a": 1}'])
def test_a_row_that_is_damaged_is_never_whole(
    text: str, journal: Journal, lines: list[dict[str, object]]
) -> None:
    with journal.database.write() as connection:
        connection.execute(tables.audit.update().where(tables.audit.c.n == 10).values(record=text))
    assert any("was changed" in mistake for mistake in verified(journal).mistakes) and lines
    with journal.database.write() as connection:
        connection.execute(tables.checkpoints.update().values(body=text))
    assert any("checkpoint 1: was changed" in mistake for mistake in verified(journal).mistakes)


def test_a_file_that_nobody_signed_vouches_for_nothing(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    path = tmp_path / "export.jsonl"
    for some in (lines[:-1], []):
        path.write_text("".join(json.dumps(line) + "\n" for line in some))
        assert verify.verify_file(path).mistakes == [
            "no checkpoint is in it: nobody signed these lines"
        ]


# --- outside ---


def test_each_checkpoint_goes_outside_once_it_is_signed_with_what_it_covers(
    journal: Journal,
    lines: list[dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command that fails gets it again; what overlaps is one log all the same."""
    where = tmp_path / "outside"
    where.mkdir()
    to_a_file = f"cat >>{where}/all.jsonl; cat {where}/all.jsonl >{where}/$ROTATOR_CHECKPOINT.jsonl"
    assert outside.export(journal, to_a_file) == "" and grown(journal) is not None and lines
    with journal.database.read() as connection:
        assert outside.behind(connection) == 1
    monkeypatch.setattr(outside, "_TIMEOUT", 0.2)
    assert "did not end" in outside.export(journal, "sleep 60")
    monkeypatch.undo()
    assert "ended with 3: the bucket is away" in outside.export(
        journal, f"cat >>{where}/all.jsonl; echo the bucket is away >&2; exit 3"
    )
    assert outside.export(journal, to_a_file) == "" and outside.export(journal, "exit 9") == ""
    with journal.database.read() as connection:
        assert outside.behind(connection) == 0
        key = checkpoint.public_key(connection, journal)
    assert sorted(one.name for one in where.iterdir()) == [
        "00000001.jsonl",
        "00000002.jsonl",
        "all.jsonl",
    ]
    verdict = verify.verify_file(where / "all.jsonl", key)
    assert (verdict.whole, verdict.records, verdict.checkpoints, verdict.unsigned_tail) == (
        True,
        11,
        2,
        0,
    )
    kept = [line for line in verify.lines_of_file(where / "all.jsonl") if "checkpoint" in line]
    with journal.database.write() as connection:  # the whole journal set back, its memory included
        _last_checkpoint_cut(connection)
        anchor.save(connection, journal.sealer, anchor.Anchor())  # type: ignore[arg-type]
    with journal.database.read() as connection:
        assert verify.verify_journal(connection, journal).whole
        assert not verify.verify_journal(connection, journal, kept).whole


def test_records_go_to_standard_output_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stream.Stream(["stdout"]).emit([{"n": 1, "said": "✓"}, {"n": 2}])
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def _exported(lines: list[dict[str, object]]) -> list[str]:
    return [record_module.canonical(line) for line in lines]


def _verified(tmp_path: Path, lines: list[str]) -> list[str]:
    path = tmp_path / "export.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return verify.verify_file(path).mistakes


def test_an_exported_file_is_whole_as_it_was_written(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    assert _verified(tmp_path, _exported(lines)) == []


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_said_twice_shows(
    lines: list[dict[str, object]], tmp_path: Path, field: str
) -> None:
    """Who reads a line sees the first, who checks it believes the last."""
    told = _exported(lines)
    told[3] = f'{{"{field}":"forged",{told[3][1:]}'
    assert "line 4: says something twice" in _verified(tmp_path, told)


@pytest.mark.parametrize(
    "line",
    [
        '{"actor":"forged"}',
        '{"chain":"\\ud800","seq":1}',
        '{"chain":"r1","seq":NaN}',
        '{"hash":"x","hash":"y"}',
    ],
)
def test_a_line_that_seems_to_be_a_record_shows(
    lines: list[dict[str, object]], tmp_path: Path, line: str
) -> None:
    told = _exported(lines)
    assert _verified(tmp_path, [*told[:2], line, *told[2:]])


@pytest.mark.parametrize("chain_of", ["r1", "a new chain"])
def test_a_record_that_nobody_signed_shows_in_a_file(
    lines: list[dict[str, object]], tmp_path: Path, chain_of: str
) -> None:
    """It may hang on its chain as it should: whoever has the file can make such a one."""
    last = [line for line in lines if line.get("chain") == chain_of]
    seq, prev = (
        (int(str(last[-1]["seq"])), str(last[-1]["hash"])) if last else (0, record_module.GENESIS)
    )
    forged: dict[str, object] = {
        "chain": chain_of,
        "seq": seq + 1,
        "prev": prev,
        "event": "order",
        "actor": "nobody",
    }
    forged["hash"] = record_module.digest(prev, record_module.canonical(forged))
    said = ["1 record no checkpoint covers: nobody signed them"]
    assert _verified(tmp_path, [*_exported(lines), record_module.canonical(forged)]) == said


def test_what_the_columns_say_otherwise_than_it_was_written_shows(journal: Journal) -> None:
    with journal.database.write() as connection:
        chain.append(connection, "r1", 1000.0, "intent", ACTOR, step="store")
        checkpoint.add(connection, journal, 2000.0)
        (text,) = connection.execute(
            tables.audit.select().with_only_columns(tables.audit.c.record)
        ).scalars()
        connection.execute(tables.audit.update().values(record=f'{{"actor":"forged",{text[1:]}'))
    with journal.database.read() as connection:
        assert not verify.verify_journal(connection, journal).whole


def test_an_export_is_signed_to_its_end_whoever_writes_meanwhile(journal: Journal) -> None:
    with journal.database.write() as connection:
        chain.append(connection, "r1", 1000.0, "intent", ACTOR, step="store")
        checkpoint.add(connection, journal, 2000.0)
        chain.append(connection, "r1", 3000.0, "intent", ACTOR, step="restart")
    with journal.database.read() as connection:
        found = list(verify.lines_of(connection, checkpoint.covers(connection, journal)))
    verdict = verify.verify(found)
    assert (verdict.records, verdict.unsigned_tail, verdict.whole) == (1, 0, True)


def test_without_the_sealing_key_nothing_is_said_to_be_signed(journal: Journal) -> None:
    with journal.database.write() as connection:
        chain.append(connection, "r1", 1000.0, "intent", ACTOR, step="store")
        checkpoint.add(connection, journal, 2000.0)
        assert checkpoint.covers(connection, replace(journal, sealer=None)) is None


def test_records_that_came_after_a_number_are_read_in_their_order(journal: Journal) -> None:
    with journal.database.write() as connection:
        for step in ("store", "restart", "verify"):
            chain.append(connection, "r1", 1000.0, "intent", ACTOR, step=step)
        (first, _), *later = chain.newest(connection, 3)
        assert chain.after(connection, first) == later and len(later) == 2


def test_a_stream_without_a_place_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream.Stream().emit([{"event": "intent"}])
    assert capsys.readouterr() == ("", "")


def test_standard_output_that_was_full_is_written_again(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by who guards it: what is said there in words is lost from then on."""
    target = stream._open("stdout")
    assert isinstance(target.file, io.FileIO)
    right, full = target.file, [errno.ENOSPC]

    class Full(io.FileIO):
        def write(self, data: Any) -> int | None:
            if full:
                number = full.pop()
                if number == errno.EAGAIN:
                    return None
                raise OSError(number, "No space left on device")
            return right.write(data)

    found = stream.Stream(["stdout"])
    found._targets = [target]
    target.file = Full(os.dup(1), "w")
    found.emit([{"n": 1}])
    found.emit([{"n": 2}])
    full.append(errno.EAGAIN)
    found.emit([{"n": 3}])
    print("words")
    found.emit([{"n": 4}])
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if line] == ['{"n": 2}', "words", '{"n": 4}']
    assert err.count("cannot be written to stdout") == 1
