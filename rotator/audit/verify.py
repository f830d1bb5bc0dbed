"""Checking the log: every record against its chain, every chain against the signed checkpoints.

Works on any source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from rotator.audit import checkpoint
from rotator.audit.record import GENESIS, canonical, digest
from rotator.counting import count
from rotator.errors import ConfigError
from rotator.journal import anchor, tables
from rotator.journal.journal import Journal

_OURS = frozenset(
    {"actor", "chain", "checkpoint", "hash", "prev", "seq", "signature", "heads"}
)  # in a line of ours
_WRONG, _OTHER = "\0wrong", "\0other"


@dataclass
class Verdict:
    """What a verification found. `mistakes` is empty where the log is whole.

    `before` are those of a log that broke, and was begun anew by `restarts`: nobody vouches for
    what it told.
    """

    records: int = 0
    chains: int = 0
    checkpoints: int = 0
    unsigned_tail: int = 0
    others: int = 0  # lines of a file that are not rotator's: nobody vouches for them
    mistakes: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    restarts: list[dict[str, Any]] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return not self.mistakes


def lines_of(connection: Connection, upto: int | None = None) -> Iterator[dict[str, Any]]:
    """The log as it is exported: records in the order of writing (those `upto` alone, if given),
    then checkpoints.
    """
    columns = tables.audit.c
    chosen = select(columns.record, columns.hash, columns.chain, columns.seq).order_by(columns.n)
    for row in connection.execute(chosen if upto is None else chosen.where(columns.n <= upto)):
        try:
            record = json.loads(row[0])
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or canonical(record) != row[0]:
            record = {"chain": row[2], "seq": row[3], "damaged": True}
        if (record.get("hash"), record.get("chain"), record.get("seq")) != (row[1], row[2], row[3]):
            record = {**record, "hash": "columns and record disagree"}
        yield record
    yield from checkpoint.load(connection)


def lines_of_file(path: Path) -> Iterator[dict[str, Any]]:
    """An exported or streamed file of JSON lines. Raises ConfigError for a line that is none.

    Of a line that nobody should believe it tells why, under `_WRONG`; a stream goes where others'
    lines go: `_OTHER`.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found, wrong = _read(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path}:{number}: not a line of JSON", "is it an audit export?"
                ) from error
            if found is None or _OURS.isdisjoint(found):
                yield {_OTHER: number}
            elif wrong:
                yield {_WRONG: f"line {number}: {wrong}"}
            else:
                yield found


def _read(line: str) -> tuple[dict[str, Any] | None, str]:
    """What a line tells, and what nobody should believe of it: who reads it may see another thing
    than who checks it.

    Raises ValueError (no JSON), RecursionError.
    """
    wrong: list[str] = []

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            wrong.append("says something twice")
        return found

    found = json.loads(
        line, object_pairs_hook=each_once, parse_constant=lambda name: wrong.append("has no number")
    )
    if isinstance(found, dict) and not wrong:
        try:
            canonical(found).encode()
        except UnicodeEncodeError:
            wrong.append("has half a character")
    return found if isinstance(found, dict) else None, "; ".join(dict.fromkeys(wrong))


def verify_journal(
    connection: Connection, journal: Journal, kept: Iterable[dict[str, Any]] = (), key: str = ""
) -> Verdict:
    """The journal's own log, also against what it remembers of its checkpoints under its sealing
    key.
    """
    keys = anchor.load(connection, journal.sealer).keys if journal.sealer else ()
    verdict = verify(lines_of(connection), key or ",".join(keys), kept)
    if wrong := checkpoint.standing(connection, journal):
        verdict.mistakes.insert(0, wrong)
    return verdict


def verify_file(path: Path, key: str = "", kept: Iterable[dict[str, Any]] = ()) -> Verdict:
    """An exported file: without a signature nobody vouches for it. Raises ConfigError."""
    verdict = verify(lines_of_file(path), key, kept)
    if not verdict.checkpoints:
        verdict.mistakes.append("no checkpoint is in it: nobody signed these lines")
    elif verdict.unsigned_tail:
        verdict.mistakes.append(
            f"{count(verdict.unsigned_tail, 'record')} no checkpoint covers: nobody signed them"
        )
    return verdict


def verify(
    lines: Iterable[dict[str, Any]], public_key: str = "", kept: Iterable[dict[str, Any]] = ()
) -> Verdict:
    """Check everything.

    `kept` are checkpoints that left the machine earlier: a cut tail shows against them.
    """
    return _Check(public_key).of(lines, kept)


