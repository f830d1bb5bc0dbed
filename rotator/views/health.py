"""What would hinder a rotation, or has gone wrong unseen. Reads everything, changes nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path

from rotator import trust
from rotator.audit import checkpoint, outside
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase
from rotator.engine import preflight
from rotator.errors import RotatorError
from rotator.journal import cases, killed
from rotator.journal.database import Database
from rotator.journal.journal import Journal
from rotator.journal.notices import differing
from rotator.model import Level
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry
from rotator.settings import Settings
from rotator.usecases.service import Service
from rotator.views import nodes, notices
from rotator.views.callers import Callers, callers
from rotator.views.nodes import NodeStatus
from rotator.views.notices import ChannelStatus
from rotator.views.status import status_of

_ROOM = 50_000_000  # bytes that should be free where the journal is


class Check(StrEnum):
    """What was looked at."""

    MISTAKE = auto()  # in a playbook's file
    FOREIGN_PLACE = auto()  # somebody else may write where our files are
    JOURNAL = auto()
    SEALING_KEY = auto()
    AUDIT = auto()  # whether the log is the one that was signed
    AUDIT_EXPORT = auto()
    DISK = auto()
    CALLED = auto()  # who calls `rotate --due`
    PLUGINS = auto()
    PASSED_OVER = auto()  # a package's plugin that no playbook can mean
    WITHOUT_KEY = auto()  # the key in force was killed, and there is no other
    ROTATION_STUCK = auto()
    NOT_REVOKED = auto()  # an old key, and it needs attention
    KEY_GONE = auto()  # the key in force, at its provider
    CHANNEL = auto()  # whether it could send
    NOT_SENT = auto()  # notices of a channel
    ELSEWHERE = auto()  # another node works on this playbook, or none does
    NODES = auto()  # the daemons, where there are several
    PREFLIGHT = auto()  # a finding of the preflight
    NOTHING_HINDERS = auto()  # a rotation of this playbook


@dataclass(frozen=True, slots=True)
class Checked:
    """`subject`: a playbook, a mistake's place, or a part of rotator. `detail` and `hint` are in
    the words of others: an error's, a finding's.
    """

    check: Check
    subject: str
    ok: bool
    detail: str = ""
    hint: str = ""
    number: int = 0  # bytes that are free, checkpoints that were not taken
    place: Path | None = None
    key: Key | None = None
    debt: Debt | None = None
    plugins: tuple[tuple[str, int], ...] = ()  # of each kind, how many
    callers: Callers | None = None
    channel: ChannelStatus | None = None
    nodes: tuple[NodeStatus, ...] = ()


def health(service: Service) -> Iterator[Checked]:
    """One after the other, as it is seen: providers and stores are asked.

    Without a journal nothing of the playbooks is.
    """
    loaded = service.playbooks()
    for mistake in loaded.mistakes:
        yield Checked(Check.MISTAKE, mistake.place, False, mistake.text, mistake.hint)
    yield from _places(service.settings)
    try:
        journal = service.journal
    except RotatorError as error:
        yield Checked(Check.JOURNAL, "journal", False, error.message, error.hint)
        return
    yield Checked(Check.JOURNAL, "journal", True, journal.database.where)
    yield _sealing_key(journal)
    yield from _audit(service)
    free = shutil.disk_usage(service.settings.home).free
    yield Checked(Check.DISK, "disk", free > _ROOM, number=free)
    yield _called(service)
    yield from _nodes(service)
    yield from _plugins(service)
    yield from _channels(service)
    yield from _without_key(journal)
    for name, playbook in sorted(loaded.playbooks.items()):
        yield from _playbook(service, name, playbook, loaded)


def _nodes(service: Service) -> Iterator[Checked]:
    with service.journal.database.read() as connection:
        found = nodes.read(connection, service.clock.now())
        channels = differing(connection, service.clock.now())
    if len(found) > 1:
        agree = not channels and not any(one.differs for one in found)
        yield Checked(Check.NODES, "nodes", agree, ", ".join(channels), nodes=found)


def _places(settings: Settings) -> Iterator[Checked]:
    """Whoever may write there may put another journal, or a sealing key that they know, in the
    place of ours. A group without a name is a pod's own, of its volume.
    """
    places = {
        "home": settings.home,
        "journal": _journal_file(settings),
        "sealing key": settings.key.file,
    }
    for subject, place in places.items():
        why = trust.foreign(place, unnamed_groups=False) if place is not None else ""
        if why:
            yield Checked(Check.FOREIGN_PLACE, subject, False, why, place=place)


def _journal_file(settings: Settings) -> Path | None:
    """None where the journal is no file; what is wrong with its address is said of the journal."""
    try:
        return Database(settings.url).path
    except RotatorError:
        return None


def _sealing_key(journal: Journal) -> Checked:
    sealed = journal.sealer is not None
    detail = "" if sealed else journal.no_key.message
    return Checked(Check.SEALING_KEY, "sealing key", sealed, detail, journal.no_key.hint)


def _audit(service: Service) -> Iterator[Checked]:
    exported = bool(service.settings.audit_export)
    with service.journal.database.read() as connection:
        wrong = checkpoint.standing(connection, service.journal)
        behind = outside.behind(connection) if exported else 0
    yield Checked(Check.AUDIT, "audit", not wrong, wrong)
    if exported:
        yield Checked(Check.AUDIT_EXPORT, "audit_export", not behind, number=behind)


def _called(service: Service) -> Checked:
    found = callers(service)
    return Checked(Check.CALLED, "schedules", not (found.nobody or found.silent), callers=found)


def _plugins(service: Service) -> Iterator[Checked]:
    registry = Registry(service.directory.paths)
    counts = tuple((kind, len(registry.names(kind))) for kind in ("provider", "store"))
    yield Checked(Check.PLUGINS, "plugins", True, plugins=counts)
    for mistake in registry.passed_over():
        yield Checked(Check.PASSED_OVER, mistake.place, False, mistake.text, mistake.hint)


def _channels(service: Service) -> Iterator[Checked]:
    for one in notices.status(service):
        wrong = notices.unusable(one.entry) if one.entry is not None else None
        if wrong is not None:
            yield Checked(Check.CHANNEL, one.name, False, wrong.message, wrong.hint)
        else:
            yield Checked(Check.NOT_SENT, one.name, one.well, channel=one)


def _without_key(journal: Journal) -> Iterator[Checked]:
    with journal.database.read() as connection:
        keys = {
            name: killed.in_force(connection, name) for name in sorted(killed.names(connection))
        }
    for name, key in keys.items():
        yield Checked(Check.WITHOUT_KEY, name, False, key=key)


def _playbook(service: Service, name: str, playbook: Playbook, loaded: Loaded) -> Iterator[Checked]:
    with service.journal.database.read() as connection:
        case, current = cases.load(connection, name), cases.current_key(connection, name)
    if case.rotation is not None and case.rotation.phase is Phase.STUCK:
        yield Checked(Check.ROTATION_STUCK, name, False, case.rotation.question)
    for debt in case.debts:
        if debt.attention:
            yield Checked(Check.NOT_REVOKED, name, False, debt=debt)
    if (away := service.elsewhere(name, loaded)) is not None:
        somewhere = status_of(service, name, playbook).elsewhere is None
        told = away.refusal(name, service.fleet.node)
        yield Checked(Check.ELSEWHERE, name, somewhere, told.message, told.hint)
        return
    findings = preflight.examine(service.journal, playbook, service.clock.now()).findings
    if _is_gone(playbook, current):
        yield Checked(Check.KEY_GONE, name, False, key=current)
    for finding in findings:
        ok = finding.level is Level.OK
        yield Checked(Check.PREFLIGHT, name, ok, finding.text, finding.hint)
    if not findings:
        yield Checked(Check.NOTHING_HINDERS, name, True)


def _is_gone(playbook: Playbook, current: Key | None) -> bool:
    """Whether its provider lists the key in force no more. What keeps the list from being had is
    among the preflight's findings.
    """
    if current is None or not current.id or not playbook.provider.can_list:
        return False
    with contextlib.suppress(RotatorError):
        return current.id not in {record.id for record in playbook.provider.inventory()}
    return False
