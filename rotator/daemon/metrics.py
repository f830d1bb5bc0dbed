"""What Prometheus scrapes: times, not ages, so that an alert is a comparison with `time()`.

Series are of today's playbooks alone: one that is deleted ends with its file.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from rotator import __version__
from rotator.core.debt_state import DEAD_PHASES
from rotator.core.state import Outcome
from rotator.daemon.loop import Loop
from rotator.engine.events import CallEnded, Ended, Event
from rotator.errors import JournalError
from rotator.journal import killed, measures
from rotator.journal.measures import KeyTimes, Measures
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER

_OVERDUE = 86_400.0  # seconds after its time, where the playbook names no limit of its own
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_GAUGES = {
    "key_last_rotation_timestamp_seconds": "When the key in force was brought out.",
    "key_next_due_timestamp_seconds": "From when on a timer rotates it.",
    "key_overdue_timestamp_seconds": "From when on it is overdue if it was not rotated.",
    "key_expires_timestamp_seconds": "When the key in force ends, where its provider says so.",
    "needs_attention": "1 while it stands until a person acts.",
}


class Counts:
    """Counts what this process did, as it happens."""

    name = "the metrics"

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self.rotations: Counter[tuple[str, str]] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self._seconds = Histogram(
            "rotator_step_duration_seconds",
            "How long the calls of a step took.",
            ["step"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def hear(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Ended):
                with self._lock:
                    self.rotations[event.playbook, event.outcome] += 1
            elif isinstance(event, CallEnded):
                with self._lock:
                    self.attempts[event.step, event.result] += 1
                self._seconds.labels(event.step).observe(event.seconds)


class Metrics(Collector):
    """Read from the journal at each scrape; the counters are this process's own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._registry = CollectorRegistry()
        self.counts = Counts(self._registry)
        self._registry.register(self)

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is asked when it is registered."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield from self._of_process()
        journal_up = GaugeMetricFamily("rotator_journal_up", "Whether the journal can be read.")
        try:
            with self._loop.runtime.journal.database.read() as connection:
                found, without = measures.read(connection), killed.names(connection)
        except JournalError:
            journal_up.add_metric([], 0)
            yield journal_up
            return
        journal_up.add_metric([], 1)
        yield journal_up
        yield from self._of_playbooks(found, without)
        yield from _of_journal(found)

    def _of_process(self) -> Iterator[GaugeMetricFamily]:
        last = self._loop.reloads.last
        yield _gauge("build_info", "Which version runs.", 1, {"version": __version__})
        yield _gauge("playbooks", "Playbooks that load.", len(last.loaded.playbooks))
        yield _gauge("playbook_mistakes", "Mistakes in files of playbooks.", len(last.mistakes))
        yield _gauge(
            "config_last_reload_successful", "1: all that a start would read is right.", last.good
        )
        at = "When all that a start would read last was right."
        yield _gauge("config_last_reload_success_timestamp_seconds", at, last.good_at)
        if self._loop.ticked is not None:
            when = "When it last looked what is due."
            yield _gauge("last_tick_timestamp_seconds", when, self._loop.ticked)
        yield _gauge("under_way", "Playbooks that are worked on.", self._loop.under_way)

    def _of_playbooks(
        self, found: Measures, without: set[str]
    ) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        books = self._loop.reloads.last.loaded.playbooks
        series = {
            name: GaugeMetricFamily(f"rotator_{name}", text, labels=["playbook"])
            for name, text in _GAUGES.items()
        }
        for key in found.keys:
            if (book := books.get(key.playbook)) is not None:
                for name, value in _times(key, book):
                    series[name].add_metric([key.playbook], value)
        standing = {one.playbook for one in (*found.running, *found.owed) if one.attention}
        for name in books:
            series["needs_attention"].add_metric([name], name in standing | without)
        yield from series.values()
        ended = CounterMetricFamily(
            "rotator_rotations", "Rotations that ended.", labels=["playbook", "outcome"]
        )
        counted = dict(self.counts.rotations)
        for name in books:
            for outcome in Outcome:
                ended.add_metric([name, str(outcome)], counted.get((name, str(outcome)), 0))
        yield ended
        attempts = CounterMetricFamily(
            "rotator_attempts", "Calls that ended.", labels=["step", "result"]
        )
        for (step, result), number in sorted(dict(self.counts.attempts).items()):
            attempts.add_metric([step, result], number)
        yield attempts


def _times(key: KeyTimes, book: Playbook) -> Iterator[tuple[str, float]]:
    if key.last_success is not None:
        yield "key_last_rotation_timestamp_seconds", key.last_success
    if key.ends is not None:
        yield "key_expires_timestamp_seconds", key.ends
    if key.due is None or key.due >= FOREVER:
        return
    yield "key_next_due_timestamp_seconds", key.due
    yield "key_overdue_timestamp_seconds", _overdue(key, book)


def _overdue(key: KeyTimes, book: Playbook) -> float:
    """By the limits of its playbook, else a day after its time; before the key ends, in any case.

    Its time is where it was due first: what puts it off, a window or a failure, does not move it.
    """
    due = book.due(key.counts_from, 0.0, key.renew)
    at = max(due.at, key.counts_from or 0.0) if due is not None else key.due or 0.0
    schedule, max_age = book.shape.schedule, book.shape.max_age
    limits = [at + schedule.max_overdue] if schedule and schedule.max_overdue else []
    if max_age is not None and key.last_success is not None:
        limits.append(key.last_success + max_age)
    return min([*(limits or [at + _OVERDUE]), *([key.ends] if key.ends is not None else [])])


def _of_journal(found: Measures) -> Iterator[GaugeMetricFamily]:
    waiting = GaugeMetricFamily(
        "rotator_rotations_under_way", "Rotations that have not ended.", labels=["phase"]
    )
    for phase, number in sorted(Counter(one.phase for one in found.running).items()):
        waiting.add_metric([phase], number)
    yield waiting
    alive = [one for one in found.owed if one.phase not in DEAD_PHASES]
    old = GaugeMetricFamily(
        "rotator_revocations_outstanding", "Old keys that live.", labels=["phase"]
    )
    for phase, number in sorted(Counter(one.phase for one in alive).items()):
        old.add_metric([phase], number)
    yield old
    yield _gauge("audit_records", "The number of the last audit record.", found.records)
    if found.signed_at is not None:
        when = "When the audit log was last signed."
        yield _gauge("audit_last_checkpoint_timestamp_seconds", when, found.signed_at)


def _gauge(
    name: str, text: str, value: float, labels: dict[str, str] | None = None
) -> GaugeMetricFamily:
    found = GaugeMetricFamily(f"rotator_{name}", text, labels=list(labels or {}))
    found.add_metric(list((labels or {}).values()), float(value))
    return found
