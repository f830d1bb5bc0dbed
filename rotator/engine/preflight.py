"""Everything that can be known to fail is found before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, partial

from rotator.core.action import Ready
from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.engine import baseline, identity
from rotator.engine.copied import copied
from rotator.engine.exposed import exposed
from rotator.engine.identity import Listing
from rotator.engine.mounted import mounted
from rotator.errors import (
    OutcomeUnknown,
    PermanentError,
    PluginError,
    RefusedError,
    RotatorError,
    TransientError,
)
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, Level, Overlap, Recovery
from rotator.playbook.playbook import Playbook, StoreEntry
from rotator.plugin import UNFORESEEN, Fitting, Foreseen, Inheriting
from rotator.secret import Secret

Part = Callable[[], Sequence[Finding]]


class Urgency(Enum):
    """A leaked key is not held up by findings about consumers; one that must die at once, not by
    any.
    """

    NONE = "none"
    LEAKED = "leaked"
    AT_ONCE = "at once"


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight found: findings for people, what the saga needs, and the old credential to be
    sealed.
    """

    ready: Ready
    findings: tuple[Finding, ...]
    old: Credential | None


def _parts(playbook: Playbook, making: bool, urgency: Urgency) -> Iterator[Part]:
    """Each part's own words, to be asked one by one: what one of them raises hides no other."""
    if making:
        yield partial(_of_provider, playbook)
    for store in playbook.stores:
        yield partial(_of_part, store.store, urgency is Urgency.AT_ONCE)
        if making:
            yield partial(_fits, playbook, store, urgency is not Urgency.NONE)
    for consumer in playbook.consumers:
        yield partial(
            _of_part, consumer.restarter, consumer.allow_unhealthy or urgency is not Urgency.NONE
        )
    for probe in playbook.probes:
        if isinstance(probe, Foreseen):
            yield partial(_of_part, probe, urgency is Urgency.AT_ONCE)
    yield partial(exposed, playbook)
    yield partial(copied, playbook)
    yield lambda: _excused(mounted(playbook), urgency is not Urgency.NONE)


def _of_part(part: Foreseen, excused: bool) -> list[Finding]:
    return _excused(part.preflight(), excused)


def _of_provider(playbook: Playbook) -> list[Finding]:
    said = playbook.provider.preflight()
    found = [Finding(f.level, f"{playbook.provider_name}: {f.text}", f.hint) for f in said]
    if playbook.provider.overlap is Overlap.NONE and not playbook.shape.allow_downtime:
        text = "a new key kills the old one at once: consumers fail until they restart"
        found.append(Finding(Level.ERROR, text, "accept that with `allow_downtime: true`"))
    return found


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
    except PermanentError:  # no key fits: told when it is read
        return []
    try:
        store.fits([_sample(playbook, sample) for sample in samples])
    except PermanentError as error:
        text = f"a new key may hold any of {odd}: {error.message}"
        return _excused([Finding(Level.ERROR, text, error.hint)], excused)
    return []


def _sample(playbook: Playbook, text: str) -> Credential:
    return Credential({field: Secret(text) for field in playbook.provider.fields})


def _excused(findings: Sequence[Finding], excused: bool) -> list[Finding]:
    """Errors become words."""
    if not excused:
        return list(findings)
    return [
        Finding(Level.WARNING if f.level is Level.ERROR else f.level, f.text, f.hint)
        for f in findings
    ]


def check(
    journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]
) -> Checked:
    """Raises RefusedError with all that is wrong (nothing was changed), or what asks to be tried
    again later.
    """
    for entry in playbook.stores:
        entry.store.tidy("")
    seen = _see(journal, playbook, rotation, debts)
    if seen.later is not None:
        raise seen.later
    wrong = [finding for finding in seen.findings if finding.level is Level.ERROR]
    if wrong or seen.checked is None:
        raise RefusedError("; ".join(finding.text for finding in wrong), wrong[0].hint)
    return seen.checked


@dataclass(frozen=True, slots=True)
class Examined:
    """What a rotation that began now would find, and be told.

    `key` is the one in force, None where there is none.
    """

    findings: tuple[Finding, ...]
    key: Key | None = None
    known: bool = False  # whether it could be told which key is in force
    # The phase of the rotation that is under way: none would begin, and that one is carried on
    running: str = ""
    coming: Key | None = None  # the new key that it has made


