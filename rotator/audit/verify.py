"""Checking the log: every record against its chain, every chain against the signed checkpoints. Works on any source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from rotator.audit import checkpoint
from rotator.audit.record import GENESIS, canonical, digest
from rotator.errors import ConfigError
from rotator.journal import tables


@dataclass
class Verdict:
    """What a verification found. `mistakes` is empty where the log is whole."""

    records: int = 0
    chains: int = 0
    checkpoints: int = 0
    unsigned_tail: int = 0
    mistakes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.mistakes


def lines_of(connection: Connection) -> Iterator[dict[str, Any]]:
    """The log as it is exported: records in the order of writing, then checkpoints."""
    for row in connection.execute(
        select(tables.audit.c.record, tables.audit.c.hash, tables.audit.c.chain, tables.audit.c.seq).order_by(
            tables.audit.c.n
        )
    ):
        record = json.loads(row[0])
        if (record.get("hash"), record.get("chain"), record.get("seq")) != (row[1], row[2], row[3]):
            record = {**record, "hash": "columns and record disagree"}
        yield record
    yield from checkpoint.load(connection)


def lines_of_file(path: Path) -> Iterator[dict[str, Any]]:
    """An exported or streamed file of JSON lines. Raises ConfigError for a line that is none."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{path}:{number}: not a line of JSON", "is it an audit export?") from error
            if isinstance(found, dict) and ("chain" in found or "checkpoint" in found):
                yield found


def verify(lines: Iterable[dict[str, Any]], public_key: str = "", kept: Iterable[dict[str, Any]] = ()) -> Verdict:
    """Check everything. `kept` are checkpoints that left the machine earlier: a cut tail shows against them."""
    verdict = Verdict()
    heads: dict[str, tuple[int, str]] = {}
    hashes: dict[tuple[str, int], str] = {}
    found: list[dict[str, Any]] = []
    for line in lines:
        if "checkpoint" in line:
            found.append(line)
        else:
            _check_record(line, heads, hashes, verdict)
    verdict.chains = len(heads)
    _check_checkpoints(found, hashes, public_key, verdict)
    for foreign in kept:
        _check_one(foreign, hashes, public_key, verdict)
    covered = {chain: max((c["heads"][chain][0] for c in found if chain in c["heads"]), default=0) for chain in heads}
    verdict.unsigned_tail = sum(max(0, heads[chain][0] - covered[chain]) for chain in heads)
    return verdict


def _check_record(
    record: dict[str, Any], heads: dict[str, tuple[int, str]], hashes: dict[tuple[str, int], str], verdict: Verdict
) -> None:
    verdict.records += 1
    chain, seq, said = str(record.get("chain")), record.get("seq"), record.get("hash")
    last_seq, last_hash = heads.get(chain, (0, GENESIS))
    where = f"{chain} record {seq}"
    body = {name: value for name, value in record.items() if name != "hash"}
    if seq != last_seq + 1:
        verdict.mistakes.append(f"{where}: expected record {last_seq + 1} (dropped or reordered)")
    elif record.get("prev") != last_hash:
        verdict.mistakes.append(f"{where}: does not follow the record before it")
    if digest(str(record.get("prev")), canonical(body)) != said:
        verdict.mistakes.append(f"{where}: was changed")
    number = seq if isinstance(seq, int) else last_seq + 1
    heads[chain] = (number, str(said))
    hashes[chain, number] = str(said)


def _check_checkpoints(
    found: list[dict[str, Any]], hashes: dict[tuple[str, int], str], public_key: str, verdict: Verdict
) -> None:
    prev, number = GENESIS, 0
    for line in found:
        verdict.checkpoints += 1
        if line.get("prev") != prev or line.get("checkpoint") != number + 1:
            verdict.mistakes.append(f"checkpoint {line.get('checkpoint')}: does not follow checkpoint {number}")
        _check_one(line, hashes, public_key, verdict)
        prev, number = str(line.get("hash")), int(line.get("checkpoint") or 0)


def _check_one(line: dict[str, Any], hashes: dict[tuple[str, int], str], public_key: str, verdict: Verdict) -> None:
    name = f"checkpoint {line.get('checkpoint')}"
    body = canonical({key: value for key, value in line.items() if key not in ("hash", "signature")})
    if checkpoint.hash_of(body) != line.get("hash"):
        verdict.mistakes.append(f"{name}: was changed")
    elif not any(checkpoint.signed_by(key, body, str(line.get("signature"))) for key in _keys(line, public_key)):
        verdict.mistakes.append(f"{name}: is not signed by this installation")
    for chain, (seq, head) in dict(line.get("heads") or {}).items():
        if hashes.get((chain, seq)) != head:
            verdict.mistakes.append(f"{name}: {chain} had {seq} records then; the tail was cut or changed")


def _keys(line: dict[str, Any], public_key: str) -> list[str]:
    """The keys that may have signed: those given (several by commas), else the one that the line names."""
    return public_key.split(",") if public_key else [str(line.get("key"))]
