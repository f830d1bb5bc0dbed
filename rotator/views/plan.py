"""What a rotation would do, and what its preflight finds now. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rotator.core.plan import Key
from rotator.engine import incident, preflight
from rotator.engine.preflight import Examined
from rotator.errors import RotatorError
from rotator.journal import cases
from rotator.model import Finding, Level
from rotator.playbook.directory import Loaded
from rotator.playbook.places import meant
from rotator.playbook.playbook import Playbook
from rotator.usecases.leaked import owner
from rotator.usecases.service import Service
from rotator.views import notices


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: `rotate` with the same options, but without `--dry-run`."""

    compromised: bool = False
    revoke_first: bool = False
    key: str = ""  # with revoke_first: the id of the one key that leaked


@dataclass(frozen=True, slots=True)
class Dying:
    """What `--revoke-first` would kill. `refused` says why nothing would be."""

    keys: tuple[Key, ...] = ()
    replaced: bool = True  # else no key of these is in force, and nothing else is done
    refused: RotatorError | None = None


@dataclass(frozen=True, slots=True)
class PlannedRotation:
    """What would happen to one playbook. `name` was asked for; another playbook may own the key."""

    name: str
    asked: Asked
    playbook: Playbook
    gone: bool  # its file is: this is the last version that the journal knows
    seen: Examined
    dying: Dying
    offline: bool = False  # nobody was asked: `seen` is empty

    @property
    def refused(self) -> bool:
        """Whether it would end before any change."""
        wrong = any(finding.level is Level.ERROR for finding in self.seen.findings)
        return wrong or self.dying.refused is not None

    @property
    def paths(self) -> dict[str, str]:
        """Relative paths of the playbook, with what they mean."""
        return dict(meant(self.playbook.written, self.playbook.definition))

    @property
    def grace(self) -> float:
        """Seconds; as `quiet` and `soak`."""
        return 0.0 if self.asked.compromised else self.playbook.shape.revoke.grace

    @property
    def quiet(self) -> float:
        return 0.0 if self.asked.compromised else self.playbook.shape.revoke.quiet

    @property
    def soak(self) -> float:
        return self.playbook.shape.revoke.soak if self.playbook.plan.can_deactivate else 0.0


def plan(service: Service, name: str, asked: Asked, loaded: Loaded) -> PlannedRotation:
    """With everything that the very preflight of a rotation finds.

    Raises ConfigError for a name that nobody knows.
    """
    owned_by = owner(service, name, asked.key, loaded) if asked.key else name
    playbook = loaded.playbooks.get(owned_by)
    gone = playbook is None and asked.revoke_first and _known(service, owned_by)
    if playbook is None:
        playbook = service.last_known(owned_by) if gone else loaded.get(owned_by)
    now = service.clock.now()
    away = service.elsewhere(owned_by, loaded)
    if away is not None:  # what stands there is not asked here
        refused = away.refusal(owned_by, service.fleet.node)
        seen = Examined((Finding(Level.ERROR, refused.message, refused.hint),))
    else:
        leaked, first = asked.compromised, asked.revoke_first
        seen = preflight.examine(service.journal, playbook, now, leaked, first)
        seen = replace(seen, findings=(*seen.findings, *_channels(service, owned_by)))
    dying = Dying()
    if asked.revoke_first:
        dying = _dying(service, playbook, asked.key, away is not None)
    return PlannedRotation(name, asked, playbook, gone, seen, dying)


def unasked(playbook: Playbook) -> PlannedRotation:
    """What the playbook alone says: no journal, no provider, no store was asked."""
    name = playbook.name
    return PlannedRotation(name, Asked(), playbook, False, Examined(()), Dying(), offline=True)


def _channels(service: Service, name: str) -> Iterator[Finding]:
    """A rotation is not held up by these."""
    for entry in service.addressees().of(name):
        wrong = notices.unusable(entry)
        if wrong is not None:
            text = f"nobody would be told by {entry.name}: {wrong.message}"
            yield Finding(Level.WARNING, text, wrong.hint)


def _known(service: Service, name: str) -> bool:
    """Whether a leaked key of it can die by the last version that the journal knows."""
    with service.journal.database.read() as connection:
        return cases.playbook_row(connection, name) is not None


def _dying(service: Service, playbook: Playbook, key: str, away: bool) -> Dying:
    with service.journal.database.read() as connection:
        case = replace(cases.load(connection, playbook.name), away=away)
    now = service.clock.now()
    try:
        keys = incident.targets(service.journal, playbook, case, key, now)
    except RotatorError as error:
        return Dying(refused=error)
    return Dying(keys, incident.replaces(service.journal, playbook, case, key, keys, now))