def examine(
    journal: Journal,
    playbook: Playbook,
    now: float,
    compromised: bool = False,
    revoke_first: bool = False,
) -> Examined:
    """The very preflight of a rotation, with everything that it finds.

    Changes nothing, raises no plugin's error.
    """
    with journal.database.read() as connection:
        case = cases.load(connection, playbook.name)
    running = case.rotation
    if (
        running is not None and running.phase is not Phase.ENDED
    ):  # stores and consumers hold what it left so far
        found, _ = _said(_parts(playbook, True, Urgency.NONE))
        return Examined(tuple(found), running.old, running=str(running.phase), coming=running.new)
    rotation = Rotation(
        "",
        playbook.name,
        playbook.plan,
        now=now,
        compromised=compromised,
        revoke_first=revoke_first,
    )
    seen = _see(journal, playbook, rotation, case.debts)
    if seen.checked is None:
        return Examined(seen.findings)
    wait = seen.checked.ready.wait
    waits = (Finding(Level.WARNING, f"it would wait: {wait}"),) if wait else ()
    return Examined((*seen.findings, *waits), seen.checked.ready.old, True)


@dataclass(frozen=True, slots=True)
class _Seen:
    """`later` is what a part raised that only does not answer now; without `checked` nobody knows
    what is in force.
    """

    findings: tuple[Finding, ...]
    checked: Checked | None
    later: PluginError | None


def _see(journal: Journal, playbook: Playbook, rotation: Rotation, debts: Sequence[Debt]) -> _Seen:
    """Everything that can be known to fail, all of it."""
    listing = cache(playbook.provider.inventory)  # asked for once, where anything asks for it
    findings, later = _said(_parts(playbook, not rotation.back, _urgency(rotation)))
    if journal.sealer is None and not rotation.back:
        findings.append(
            Finding(
                Level.ERROR,
                "there is no sealing key",
                "`rotator db check` says where it is looked for",
            )
        )
    kept: list[Checked] = []

    def measure() -> list[Finding]:
        measured = _measure(journal, playbook, rotation, listing)
        key = measured.key
        by_label = playbook.provider.recovery is Recovery.LABEL and not rotation.back
        ready = Ready(
            key,
            measured.dead,
            measured.versions,
            _superseded(journal, playbook, key, debts, listing),
            "" if rotation.back else _wait(playbook, key, debts, listing),
            tuple(record.id for record in listing()) if by_label else (),
            measured.shown,
        )
        kept.append(Checked(ready, (*findings, *measured.findings), measured.old))
        return list(measured.findings)

    more, later_too = _said([measure])
    told = {finding.text for finding in findings}
    every = (*findings, *(finding for finding in more if finding.text not in told))
    return _Seen(every, kept[0] if kept else None, later or later_too)


def _said(parts: Iterable[Part]) -> tuple[list[Finding], PluginError | None]:
    """What each part found; what it raised is an error among them.

    The first that asks to be tried again later.
    """
    found: list[Finding] = []
    later: PluginError | None = None
    for part in parts:
        try:
            found += part()
        except (TransientError, OutcomeUnknown) as error:
            later = later or error
            found.append(Finding(Level.ERROR, error.message, error.hint))
        except (RotatorError, *UNFORESEEN) as error:
            found.append(Finding(Level.ERROR, *_words(error)))
    return found, later


def _words(error: Exception) -> tuple[str, str]:
    if isinstance(error, RotatorError):
        return error.message, error.hint
    if isinstance(error, OSError):
        return str(error), ""
    return (
        f"a plugin failed in a way that it did not foresee: {type(error).__name__}: {error}",
        "please report it",
    )


def _urgency(rotation: Rotation) -> Urgency:
    if rotation.revoke_first:
        return Urgency.AT_ONCE
    return Urgency.LEAKED if rotation.compromised else Urgency.NONE


@dataclass(frozen=True, slots=True)
class _Measured:
    """The key that stores and consumers hold, and its value where it is known."""

    key: Key | None
    old: Credential | None
    dead: bool
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]
    shown: tuple[str, ...]  # by consumers, that is not this key


