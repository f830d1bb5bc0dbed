"""How it stands with a playbook: read once before the lease, and once under it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rotator.core.order import Order
from rotator.errors import ConfigError
from rotator.usecases import orders, pause, situation
from rotator.usecases.request import Request
from rotator.usecases.situation import Situation
from tests.integration.conftest import Bench


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Situation]:
    """Each time that it was read."""
    read, situations = situation.read, []

    def and_remember(*args: Any) -> Situation:
        situations.append(read(*args))
        return situations[-1]

    monkeypatch.setattr(situation, "read", and_remember)
    return situations


def test_a_rotation_reads_it_once_before_the_lease_and_once_under_it(
    bench: Bench, seen: list[Situation]
) -> None:
    assert bench.service.rotate("one").code == 0
    before, under = seen
    assert before.holding is None and before.row is None
    assert under.holding is not None and not under.holding.expired
    assert under.playbook is before.playbook and under.playbook is not None


def test_an_order_reads_it_once_under_the_lease(bench: Bench, seen: list[Situation]) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    seen.clear()
    assert orders.order(bench.service, "one", Order.REVOKE, Request(wait=True)).code == 0
    (under,) = seen
    assert under.holding is not None and not under.holding.expired
    assert [debt.open for debt in under.case.debts] == [True]


def test_what_a_pause_suspends(bench: Bench) -> None:
    bench.playbook(more="schedule: {every: 1h}\ntags: [payments]")
    now = time.time()
    assert bench.service.situation("one").is_due(now)
    pause.begin(bench.service, "tag payments", now + 3600, "the launch")
    present = bench.service.situation("one")
    assert present.pause is not None and present.pause.reason == "the launch"
    assert present.case.paused and not present.urgent and present.is_due(now)
    bench.service.rotate("one", Request(compromised=True))
    assert not bench.service.situation("one").is_due(time.time())


def test_a_name_is_known_as_long_as_something_of_it_goes_on(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    path.unlink()
    loaded = bench.service.playbooks()
    present = bench.service.situation("one", loaded)
    assert present.playbook is None and present.can_go_on and present.current is not None
    assert situation.expected(present, loaded) is None
    orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    over = bench.service.situation("one", loaded)
    assert not over.can_go_on
    with pytest.raises(ConfigError, match="no playbook 'one'"):
        situation.expected(over, loaded)
