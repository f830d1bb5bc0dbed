"""The service with in-memory plugins, over each database."""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import event

from rotator.integrations.memory import world as memory
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.service import Service
from tests.servers import postgres as pg

PLAYBOOK = """
description: in memory
generate: {{uses: memory, issuer: {name}{provider}}}
store: [{{uses: memory, cell: {name}}}]
restart: [{{uses: memory, consumers: [{name}]}}]
revoke: {{grace: 0s, quiet: 0s, soak: 0s, watch: 0s{revoke}}}
limits: {{pass_interval: 1ms, step: 2s, list_lag: 0s}}
{more}
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with pg.running() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    server: str = request.getfixturevalue("postgres")
    from sqlalchemy import create_engine, text

    name = f"j{uuid.uuid4().hex[:12]}"
    engine = create_engine(
        server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    monkeypatch.setenv("ROTATOR_KEY", base64.b64encode(b"k" * 32).decode())
    return server.replace("/postgres?", f"/{name}?")


@dataclass
class Bench:
    """A service, a playbook, and the world they work on."""

    folder: Path
    url: str
    name: str = "one"

    def __post_init__(self) -> None:
        (self.folder / "playbooks").mkdir(exist_ok=True)
        self.issuer = memory.WORLD.issuer(self.name)
        first = self.issuer.create("by hand")
        cell = memory.WORLD.cell(self.name)
        cell.values, cell.version, cell.note = {"key": Secret(first.value)}, 1, None
        memory.WORLD.consumers[self.name] = memory.Consumer(self.name)
        memory.WORLD.start(self.name)
        self.playbook()
        self.service = self.fresh()

    def playbook(self, provider: str = "", revoke: str = "", more: str = "") -> None:
        text = PLAYBOOK.format(name=self.name, provider=provider, revoke=revoke, more=more)
        (self.folder / "playbooks" / f"{self.name}.yaml").write_text(text)

    def fresh(self) -> Service:
        """Another process, so to say."""
        settings = Settings(
            self.folder, playbooks=(self.folder / "playbooks",), database_url=self.url
        )
        return Service(settings, "test")

    @property
    def stored(self) -> str:
        values = memory.WORLD.cell(self.name).values or {}
        return next(iter(values.values())).reveal()

    @property
    def consumer(self) -> memory.Consumer:
        return memory.WORLD.consumers[self.name]

    @property
    def live(self) -> list[str]:
        return [key.value for key in self.issuer.keys.values() if key.state == "live"]


@contextlib.contextmanager
def statements(service: Service) -> Iterator[list[str]]:
    """Every statement that the journal is asked."""
    found: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    engine = service.journal.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def bench(tmp_path: Path, url: str, memory_world: memory.World) -> Iterator[Bench]:
    found = Bench(tmp_path, url)
    yield found
    found.service.close()