class _Check:
    """One verification. A line that is there twice, as exports may overlap, counts once."""

    def __init__(self, public_key: str) -> None:
        self._key = public_key
        self._verdict = Verdict()
        self._heads: dict[str, tuple[int, str]] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._of_records: list[tuple[str, int, str]] = []  # chain, number, mistake
        self._anew: dict[
            str, int
        ] = {}  # up to which record of each chain the last restart vouches for nothing

    def of(self, lines: Iterable[dict[str, Any]], kept: Iterable[dict[str, Any]]) -> Verdict:
        verdict, found = self._verdict, dict[str, dict[str, Any]]()
        for line in lines:
            if _WRONG in line:
                self._verdict.mistakes.append(str(line[_WRONG]))
            elif _OTHER in line:
                self._verdict.others += 1
            elif "checkpoint" in line:
                found.setdefault(canonical(line), line)
            else:
                self._record(line)
        self._checkpoints(list(found.values()))
        for foreign in kept:
            self._told(foreign, self._one(foreign))
        for chain, number, mistake in self._of_records:
            (verdict.before if number <= self._anew.get(chain, 0) else verdict.mistakes).append(
                mistake
            )
        verdict.chains = len(self._heads)
        covered: dict[str, int] = {}
        for line in found.values():
            for chain, (seq, _) in _heads_of(line).items():
                covered[chain] = max(seq, covered.get(chain, 0))
        verdict.unsigned_tail = sum(
            max(0, seq - covered.get(chain, 0)) for chain, (seq, _) in self._heads.items()
        )
        return verdict

    def _record(self, record: dict[str, Any]) -> None:
        chain, seq, said = str(record.get("chain")), record.get("seq"), record.get("hash")
        last_seq, last_hash = self._heads.get(chain, (0, GENESIS))
        number = seq if isinstance(seq, int) else last_seq + 1
        body = {name: value for name, value in record.items() if name != "hash"}
        right = digest(str(record.get("prev")), canonical(body)) == said
        if right and self._hashes.get((chain, number)) == said:
            return
        self._verdict.records += 1
        where = f"{chain} record {seq}"
        wrong = self._of_records
        if seq != last_seq + 1:
            wrong.append(
                (chain, number, f"{where}: expected record {last_seq + 1} (dropped or reordered)")
            )
        elif record.get("prev") != last_hash:
            wrong.append((chain, number, f"{where}: does not follow the record before it"))
        if not right:
            wrong.append((chain, number, f"{where}: was changed"))
        self._heads[chain] = number, str(said)
        self._hashes[chain, number] = str(said)

    def _checkpoints(self, found: list[dict[str, Any]]) -> None:
        prev, number = GENESIS, 0
        begun: list[str] = []
        for line in found:
            self._verdict.checkpoints += 1
            mistakes = self._one(line)
            if (
                isinstance(line.get("restart"), dict)
                and line.get("prev") == GENESIS
                and not mistakes
            ):
                self._verdict.restarts.append(
                    {"time": line.get("time"), "checkpoint": line["checkpoint"], **line["restart"]}
                )
                self._verdict.before += begun
                self._anew, begun = {chain: seq for chain, (seq, _) in _heads_of(line).items()}, []
            elif line.get("prev") != prev or line.get("checkpoint") != number + 1:
                begun.append(
                    f"checkpoint {line.get('checkpoint')}: does not follow checkpoint {number}"
                )
            begun += mistakes
            counted = line.get("checkpoint")
            prev, number = (
                str(line.get("hash")),
                counted if isinstance(counted, int) else number + 1,
            )
        self._verdict.mistakes += begun

    def _told(self, foreign: dict[str, Any], mistakes: list[str]) -> None:
        """Of a checkpoint that was kept elsewhere: what it shows of a log that was given up is
        known.
        """
        anew = max((restart["checkpoint"] for restart in self._verdict.restarts), default=0)
        counted = foreign.get("checkpoint")
        old = isinstance(counted, int) and counted < anew
        (self._verdict.before if old else self._verdict.mistakes).extend(mistakes)

    def _one(self, line: dict[str, Any]) -> list[str]:
        name, mistakes = f"checkpoint {line.get('checkpoint')}", []
        body = canonical(
            {key: value for key, value in line.items() if key not in ("hash", "signature")}
        )
        if checkpoint.hash_of(body) != line.get("hash"):
            mistakes.append(f"{name}: was changed")
        elif not any(
            checkpoint.signed_by(key, body, str(line.get("signature"))) for key in self._keys(line)
        ):
            mistakes.append(f"{name}: is not signed by this installation")
        self._verdict.signers.add(str(line.get("key")))
        for chain, (seq, head) in _heads_of(line).items():
            if self._hashes.get((chain, seq)) != head:
                mistakes.append(
                    f"{name}: {chain} had {seq} records then; the tail was cut or changed"
                )
        return mistakes

    def _keys(self, line: dict[str, Any]) -> list[str]:
        """The keys that may have signed: those given (several by commas), else the one that the
        line names.
        """
        return self._key.split(",") if self._key else [str(line.get("key"))]


def _heads_of(line: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Those that can be read; a line whose others cannot was changed, which its hash tells."""
    heads = line.get("heads")
    pairs = heads.items() if isinstance(heads, dict) else ()
    return {
        chain: (pair[0], str(pair[1]))
        for chain, pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], int)
    }
