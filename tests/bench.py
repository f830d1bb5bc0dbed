"""`make bench`: what a rotation costs beside what it cannot avoid (synchronous commits), in one run, with medians."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from tests.integration.conftest import Bench


def commits(folder: Path, number: int) -> float:
    """Seconds of bare synchronous SQLite commits."""
    with sqlite3.connect(folder / "bare.db", isolation_level=None) as bare:
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE IF NOT EXISTS t (x)")
        begun = time.perf_counter()
        for _ in range(number):
            bare.execute("INSERT INTO t VALUES (1)")
        return time.perf_counter() - begun


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rotator-bench-"))
    bench = Bench(folder, f"sqlite:///{folder / 'journal.db'}")
    path = folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("limits: {", "limits: {passes: 1, "))
    writes = 0
    real = bench.service.journal.database.write

    def counted():  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        return real()

    bench.service.journal.database.write = counted  # type: ignore[method-assign]
    ratios, seconds = [], []
    for _ in range(50):
        writes, begun = 0, time.perf_counter()
        report = bench.service.rotate("one")
        took = time.perf_counter() - begun
        assert report.code == 0
        seconds.append(took)
        ratios.append(took / commits(folder, writes))
    bench.service.close()
    print(
        f"rotation in memory on SQLite: median {statistics.median(seconds) * 1000:.1f} ms, {writes} transactions, "
        f"{statistics.median(ratios):.1f} times the same number of bare commits"
    )


if __name__ == "__main__":
    main()
