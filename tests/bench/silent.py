"""A daemon whose playbooks are due at once, with and without a provider that never answers."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from rotator.demo.world import _installed
from tests.acceptance.nasty import Nasty, beside_silent, silent
from tests.servers.tools import wait_for

_GOOD, _SILENT = 180, 20
_ENDS = (
    "SELECT ended - (SELECT min(began) FROM rotations) FROM rotations"
    " WHERE playbook LIKE '%good-%' AND outcome = 'verified' ORDER BY ended"
)


def beside() -> None:
    from tests.bench.cases import line

    alone, among = _ends(0), _ends(_SILENT)
    line(
        f"{_GOOD} of them alone: the first, the last has its key",
        f"{alone[0]:.2f}, {alone[-1]:.1f} s",
    )
    later = [two - one for one, two in zip(alone, among, strict=True)]
    line(f"beside {_SILENT} that hang: the first is later by", f"{later[0]:.2f} s", "(1 s)")
    line("the last", f"{later[-1]:.2f} s", "(1 s)")


def _ends(hanging: int) -> list[float]:
    """When each good one has its new key, in order: seconds since the first one was begun."""
    with tempfile.TemporaryDirectory() as folder, silent() as url:
        world = Nasty(Path(folder))
        journal = Path(folder) / "state" / "journal.db"
        try:
            beside_silent(world, "d", _GOOD, hanging, url)
            daemon = subprocess.Popen(
                [*_installed("rotator"), "daemon", "--listen", str(Path(folder) / "socket")],
                env={**os.environ, **world.environment},
                stderr=subprocess.DEVNULL,
            )
            try:
                wait_for("the daemon", (Path(folder) / "socket").exists, 60)
                for file in sorted((Path(folder) / "playbooks").glob("?-d.yaml")):
                    book = {**json.loads(file.read_text()), "schedule": {"every": "30d"}}
                    new = file.with_suffix(".new")
                    new.write_text(json.dumps(book))
                    new.rename(file)
                wait_for("all", lambda: len(_read(journal)) == _GOOD, 300, 0.2)
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)
            return _read(journal)
        finally:
            world.close()


def _read(journal: Path) -> list[float]:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as opened:
        return [float(seconds) for (seconds,) in opened.execute(_ENDS)]
