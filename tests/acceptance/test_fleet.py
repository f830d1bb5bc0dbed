"""Several daemons on one PostgreSQL, each with a state of its own as on a machine of its own: every
rotation ends well exactly once, whoever dies, freezes, or is cut off from the database.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from rotator.demo.world import _installed
from rotator.journal import tables
from tests.acceptance.issued import Issued
from tests.servers import postgres
from tests.servers.tools import wait_for

pytestmark = pytest.mark.postgres
LARGE = bool(os.environ.get("ROTATOR_FLEET"))
PLAYBOOKS = 200 if LARGE else 40
AWAY = 60.0 if LARGE else 6.0  # seconds without the database


class Fleet(Issued):
    """Three daemons, and playbooks that are all due at once."""

    def __init__(
        self, folder: Path, database: postgres.Postgres, playbooks: int = PLAYBOOKS
    ) -> None:
        super().__init__(folder)
        self.database = database
        self.environment |= {
            "ROTATOR_DATABASE_URL": database.url,
            "ROTATOR_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "ROTATOR_LOG_FORMAT": "json",
        }
        self.names = [f"key-{number:03}" for number in range(playbooks)]
        self.daemons: dict[int, subprocess.Popen[bytes]] = {}
        self._engine = create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
        for name in self.names:
            path = folder / "app" / f"{name}.env"
            path.write_text(f"OPENAI_API_KEY={self.made_by_hand(f'by hand {name}')}\n")
            path.chmod(0o600)
        generate = {
            "uses": "openai",
            "project": "proj_demo",
            "admin_key": {"env": "DEMO_ADMIN_KEY"},
            "base_url": f"http://127.0.0.1:{self.issuer}/v1",
        }
        store = {"uses": "dotenv", "path": f"{folder}/app/{{name}}.env", "key": "OPENAI_API_KEY"}
        self.write_playbook(
            {
                "on": "*",  # one machine, as far as files and programs go
                "schedule": {"every": "30d"},
                "generate": generate,
                "store": [store],
                "restart": [{"uses": "command", "run": ["sleep", "0.5"], "ready": ["true"]}],
                "evidence": "answers",
                "limits": {"step": "120s", "passes": 1, "pass_interval": "50ms", "list_lag": "1s"},
                "for_each": [{"name": name} for name in self.names],
            }
        )

    def start_node(self, number: int, *prefix: str) -> None:
        """`prefix`: a program that starts it."""
        home = self.folder / f"node-{number}"
        home.mkdir(exist_ok=True)
        self.daemons[number] = subprocess.Popen(
            [*prefix, *_installed("rotator"), "daemon", "--listen", "off"],
            env={
                **self.environment,
                "ROTATOR_HOME": str(home),
                "ROTATOR_NODE": f"node-{number}",
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(home / "log").open("ab"),
        )

    def rows(self, query: str) -> list[Any]:
        """[] while the database is away."""
        with contextlib.suppress(Exception), self._engine.connect() as connection:
            return list(connection.execute(text(query)))
        return []

    def verified(self) -> int:
        query = "SELECT count(*) FROM rotations WHERE outcome = 'verified'"
        return int(next(iter(self.rows(query)), [0])[0])

    def over(self) -> int:
        query = "SELECT count(*) FROM rotations WHERE NOT active"
        return int(next(iter(self.rows(query)), [0])[0])

    def open(self) -> int:
        query = (
            "SELECT (SELECT count(*) FROM rotations WHERE active)"
            " + (SELECT count(*) FROM debts WHERE open)"
        )
        return int(next(iter(self.rows(query)), [1])[0])

    def alive(self) -> str:
        dead = [n for n, daemon in self.daemons.items() if daemon.poll() is not None]
        logs = [(self.folder / f"node-{n}" / "log").read_text()[-1500:] for n in dead]
        return f"ended: {logs}" if dead else ""

    def promises_hold(self) -> None:
        """One live key a playbook, in its file, after one rotation of each."""
        stored = [
            (self.folder / "app" / f"{name}.env").read_text().strip().partition("=")[2]
            for name in self.names
        ]
        assert sorted(self.live) == sorted([*stored, self.first])
        ended = Counter(
            (row.playbook, row.outcome)
            for row in self.rows("SELECT playbook, outcome FROM rotations")
        )
        assert ended == {(f"app-{name}", "verified"): 1 for name in self.names}

    def close(self) -> None:
        for daemon in self.daemons.values():
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGCONT)
                daemon.kill()
                daemon.wait()
        self._engine.dispose()
        super().close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with postgres.server() as database:
        found = Fleet(tmp_path, database)
        yield found
        found.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_nodes_whoever_dies_or_freezes_and_a_database_that_goes_away(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, sent = random.Random(17), Counter[str]()
    for number in range(3):
        fleet.start_node(number)
    ends = threading.Event()

    def harm() -> None:
        while not ends.wait(chance.uniform(1.0, 3.0)):
            number = chance.randrange(3)
            if chance.random() < 0.5:
                fleet.daemons[number].kill()
                fleet.daemons[number].wait()
                fleet.start_node(number)
                sent["SIGKILL"] += 1
            else:  # past its lease, or not
                fleet.daemons[number].send_signal(signal.SIGSTOP)
                ends.wait(chance.choice((1.0, 5.0, 25.0)))
                fleet.daemons[number].send_signal(signal.SIGCONT)
                sent["SIGSTOP"] += 1

    harming = threading.Thread(target=harm)
    harming.start()
    try:
        for part in (0.2, 0.4):
            wait_for("some", lambda: fleet.verified() >= part * PLAYBOOKS, 600)  # noqa: B023
            fleet.database.stop()
            fleet.database.start()
            sent["restart of the database"] += 1
        wait_for("more", lambda: fleet.verified() >= 0.6 * PLAYBOOKS, 600)
        fleet.database.stop()
        time.sleep(AWAY)
        fleet.database.start()
    finally:
        ends.set()
        harming.join()
    wait_for("all", lambda: fleet.over() >= PLAYBOOKS and not fleet.open(), 300, 0.2, fleet.alive)
    fleet.promises_hold()
    for daemon in fleet.daemons.values():
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    with capsys.disabled():
        print(f"\n{dict(sent)}, {AWAY:.0f} s without it: {PLAYBOOKS} rotations, each once")


def test_a_database_that_is_away_at_the_start_is_waited_for(fleet: Fleet) -> None:
    fleet.database.stop()
    fleet.start_node(0)
    log = fleet.folder / "node-0" / "log"
    wait_for("its word", lambda: "no look at what is due" in log.read_text(), 240, 0.1, fleet.alive)
    fleet.database.start()
    wait_for("its rotations", lambda: fleet.verified() >= 3, 240, 0.1, fleet.alive)
    fleet.daemons[0].send_signal(signal.SIGTERM)
    assert fleet.daemons[0].wait(30) == 0


def test_what_a_dead_node_had_in_hand_goes_on_elsewhere(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within 30 s: its leases end after 20."""
    book = json.loads((fleet.folder / "playbooks" / "app.yaml").read_text())
    book["restart"] = [{"uses": "command", "run": ["sleep", "3"], "ready": ["true"]}]
    book["for_each"] = book["for_each"][:1]
    fleet.write_playbook(book)
    fleet.start_node(0)
    phase = "SELECT phase FROM rotations WHERE active"
    wait_for("its restart", lambda: fleet.rows(phase) == [("restart",)], 240, 0.05, fleet.alive)
    fleet.start_node(1)
    time.sleep(2.0)
    fleet.daemons.pop(0).kill()
    died = time.monotonic()
    intent = 'SELECT count(*) FROM audit WHERE record LIKE \'%"result": "unknown"%\' OR record LIKE \'%"result":"unknown"%\''
    wait_for("the other one", lambda: fleet.rows(intent)[0][0] >= 1, 60, 0.05, fleet.alive)
    took = time.monotonic() - died
    assert took < 30
    wait_for("the end", lambda: fleet.verified() == 1, 240, 0.1, fleet.alive)
    with capsys.disabled():
        print(f"\nfrom its death to its resumption: {took:.1f} s")


