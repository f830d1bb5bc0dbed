"""What Prometheus scrapes: times, not ages, so that an alert is a comparison with `time()`.

Series are of today's playbooks: one that is deleted ends with its file. Only that something of it
still waits for a person is told until it does no more.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from rotator import __version__
from rotator.audit import checkpoint
from rotator.core.debt_state import DEAD_PHASES, DebtPhase
from rotator.core.state import Outcome
from rotator.daemon.families import DURATIONS, FAMILIES, PREFIX, Kind, Source
from rotator.daemon.key_times import put_off, times
from rotator.daemon.loop import Loop
from rotator.engine.events import CallEnded, Ended, Event
from rotator.engine.fleet import Present
from rotator.errors import JournalError
from rotator.journal import killed, measures, nodes, notices, pauses, unfinished
from rotator.journal.measures import KeyTimes, Measures, Since
from rotator.journal.nodes import Node
from rotator.journal.notices import Outstanding
from rotator.journal.pauses import Pause
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.usecases import placing

_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
# Each is there from the start, at 0: the first increase of a series that was not there is unseen.
_STEPS = ("preflight", "generate", "store", "restart", "verify", "undo", "revoke")
_RESULTS = ("done", "failed", "unknown")

Metric = GaugeMetricFamily | CounterMetricFamily
Families = dict[str, Metric]
Books = dict[str, tuple[Playbook, float]]  # by name, with when each was first seen


class Counts:
    """Counts what this process did, as it happens."""

    name = "the metrics"

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self.rotations: Counter[tuple[str, str]] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter(
            {(step, result): 0 for step in _STEPS for result in _RESULTS}
        )
        self._seconds = Histogram(
            f"{PREFIX}{DURATIONS.name}",
            DURATIONS.text,
            DURATIONS.labels,
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

    def add_to(self, families: Families, playbooks: Iterable[str]) -> None:
        with self._lock:
            ended, attempts = dict(self.rotations), dict(self.attempts)
        for name in playbooks:
            for outcome in map(str, Outcome):
                families["rotations"].add_metric([name, outcome], ended.get((name, outcome), 0))
        for (step, result), number in sorted(attempts.items()):
            families["attempts"].add_metric([step, result], number)


class Metrics(Collector):
    """Read from the journal at each scrape; the counters are this process's own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._registry = CollectorRegistry()
        self._books = _Books()
        self.counts = Counts(self._registry)
        self._registry.register(self)

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is asked when it is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        families = {one.name: one.empty() for one in FAMILIES if one.kind is not Kind.HISTOGRAM}
        now = self._loop.runtime.clock.now()
        books = self._books.of(self._loop.reloads.last.loaded, now)
        self._of_process(families)
        self.counts.add_to(families, books)
        try:
            journal = self._loop.runtime.journal
            with journal.database.read() as connection:
                found = _Found(
                    measures.read(connection),
                    killed.names(connection),
                    pauses.standing(connection, now),
                    not checkpoint.standing(connection, journal),
                    notices.outstanding(connection),
                    nodes.load(connection, now),
                    self._without_node(connection, books, now),
                )
                under_way = unfinished.at_all(connection)
                present = self._loop.runtime.fleet.present(connection, now)
            left = {name: books[name][0] for name in sorted(under_way & books.keys())}
            found.without_node.extend(self._begun_nowhere(left, present, found.without_node))
        except JournalError:
            _put(families, "journal_up", False)
            yield from _of(families, Source.PROCESS)
            return
        _put(families, "journal_up", True)
        _of_keys(families, found, books, now)
        _of_unfinished(families, found, books)
        _of_journal(families, found)
        _of_notices(families, found, self._channels(books))
        _of_nodes(families, found, books)
        yield from _of(families, *Source)

    def _channels(self, books: Books) -> list[str]:
        """All that are told, by name."""
        own = [one.name for book, _ in books.values() for one in book.channels]
        return [*self._loop.runtime.settings.notify, *own]

    def _begun_nowhere(
        self, books: Mapping[str, Playbook], present: Present, known: Sequence[str]
    ) -> list[str]:
        """And those of which nothing that was begun goes on, by whatever text that was."""
        asked = self._loop.runtime.begun_nowhere
        left = ((name, book) for name, book in books.items() if name not in known)
        return [name for name, book in left if asked(name, book, present) is not None]

    def _without_node(self, connection: Connection, books: Books, now: float) -> list[str]:
        """Playbooks on which no node that is alive may work."""
        fleet = self._loop.runtime.fleet
        present, newest = fleet.present(connection, now), fleet.newest(connection)
        return [
            name
            for name, (book, _) in books.items()
            if placing.nowhere(connection, present, name, book, newest) is not None
        ]

    def _of_process(self, families: Families) -> None:
        last = self._loop.reloads.last
        families["build_info"].add_metric([__version__], 1)
        _put(families, "playbooks", len(last.loaded.playbooks))
        _put(families, "playbook_mistakes", len(last.mistakes))
        _put(families, "config_last_reload_successful", last.good)
        _put(families, "config_last_reload_success_timestamp_seconds", last.good_at)
        _put(families, "under_way", self._loop.under_way)
        if self._loop.ticked is not None:
            _put(families, "last_tick_timestamp_seconds", self._loop.ticked)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one scrape read of the journal."""

    measures: Measures
    without: set[str]  # whose key in force was killed
    pauses: Sequence[Pause]
    intact: bool
    notices: Mapping[str, Outstanding]
    nodes: Sequence[Node]
    without_node: list[str]


class _Books:
    """Playbooks with the moment in which this process first saw them.

    One whose file has a mistake is told by its last good version: an alert about its key must not
    clear because somebody broke its file. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._known: Books = {}

    def of(self, loaded: Loaded, now: float) -> Books:
        with self._lock:
            if loaded is not self._loaded:
                self._loaded, self._known = loaded, self._with(loaded, now)
            return self._known

    def _with(self, loaded: Loaded, now: float) -> Books:
        broken = {Path(one.file).absolute() for one in (*loaded.mistakes, *loaded.following)}
        kept = {
            name: known
            for name, known in self._known.items()
            if not broken.isdisjoint((path := Path(known[0].file).absolute(), path.parent))
        }
        today = {
            name: (book, self._known[name][1] if name in self._known else now)
            for name, book in loaded.playbooks.items()
        }
        return {**kept, **today}


