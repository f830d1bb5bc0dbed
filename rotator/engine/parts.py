"""What each part of a playbook foresees: provider, stores, consumers, probes, asked one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial

from rotator.core.state import Rotation
from rotator.engine.copied import copied
from rotator.engine.exposed import exposed
from rotator.engine.mounted import mounted
from rotator.errors import (
    JournalError,
    OutcomeUnknown,
    PermanentError,
    PluginError,
    RotatorError,
    TransientError,
)
from rotator.model import Credential, Finding, Level, Overlap
from rotator.playbook.playbook import Playbook, StoreEntry
from rotator.plugin import UNFORESEEN, Fitting, Foreseen
from rotator.plugin.monitor import Monitor
from rotator.secret import Secret

Part = Callable[[], Sequence[Finding]]


class Urgency(Enum):
    """Findings about consumers do not delay the end of a leaked key; no finding delays one that
    must die at once.
    """

    NONE = "none"
    LEAKED = "leaked"
    AT_ONCE = "at once"


def parts_of(playbook: Playbook, making: bool, urgency: Urgency) -> Iterator[Part]:
    """Each part's own words, to be asked one by one: what one of them raises hides no other."""
    if making:
        yield partial(_of_provider, playbook)
    for store in playbook.stores:
        yield partial(_of_part, store.store, urgency is Urgency.AT_ONCE)
        if making:
            yield partial(_fits, playbook, store, urgency is not Urgency.NONE)
            yield partial(_compares, store)
    for consumer in playbook.consumers:
        yield partial(
            _of_part, consumer.restarter, consumer.allow_unhealthy or urgency is not Urgency.NONE
        )
    for probe in playbook.probes:
        if isinstance(probe, Foreseen):
            yield partial(_of_part, probe, urgency is Urgency.AT_ONCE)
    if playbook.monitor is not None:
        yield partial(_of_monitor, playbook.monitor)
    yield partial(exposed, playbook)
    yield partial(copied, playbook)
    yield lambda: lowered(mounted(playbook), urgency is not Urgency.NONE)


def _of_part(part: Foreseen, excused: bool) -> list[Finding]:
    return lowered(part.preflight(), excused)


def _of_monitor(monitor: Monitor) -> list[Finding]:
    try:
        too_much = monitor.reading()
    except TransientError as error:
        text = f"the monitor cannot tell: {error.message}"
        return [Finding(Level.WARNING, text, error.hint)]
    hint = "so it cannot tell later that the old key is missed"
    return [Finding(Level.WARNING, f"already: {too_much}", hint)] if too_much else []


def _of_provider(playbook: Playbook) -> list[Finding]:
    findings = [
        Finding(finding.level, f"{playbook.provider_name}: {finding.text}", finding.hint)
        for finding in playbook.provider.preflight()
    ]
    if playbook.provider.overlap is Overlap.NONE and not playbook.shape.allow_downtime:
        text = "a new key kills the old one at once: consumers fail until they restart"
        findings.append(Finding(Level.ERROR, text, "accept that with `allow_downtime: true`"))
    return findings


def _fits(playbook: Playbook, entry: StoreEntry, excused: bool) -> list[Finding]:
    """An error where the pattern of the provider's keys allows signs that this store cannot write
    for its readers.
    """
    store, signs = entry.store, playbook.provider.signs()
    if entry.follows or not signs or not isinstance(store, Fitting):
        return []
    odd = "".join(sign for sign in signs if not sign.isalnum())
    samples = [f"a{odd}a", *(sample for sign in odd for sample in (f"{sign}a", f"a{sign}"))]
    try:
        store.fits([_sample(playbook, "a1b2c3d4")])
    except PermanentError:  # no key fits: reported when the store is read
        return []
    try:
        store.fits([_sample(playbook, sample) for sample in samples])
    except PermanentError as error:
        text = f"a new key may hold any of {odd}: {error.message}"
        return lowered([Finding(Level.ERROR, text, error.hint)], excused)
    return []


def _compares(entry: StoreEntry) -> list[Finding]:
    """A warning where nothing keeps somebody else from writing in the same moment."""
    if entry.follows or entry.store.compare_and_set:
        return []
    text = (
        f"{entry.name} cannot compare and set: what somebody else writes there between our read"
        " and our write is lost"
    )
    return [Finding(Level.WARNING, text, "one writer only: nobody else while a key is rotated")]


def _sample(playbook: Playbook, text: str) -> Credential:
    return Credential({field: Secret(text) for field in playbook.provider.fields})


def lowered(findings: Sequence[Finding], excused: bool) -> list[Finding]:
    """Where they are `excused`, errors become warnings."""
    if not excused:
        return list(findings)
    return [
        replace(finding, level=Level.WARNING) if finding.level is Level.ERROR else finding
        for finding in findings
    ]


def ask(parts: Iterable[Part]) -> tuple[list[Finding], PluginError | None]:
    """The findings of all parts, what a part raised as an error among them; and the first error
    that asks to be tried again later. Raises JournalError.
    """
    findings: list[Finding] = []
    later: PluginError | None = None
    for part in parts:
        try:
            findings += part()
        except (TransientError, OutcomeUnknown) as error:
            later = later or error
            findings.append(Finding(Level.ERROR, error.message, error.hint))
        except JournalError:
            raise  # the journal is away, which says nothing of the part
        except (RotatorError, *UNFORESEEN) as error:
            findings.append(Finding(Level.ERROR, *_words(error)))
    return findings, later


def _words(error: Exception) -> tuple[str, str]:
    if isinstance(error, RotatorError):
        return error.message, error.hint
    if isinstance(error, OSError):
        return str(error), ""
    return (
        f"a plugin failed in a way that it did not foresee: {type(error).__name__}: {error}",
        "please report it",
    )


def urgency_of(rotation: Rotation) -> Urgency:
    """By what was ordered for this rotation."""
    if rotation.revoke_first:
        return Urgency.AT_ONCE
    return Urgency.LEAKED if rotation.compromised else Urgency.NONE
