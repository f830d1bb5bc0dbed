"""What a daemon answers at /metrics, as Prometheus reads it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemons import Machine, machine
from tests.integration.test_monitoring import judge, queries, series_in  # noqa: F401  (a fixture)
from tests.servers.tools import run, wait_for


@pytest.fixture
def rotated(tmp_path: Path) -> Iterator[Machine]:
    """A daemon that has rotated one key."""
    with machine(tmp_path, 1) as found:
        found.playbook("service-0", schedule={"every": "30d"})
        found.start_daemon()
        found.wait_until_ready()
        wait_for("the rotation", lambda: len(found.rotations()) == 1, 30, alive=found._died)
        wait_for("its old key's end", lambda: not found.unfinished(), 30)
        yield found
        found.stop_daemon()
        found.promises_hold()


def test_promtool_finds_nothing_wrong_and_each_query_its_metric(
    rotated: Machine,
    judge: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    due = 'rotator_key_next_due_timestamp_seconds{playbook="service-0"}'
    wait_for("its next time", lambda: (rotated.metric(due) or 0) > time.time(), 10)
    code, text = rotated.ask("/metrics")
    assert code == 200
    answer = tmp_path / "metrics.txt"
    answer.write_text(text)
    with answer.open() as given:
        assert run([judge, "check", "metrics"], stdin=given) == ""
    named = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    named |= {f"{name}_bucket" for name in re.findall(r"^# TYPE (\w+) histogram", text, re.M)}
    asked = set().union(*map(series_in, queries()))
    assert asked and asked <= named
    assert rotated.metric('rotator_rotations_total{outcome="verified",playbook="service-0"}') == 1
    ages = (
        "rotator_last_tick_timestamp_seconds",
        "rotator_audit_last_checkpoint_timestamp_seconds",
        "rotator_config_last_reload_success_timestamp_seconds",
        'rotator_key_last_rotation_timestamp_seconds{playbook="service-0"}',
    )
    for name in ages:
        assert 0 <= time.time() - (rotated.metric(name) or 0) < 120, name
    assert rotated.metric("rotator_audit_intact") == rotated.metric("rotator_journal_up") == 1
