"""The shipped alerts over what a daemon's metrics said in ten hours of virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from rotator.integrations.memory import world as memory
from rotator.usecases.service import Request
from tests.integration.conftest import Bench
from tests.integration.test_metrics import MIDNIGHT, Daemon, clock  # noqa: F401  (a fixture)
from tests.integration.test_monitoring import judge, rules  # noqa: F401  (a fixture)
from tests.servers.tools import run
from tests.simulation.simulator import VirtualClock

MINUTE, EVERY = 60.0, 5  # a scrape each five minutes
LENGTH = 600  # minutes
_TIMES = "_timestamp_seconds{"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


def test_a_key_whose_rotation_fails_for_hours_wakes_somebody_until_it_is_rotated(
    bench: Bench,
    clock: VirtualClock,  # noqa: F811
    judge: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Due each hour; from minute 50 to 300 no new key works, so that it fails at 60, an hour later, and
    two hours later, and is tried again four hours after that. Its file has a mistake meanwhile.
    """
    bench.playbook(more="schedule: {every: 1h}\nmax_age: 3h")
    path, accepts = bench.folder / "playbooks" / "one.yaml", memory.Issuer.accepts
    good, daemon, scrapes = path.read_text(), Daemon(bench, clock), list[dict[str, float]]()
    with pytest.MonkeyPatch.context() as patch:
        for minute in range(0, LENGTH, EVERY):
            clock.at = max(clock.at, MIDNIGHT + minute * MINUTE)
            if minute == 50:
                patch.setattr(
                    memory.Issuer,
                    "accepts",
                    lambda self, value: value == bench.stored and accepts(self, value),
                )
            if minute == 300:
                patch.undo()
            if minute in (260, 290):
                path.write_text("generate: {" if minute == 260 else good)
            daemon.service.due(Request())
            scrapes.append(daemon.scrape())
    seen = {
        "RotationDidNotHappen": ([75, 190, 280, 480], [50, 595]),
        "KeyOverdue": ([200, 280, 480], [50, 175, 595]),
        "ReloadFailed": ([270, 285], [50, 255, 300]),
        "RotationNeedsAttention": ([], range(0, LENGTH, EVERY)),
        "OldKeyStillUsed": ([], range(0, LENGTH, EVERY)),
        "VerifyFailing": ([], range(0, LENGTH, EVERY)),
        "FailedRequestsAfterRevoke": ([], range(0, LENGTH, EVERY)),
        "AuditChainBroken": ([], range(0, LENGTH, EVERY)),
        "JournalDown": ([], range(0, LENGTH, EVERY)),
        "NodesDisagree": ([], range(0, LENGTH, EVERY)),
        "PlaybookWithoutNode": ([], range(0, LENGTH, EVERY)),
    }
    _write_test(tmp_path, scrapes, seen)
    run([judge, "test", "rules", tmp_path / "test.yaml"])


def _write_test(
    folder: Path,
    scrapes: list[dict[str, float]],
    seen: dict[str, tuple[Iterable[int], Iterable[int]]],
) -> None:
    """For each alert the minutes in which it fires, and those in which it does not. Annotations
    are left out, as they tell how long it has lasted.
    """
    bare = [{key: rule[key] for key in ("alert", "expr", "for", "labels")} for rule in rules()]
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in bare}
    groups = {"groups": [{"name": "rotator", "rules": bare}]}
    (folder / "bare.yaml").write_text(json.dumps(groups))
    expected = []
    for alert, (fires, quiet) in seen.items():
        of = {"instance": "a"} if alert == "ReloadFailed" else {"playbook": "one"}
        labels = {"severity": severity[alert], **of}
        moments = [(at, [{"exp_labels": labels}]) for at in fires] + [(at, []) for at in quiet]
        expected += [
            {"eval_time": f"{at}m", "alertname": alert, "exp_alerts": alerts}
            for at, alerts in moments
        ]
    series = [
        {"series": _at_a(name), "values": " ".join(_values(name, scrapes))}
        for name in sorted({name for scrape in scrapes for name in scrape})
        if "_bucket" not in name
    ]
    test = {"interval": f"{EVERY}m", "input_series": series, "alert_rule_test": expected}
    written = {"rule_files": ["bare.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(json.dumps(written))


def _at_a(name: str) -> str:
    """With the instance that Prometheus adds."""
    return f'{name[:-1]},instance="a"}}' if name.endswith("}") else f'{name}{{instance="a"}}'


def _values(name: str, scrapes: list[dict[str, float]]) -> Iterable[str]:
    """Times count from the beginning, as promtool's clock does; a series that ends becomes stale."""
    there = False
    for scrape in scrapes:
        value = scrape.get(name)
        if value is not None:
            yield f"{value - MIDNIGHT if _TIMES in f'{name}{{' else value:.3f}"
        else:
            yield "stale" if there else "_"
        there = value is not None
