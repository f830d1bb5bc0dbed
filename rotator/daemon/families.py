"""The metrics by name: what each says, and by which labels. docs/metrics.md is made from these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

PREFIX = "rotator_"


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Whom a metric is about, and so when it is there."""

    PROCESS = "the process"  # always, and since its start alone
    PLAYBOOK = "each playbook"  # from the journal: all daemons of one journal tell the same
    JOURNAL = "the journal"


@dataclass(frozen=True, slots=True)
class Family:
    """`name` is without the prefix and, of a counter, without `_total`."""

    name: str
    text: str
    source: Source
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE

    @property
    def series(self) -> str:
        """As it stands in the answer, and in queries."""
        return f"{PREFIX}{self.name}{'_total' * (self.kind is Kind.COUNTER)}"

    def empty(self) -> GaugeMetricFamily | CounterMetricFamily:
        made = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        return made(f"{PREFIX}{self.name}", self.text, labels=self.labels)


_P, _B, _J = Source.PROCESS, Source.PLAYBOOK, Source.JOURNAL
_NAME = ("playbook",)
DURATIONS = Family(
    "step_duration_seconds", "How long the calls of a step took.", _P, ("step",), Kind.HISTOGRAM
)
FAMILIES = (
    Family("build_info", "Which version runs.", _P, ("version",)),
    Family("last_tick_timestamp_seconds", "When it last looked what is due.", _P),
    Family("under_way", "Playbooks that are worked on.", _P),
    Family("playbooks", "Playbooks that load.", _P),
    Family("playbook_mistakes", "Mistakes in files of playbooks.", _P),
    Family("config_last_reload_successful", "1: all that a start would read is right.", _P),
    Family(
        "config_last_reload_success_timestamp_seconds",
        "When all that a start would read last was right.",
        _P,
    ),
    Family("journal_up", "1: the journal can be read.", _P),
    Family("attempts", "Calls that ended.", _P, ("step", "result"), Kind.COUNTER),
    DURATIONS,
    Family("rotations", "Rotations that ended.", _P, ("playbook", "outcome"), Kind.COUNTER),
    Family(
        "key_last_rotation_timestamp_seconds", "When the key in force was brought out.", _B, _NAME
    ),
    Family("key_next_due_timestamp_seconds", "From when on a timer rotates it.", _B, _NAME),
    Family(
        "key_overdue_timestamp_seconds",
        "From when on it is overdue if it was not rotated.",
        _B,
        _NAME,
    ),
    Family(
        "key_expires_timestamp_seconds",
        "When the key in force ends, where its provider says so.",
        _B,
        _NAME,
    ),
    Family(
        "rotation_began_timestamp_seconds",
        "When the rotation that is under way began; no series where none is.",
        _B,
        _NAME,
    ),
    Family(
        "rotation_retry_timestamp_seconds",
        "When it is tried again after a failure; no series where the last rotation did not fail.",
        _B,
        _NAME,
    ),
    Family(
        "put_off_until_timestamp_seconds",
        "Due, it does not begin before that, for this reason, by the blackout of this name; no"
        " series where nothing puts it off. 4e9: nobody knows.",
        _B,
        ("playbook", "reason", "blackout"),
    ),
    Family(
        "verify_failing_timestamp_seconds",
        "When the verification, or the watch after a revocation, began in which a probe fails; no"
        " series where none fails.",
        _B,
        _NAME,
    ),
    Family(
        "failing_after_revoke_timestamp_seconds",
        "When an old key was dead, since whose revocation a probe or the monitor fails; no series"
        " where none fails.",
        _B,
        _NAME,
    ),
    Family(
        "old_key_in_use_timestamp_seconds",
        "When the revocation was planned that waits because its old key is still used or held, or"
        " because nobody can tell; no series where none waits.",
        _B,
        _NAME,
    ),
    Family(
        "pause_ends_timestamp_seconds",
        "Until when a person has paused it; no series where nobody has.",
        _B,
        _NAME,
    ),
    Family(
        "playbook_without_node",
        "1: no node that is alive may work on it; no series where one may.",
        _B,
        _NAME,
    ),
    Family(
        "playbook_texts_differ",
        "1: nodes that are alive have read different texts of it; no series where they agree.",
        _B,
        _NAME,
    ),
    Family("needs_attention", "1: it stands until a person acts.", _B, _NAME),
    Family("rotations_under_way", "Rotations that have not ended.", _J, ("phase",)),
    Family("revocations_outstanding", "Old keys that live.", _J, ("phase",)),
    Family(
        "journal_unread_playbooks",
        "Playbooks of which the journal has a state that a newer rotator wrote: what is told of"
        " them here may be less than there is.",
        _J,
    ),
    Family("notices_waiting", "Notices that were not sent yet.", _J, ("channel",)),
    Family(
        "notices_waiting_since_timestamp_seconds",
        "When the oldest notice happened that was not sent yet; no series where none waits.",
        _J,
        ("channel",),
    ),
    Family(
        "notices_given_up",
        "Notices that were given up since their channel last worked.",
        _J,
        ("channel",),
    ),
    Family(
        "node_last_seen_timestamp_seconds",
        "When a daemon last said that it is alive; no series a week later.",
        _J,
        ("node", "version"),
    ),
    Family("audit_records", "The number of the last audit record.", _J),
    Family(
        "audit_intact",
        "1: the last checkpoint of the audit log is the one that was signed last.",
        _J,
    ),
    Family("audit_last_checkpoint_timestamp_seconds", "When the audit log was last signed.", _J),
)
