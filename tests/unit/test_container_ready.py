"""Whether a container works, by what its engine tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from rotator.errors import PermanentError
from rotator.integrations.docker import client
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.docker.container import Container

_CHECK = {"Status": "unhealthy", "Log": [{"Output": "connect: Connection refused"}]}


def _container(**state: Any) -> Container:
    started = {"StartedAt": "2026-11-29T04:00:00Z", "Health": _CHECK}
    return Container({"Id": "c0ffee", "Name": "/app", "State": {**started, **state}})


@pytest.mark.parametrize("status", ["exited", "dead"])
def test_one_that_ended_is_told_by_its_last_words_and_not_by_its_last_check(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """The engine calls it unhealthy, too."""
    monkeypatch.setattr(client, "last_words", lambda *_: "I cannot work with this key")
    ended = _container(Status=status, Running=False, ExitCode=1)
    with pytest.raises(PermanentError, match="app ended with 1: I cannot work with this key"):
        client.ready(EngineConnection(), ended, 0.5)


def test_one_that_runs_and_is_unhealthy_is_told_by_its_check() -> None:
    runs = _container(Status="running", Running=True)
    with pytest.raises(PermanentError, match="app is unhealthy: connect: Connection refused"):
        client.ready(EngineConnection(), runs, 0.5)
