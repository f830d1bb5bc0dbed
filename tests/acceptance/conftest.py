"""The installed command against a real issuer, a real .env and a real consumer under traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.demo.world import DemoWorld
from tests.servers.bao import Bao


class AcceptanceWorld(DemoWorld):
    """The demo's world, with assertions about it."""

    def promises_hold(self) -> None:
        """One live key; the store and the serving process have it; nobody noticed; nothing is left over."""
        live = [key["value"] for key in self.live_keys]
        assert live == [self.stored_key], "exactly one live key, and the store holds it"
        assert self.consumer_key == self.stored_key, "the serving process was started with it"
        assert not self.traffic.failures, self.traffic.failures[:3]
        assert not list(self.folder.glob(".env.rotator*")) and not list(self.folder.glob("..env*")), "a left-over file"

    def run_killed(self, boundary: int) -> int:
        """`rotate demo --wait`, SIGKILLed at this journal boundary; its exit status."""
        before = self.environment
        self.environment = {
            **before,
            "PYTHONPATH": str(Path(__file__).parent / "killer"),
            "KILL_AT_BOUNDARY": str(boundary),
            "COUNT_BOUNDARIES": str(self.folder / "boundaries"),
        }
        try:
            return self.rotator("rotate", "demo", "--wait").returncode
        finally:
            self.environment = before


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AcceptanceWorld]:
    """Everything started, traffic running."""
    found = AcceptanceWorld(tmp_path, step="5s")
    found.traffic.start()
    yield found
    found.close()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """An OpenBao of our own."""
    pytest.importorskip("hvac", reason="the extra 'vault' is not installed")
    with Bao(tmp_path_factory.mktemp("bao")) as found:
        yield found
