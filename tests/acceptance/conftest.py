"""The installed command against a real issuer, a real .env and a real consumer under traffic."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Self

import pytest

from rotator.demo.world import DemoWorld


class AcceptanceWorld(DemoWorld):
    """The demo's world, with assertions about it; entered, its traffic runs."""

    printed = ""  # what the last command said, told where a test fails

    def __enter__(self) -> Self:
        self.traffic.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rotator(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        done = super().rotator(*arguments, timeout=timeout)
        self.printed = (
            f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def promises_hold(self) -> None:
        """One live key; the store and the serving process have it; nobody noticed; nothing is left
        over.
        """
        live = [key["value"] for key in self.live_keys]
        assert live == [self.stored_key], "exactly one live key, and the store holds it"
        assert self.consumer_key == self.stored_key, "the serving process was started with it"
        assert not self.traffic.failures, self.traffic.failures[:3]
        assert not list(self.folder.glob(".env.rotator*")) and not list(
            self.folder.glob("..env*")
        ), "a left-over file"

    def run(self, **environment: str) -> tuple[int, str]:
        before = self.environment
        self.environment = {**before, **environment}
        try:
            done = self.rotator("rotate", "demo", "--wait")
        finally:
            self.environment = before
        return done.returncode, done.stdout + done.stderr


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed step of a world shows what its last command printed."""
    report = yield
    if report.failed:
        worlds = getattr(item, "funcargs", {}).values()
        said = [world.printed for world in worlds if getattr(world, "printed", "")]
        report.sections += [("the last command", text) for text in said]
    return report


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AcceptanceWorld]:
    with AcceptanceWorld(tmp_path, step="5s") as found:
        yield found