def _of_keys(families: Families, found: _Found, books: Books, now: float) -> None:
    keys = {one.playbook: one for one in found.measures.keys}
    for name, (book, seen) in books.items():
        key = keys.get(name) or KeyTimes(name)
        for family, at in times(key, book, seen):
            families[family].add_metric([name], at)
        if due := put_off(key, book, seen, now):
            labels = [name, due.why, due.blackout]
            families["put_off_until_timestamp_seconds"].add_metric(labels, due.begins)
        pause = pauses.covering(found.pauses, name, book.shape.tags)
        if pause is not None:
            families["pause_ends_timestamp_seconds"].add_metric([name], pause.until)


def _of_unfinished(families: Families, found: _Found, books: Books) -> None:
    measured = found.measures
    for one in measured.running:
        if one.playbook in books:
            families["rotation_began_timestamp_seconds"].add_metric([one.playbook], one.began)
    for family, moments in (
        ("verify_failing_timestamp_seconds", measured.failing),
        ("failing_after_revoke_timestamp_seconds", measured.failing_after),
        ("old_key_in_use_timestamp_seconds", measured.in_use),
    ):
        for name, at in _first(moments).items():
            if name in books:
                families[family].add_metric([name], at)
    # A probe that fails in a watch has a metric of its own: the watch ends by itself.
    standing = {one.playbook for one in measured.running if one.attention}
    standing |= {
        one.playbook for one in measured.owed if one.attention and one.phase != DebtPhase.WATCH
    }
    for name in sorted(books.keys() | standing | found.without):
        stands = name in standing or name in found.without
        families["needs_attention"].add_metric([name], stands)


def _of_nodes(families: Families, found: _Found, books: Books) -> None:
    for name in found.without_node:
        families["playbook_without_node"].add_metric([name], 1)
    for name in nodes.differing(found.nodes):
        if name in books:
            families["playbook_texts_differ"].add_metric([name], 1)
    seen: dict[tuple[str, str], float] = {}
    for node in found.nodes:
        labels = (node.name, node.version)
        seen[labels] = max(node.seen, seen.get(labels, 0.0))
    for labels, at in sorted(seen.items()):
        families["node_last_seen_timestamp_seconds"].add_metric(labels, at)


def _first(moments: Iterable[Since]) -> dict[str, float]:
    """Of each playbook, the earliest."""
    found: dict[str, float] = {}
    for one in moments:
        found[one.playbook] = min(one.at, found.get(one.playbook, one.at))
    return found


def _of_journal(families: Families, found: _Found) -> None:
    measured = found.measures
    for phase, number in sorted(Counter(one.phase for one in measured.running).items()):
        families["rotations_under_way"].add_metric([phase], number)
    alive = (one.phase for one in measured.owed if one.phase not in DEAD_PHASES)
    for phase, number in sorted(Counter(alive).items()):
        families["revocations_outstanding"].add_metric([phase], number)
    _put(families, "journal_unread_playbooks", len(measured.unread))
    _put(families, "audit_records", measured.records)
    _put(families, "audit_intact", found.intact)
    if measured.signed_at is not None:
        _put(families, "audit_last_checkpoint_timestamp_seconds", measured.signed_at)


def _of_notices(families: Families, found: _Found, channels: Iterable[str]) -> None:
    for name in sorted({*channels, *found.notices}):
        left = found.notices.get(name, Outstanding(name))
        families["notices_waiting"].add_metric([name], left.waiting)
        families["notices_given_up"].add_metric([name], left.given_up)
        if left.since is not None:
            families["notices_waiting_since_timestamp_seconds"].add_metric([name], left.since)


def _put(families: Families, name: str, value: float) -> None:
    families[name].add_metric([], float(value))


def _of(families: Families, *sources: Source) -> Iterator[Metric]:
    for one in FAMILIES:
        if one.source in sources and one.name in families:
            yield families[one.name]