class Machines(Fleet):
    """Nodes that each have a file system of their own where the service's .env is."""

    def __init__(self, folder: Path, database: postgres.Postgres) -> None:
        super().__init__(folder, database, playbooks=1)
        self.path = folder / "app" / f"{self.names[0]}.env"
        for number in range(2):
            (folder / f"disk-{number}").mkdir()
            self.file(number).write_text(
                f"OPENAI_API_KEY={self.made_by_hand(f'of machine {number}')}\n"
            )
            self.file(number).chmod(0o600)
        self.book = json.loads((folder / "playbooks" / "app.yaml").read_text())
        self.book["restart"][0]["run"] = ["sleep", "3"]
        del self.book["on"]
        self.write_playbook(self.book)

    def file(self, number: int) -> Path:
        """What this machine has at `path`."""
        return self.folder / f"disk-{number}" / self.path.name

    def stored(self, number: int) -> str:
        return self.file(number).read_text().strip().partition("=")[2]

    def _mounted(self, number: int) -> list[str]:
        """Its own disk where the others have theirs."""
        namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
        script = f'mount --bind "{self.folder}/disk-{number}" "{self.folder}/app" && exec "$@"'
        return [*namespace, "sh", "-c", script, "sh"]

    def start_node(self, number: int, *prefix: str) -> None:
        super().start_node(number, *prefix, *self._mounted(number))

    def command(self, number: int, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._mounted(number), *_installed(words[0]), *words[1:]],
            env={
                **self.environment,
                "ROTATOR_HOME": str(self.folder / f"node-{number}"),
                "ROTATOR_NODE": f"node-{number}",
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def put_off(self, number: int) -> list[str | None]:
        """Why the playbook does not begin, as this node's `status` says."""
        seen = json.loads(self.command(number, "rotator", "status", "--json").stdout)
        return [one["put_off"] for one in seen["playbooks"]]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with postgres.server() as database:
        found = Machines(tmp_path, database)
        yield found
        found.close()


def test_two_machines_with_a_file_of_the_same_path_each(machines: Machines) -> None:
    """Nothing is begun while nobody says on which of them; then the other one touches nothing, not
    even what the first one left in the middle when it died.
    """
    before = [machines.stored(number) for number in range(2)]
    query = "SELECT count(DISTINCT name) FROM nodes"
    machines.book["schedule"] = {"every": "30d", "not_before": "2030-01-01"}
    machines.write_playbook(machines.book)
    for number in range(2):
        machines.start_node(number)
    wait_for("both", lambda: machines.rows(query) == [(2,)], 120, 0.1, machines.alive)
    del machines.book["schedule"]["not_before"]
    machines.write_playbook(machines.book)
    wait_for("words", lambda: machines.put_off(0) == ["no node"], 120, 0.5, machines.alive)
    refused = machines.command(1, "rotate", f"app-{machines.names[0]}")
    assert refused.returncode == 6
    assert "several nodes are alive: node-0, node-1" in refused.stderr
    assert "hint: say in the playbook where it runs, for instance `on: node-1`" in refused.stderr
    assert machines.rows("SELECT 1 FROM rotations") == []
    machines.write_playbook({"on": "node-0", **machines.book})
    phase = "SELECT phase FROM rotations WHERE active"
    wait_for("a restart", lambda: machines.rows(phase) == [("restart",)], 120, 0.05, machines.alive)
    machines.daemons.pop(0).kill()
    holder = "SELECT count(*) FROM leases WHERE until > extract(epoch FROM clock_timestamp())"
    wait_for("the end of its lease", lambda: machines.rows(holder) == [(0,)], 120, 0.2)
    ticks = "SELECT max(seen) FROM nodes WHERE name = 'node-1'"
    [(seen,)] = machines.rows(ticks)
    wait_for("the other one's look", lambda: machines.rows(ticks)[0][0] > seen, 120, 0.2)
    refused = machines.command(1, "rotate", f"app-{machines.names[0]}")
    assert refused.returncode == 6 and "runs on node-0, and this is node-1" in refused.stderr
    assert machines.stored(1) == before[1]
    machines.start_node(0)
    wait_for("the end", lambda: machines.verified() == 1, 240, 0.2, machines.alive)
    assert machines.stored(0) not in (before[0], before[1]) and machines.stored(1) == before[1]
    assert {machines.stored(0), before[1]} <= set(machines.live)


_OLDER = """
import sys
from rotator.journal import database, tables
tables.HEAD = "0010"
database._KNOWN = ("0010",)
from rotator.cli.entry import rotator
sys.argv = ["rotator", "daemon", "--listen", "off"]
rotator()
"""


def test_a_journal_that_a_newer_program_upgraded_is_left_by_an_older_one(
    machines: Machines,
) -> None:
    """Two versions side by side, until the newer one brings the journal up to date: the older one
    begins nothing more, and says why.
    """
    head = machines.database.url.replace("postgresql:", "postgresql+psycopg:")
    machines.write_playbook({"on": "node-0", **machines.book})
    assert machines.command(1, "rotator", "status").returncode == 0
    engine = create_engine(head)
    version = text("UPDATE alembic_version SET version_num = :to")
    with engine.begin() as connection:
        connection.execute(version, {"to": "0010"})
    older = machines.folder / "older.py"
    older.write_text(_OLDER)
    home = machines.folder / "node-0"
    home.mkdir()
    log = home / "log"
    with log.open("ab") as said:
        machines.daemons[0] = subprocess.Popen(
            [*machines._mounted(0), sys.executable, str(older)],
            env={**machines.environment, "ROTATOR_HOME": str(home), "ROTATOR_NODE": "node-0"},
            cwd=machines.folder,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    wait_for("the older one", lambda: machines.verified() == 1, 240, 0.2, machines.alive)
    with engine.begin() as connection:
        connection.execute(version, {"to": tables.HEAD})
    engine.dispose()
    words = f"of version {tables.HEAD}, this rotator knows 0010"
    wait_for("its word", lambda: words in log.read_text(), 180, 0.2, machines.alive)
    assert "use a newer rotator" in log.read_text()
    assert machines.command(1, "rotator", "status").returncode == 0, "the newer one goes on"
