"""Alerts and dashboard in deploy/prometheus: promtool judges them, and each query is about a metric
that there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.daemon.families import FAMILIES, PREFIX, Kind
from tests.servers import promtool
from tests.servers.tools import Failed, run

PROMETHEUS = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
RULES, RULES_TEST = PROMETHEUS / "rules.yaml", PROMETHEUS / "rules_test.yaml"
DASHBOARD = PROMETHEUS / "dashboard.json"
_SERIES = re.compile(rf"\b{PREFIX}\w+")
# A dashboard's own variables, in a form that Prometheus knows.
_VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1d"}


@pytest.fixture(scope="session")
def judge() -> Path:
    return promtool.install()


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    """Of the alerts, and of each panel of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    return [*(rule["expr"] for rule in rules()), *shown]


def series_in(query: str) -> set[str]:
    return set(_SERIES.findall(query))


def told() -> set[str]:
    """Every series that /metrics may have."""
    found = {one.series for one in FAMILIES}
    for one in FAMILIES:
        if one.kind is Kind.HISTOGRAM:
            found |= {f"{one.series}_{part}" for part in ("bucket", "sum", "count")}
    return found


def test_the_rules_are_right(judge: Path) -> None:
    assert f"{len(rules())} rules found" in run([judge, "check", "rules", "--lint-fatal", RULES])


def test_each_alert_fires_and_clears(judge: Path) -> None:
    run([judge, "test", "rules", RULES_TEST])
    clears = set(_that_clear())
    assert clears == {rule["alert"] for rule in rules()}


def _that_clear() -> Iterator[str]:
    """Alerts that a test sees fire, and later, in the same course of things, no more."""
    for test in yaml.safe_load(RULES_TEST.read_text())["tests"]:
        seen: dict[str, list[tuple[int, bool]]] = {}
        for one in test["alert_rule_test"]:
            moment = (_seconds(one["eval_time"]), bool(one["exp_alerts"]))
            seen.setdefault(one["alertname"], []).append(moment)
        for alert, moments in seen.items():
            fired = [at for at, fires in moments if fires]
            if fired and any(at > fired[0] for at, fires in moments if not fires):
                yield alert


def _seconds(written: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", written))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_is_wrong_and_where_to_look(rule: dict[str, Any]) -> None:
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in ("warning", "critical") and rule["for"]
    playbook = "{{ $labels.playbook }}"
    of_playbook = any("playbook" in one.labels for one in FAMILIES if one.series in rule["expr"])
    assert (playbook in rule["annotations"]["summary"]) is of_playbook


def test_no_alert_looks_at_a_total() -> None:
    """One that was once above 0 would never clear."""
    totals = {one.series for one in FAMILIES if one.kind is Kind.COUNTER}
    assert totals and not [rule for rule in rules() if totals & series_in(rule["expr"])]


@pytest.mark.parametrize("query", queries())
def test_each_query_is_about_a_metric_that_there_is(query: str) -> None:
    assert series_in(query) and series_in(query) <= told()


def test_each_metric_is_shown() -> None:
    shown = set().union(*map(series_in, queries()))
    durations = {name for name in told() if "duration" in name}
    assert told() - durations <= shown and durations & shown


def test_each_query_of_the_dashboard_can_be_asked(judge: Path, tmp_path: Path) -> None:
    """As a recording rule, which promtool parses."""
    asked = [{"record": f"query_{n}", "expr": _plain(one)} for n, one in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": asked}]}))
    assert f"{len(asked)} rules found" in run([judge, "check", "rules", path])
    asked[0]["expr"] += ")"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": asked}]}))
    with pytest.raises(Failed, match="unexpected right parenthesis"):
        run([judge, "check", "rules", path])


def _plain(query: str) -> str:
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    return query


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    """Each panel has a number and a place of its own, a query, and says what it shows."""
    found = json.loads(DASHBOARD.read_text())
    assert found["uid"] and found["title"] and found["schemaVersion"] >= 36
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]
    assert len(set(cells)) == len(cells), "none lies on another"
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert panel["title"] and panel["description"] and len(set(names)) == len(names)
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert "datasource" in {one["name"] for one in found["templating"]["list"]}


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y
