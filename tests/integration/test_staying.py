"""Commands end with what stands, and one playbook does not hold up the next."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from rotator.cli import reported
from rotator.core.action import WaitUntil
from rotator.core.order import Order
from rotator.core.state import Phase
from rotator.engine.runner import Session
from rotator.errors import OutcomeUnknown, TransientError
from rotator.integrations.memory.provider import MemoryProvider
from rotator.usecases import orders
from rotator.usecases.report import Report
from rotator.usecases.service import Request
from tests.integration.conftest import Bench


def test_orphans_of_all_playbooks_are_looked_for_side_by_side(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that is silent would hold up `--due` by half a minute for each of its
    playbooks.
    """
    two = Bench(bench.folder, bench.url, "two")
    assert [one.service.rotate(one.name, Request(wait=True)).code for one in (bench, two)] == [0, 0]
    together = threading.Barrier(2, timeout=20)

    def reconcile(self: Session) -> int:
        together.wait()
        raise TransientError("it is silent")

    monkeypatch.setattr(Session, "reconcile", reconcile)
    bench.service.due(Request())
    assert not together.broken
    two.service.close()


def test_an_old_key_that_is_not_revoked_is_left_with_attention(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revoke(*_: Any) -> None:
        raise TransientError("it is down")

    monkeypatch.setattr(MemoryProvider, "revoke", revoke)
    for request in (Request(wait=True), Request()):  # a step may take two seconds
        report = bench.service.rotate("one", request)
        assert report.code == 0 and [debt.attention for debt in report.held][:1] == ["it is down"]
        assert bench.stored in bench.live and len(bench.live) > 1
    monkeypatch.undo()
    orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    assert bench.live == [bench.stored]


def test_a_step_without_end_that_fails_for_long_needs_attention(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a lost create left must be discarded, and its provider does not answer."""
    made = MemoryProvider.generate

    def revoke(*_: Any) -> None:
        raise TransientError("it is down")

    def lost(*given: Any) -> None:
        made(*given)
        monkeypatch.setattr(MemoryProvider, "generate", made)
        raise OutcomeUnknown("its answer was lost")

    monkeypatch.setattr(MemoryProvider, "revoke", revoke)
    monkeypatch.setattr(MemoryProvider, "generate", lost)
    report = bench.service.rotate("one", Request())
    assert (
        report.code == 4 and report.rotation is not None and report.rotation.phase is Phase.DISCARD
    )
    reported.report(report)
    said = capsys.readouterr().err
    assert (
        "needs attention: discard fails since" in said
        and "it is down" in said
        and "tries again" in said
    )
    early = replace(report.rotation, tries=0)
    assert Report("one", early, (), WaitUntil(0.0)).code == 5
    monkeypatch.undo()
    assert bench.service.rotate("one", Request(wait=True)).code == 0
    assert bench.live == [bench.stored]