def _measure(
    journal: Journal, playbook: Playbook, rotation: Rotation, listing: Listing
) -> _Measured:
    """The baseline: one key, in every store and consumer, and it is known which.

    Raises RefusedError.
    """
    urgency = _urgency(rotation)
    leaked = urgency is not Urgency.NONE
    stores = baseline.read(journal, playbook, rotation.now, leaked)
    fingerprint = baseline.fingerprint(
        playbook, stores, fill_all=urgency is Urgency.AT_ONCE, lost=leaked
    )
    findings: list[Finding] = []
    if (
        playbook.provider.can_list and not rotation.back
    ):  # the way back needs nothing of the provider's list
        findings = identity.unknown_to_the_journal(journal, playbook, listing())
    held = stores.holding(fingerprint)
    old = playbook.credential_in(held) if held else _sealed(journal, playbook, stores.current)
    key, dead = stores.current, False
    if old is not None and old.values:
        key, taken = identity.identify(journal, playbook, old, rotation.now, listing, leaked)
        old, dead = (
            replace(old, id=key.id, hint=key.hint, spelled=stores.spelled(fingerprint)),
            taken is False,
        )
    if dead:
        findings.append(
            Finding(Level.WARNING, f"the provider refuses {key}: there is no way back to it")
        )
    if key is not None and not rotation.back:
        findings += _inherited(playbook, key, listing)
    if leaked and key is not None:
        findings += identity.shared(journal, playbook, key)
    consumers = baseline.consumers(journal, playbook, stores, key, old)
    findings += _excused(consumers.findings, rotation.back or leaked)
    known = old if old and old.values else None
    return _Measured(key, known, dead, stores.versions, tuple(findings), consumers.others)


def _inherited(playbook: Playbook, key: Key, listing: Listing) -> list[Finding]:
    """What the new key will have of this one, and what it will not."""
    if not (playbook.provider.can_list and isinstance(playbook.provider, Inheriting)):
        return []
    old = next((record for record in listing() if key.id and record.id == key.id), None)
    said = playbook.provider.inherits(old)
    return [Finding(f.level, f"{playbook.provider_name}: {f.text}", f.hint) for f in said]


def _sealed(journal: Journal, playbook: Playbook, current: Key | None) -> Credential | None:
    """The journal's current key, where no store shows one."""
    if current is None:
        return None
    with journal.database.read() as connection:
        sealed = credentials.value_of(connection, journal.sealer, playbook.name, current)
    return sealed or Credential({}, current.id, current.hint)


def _superseded(
    journal: Journal, playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing
) -> tuple[Key, ...]:
    """The key that this journal believed in, if the stores hold another one of ours by now."""
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
    if (
        current is None
        or key is None
        or current.same(key)
        or any(debt.key.same(current) for debt in debts)
    ):
        return ()
    if playbook.provider.can_list and current.id not in {record.id for record in listing()}:
        return ()
    return (current,)


def _wait(playbook: Playbook, key: Key | None, debts: Sequence[Debt], listing: Listing) -> str:
    """Why a key cannot be made yet, though it soon can.

    Raises RefusedError where only a person can make room.
    """
    blocking = [
        debt
        for debt in debts
        if debt.open and debt.phase not in DEAD_PHASES and not debt.key.same(key)
    ]
    blocking = [
        debt for debt in blocking if debt.key.id or debt.key.fingerprint
    ]  # else it may not even exist
    if playbook.provider.overlap is Overlap.TWO_SLOTS:
        return f"the idle slot still holds {blocking[0].key}" if blocking else ""
    quota = playbook.provider.quota
    if not quota or not playbook.provider.can_list:
        return ""
    records = listing()
    if len(records) < quota:
        return ""
    if blocking:
        return f"{len(records)} of {quota} keys exist, and {blocking[0].key} is still to be revoked"
    others = ", ".join(
        identity.told(record) for record in records if key is None or record.id != key.id
    )
    raise RefusedError(
        f"{len(records)} of {quota} keys exist, and rotator made none of the others: {others}",
        "delete one that nobody needs, or `rotator adopt` the playbook that it belongs to",
    )
