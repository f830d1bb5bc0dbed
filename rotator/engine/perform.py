"""Performing one call of the saga on the real plugins, and telling the result as the saga knows
results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rotator import deadline
from rotator.core.action import (
    Call,
    Done,
    Failed,
    Later,
    Op,
    Read,
    Swept,
    Unknown,
    Written,
)
from rotator.core.debt_state import Debt, Proof
from rotator.core.look import Facts, showing
from rotator.core.plan import Key
from rotator.core.state import Cause, Rotation
from rotator.counting import count
from rotator.engine import diagnosis, facts, preflight, recovery
from rotator.engine.clock import Clock
from rotator.engine.orphans import find_orphans
from rotator.engine.performed import Performed, failure
from rotator.errors import (
    LeaseLost,
    PermanentError,
    PluginError,
    Rejected,
    RotatorError,
    Unsupported,
)
from rotator.journal import cases, credentials
from rotator.journal.cases import Case
from rotator.journal.journal import Journal
from rotator.model import Change, Credential, Evidence, Label, Note, NotYet, Recovery
from rotator.playbook.playbook import Playbook
from rotator.plugin import UNFORESEEN, Fitting, Nudged, Probe
from rotator.secret import Secret
from rotator.shown import tidy

_TOLD = 8  # findings in the line of the step
# Seconds until probes are asked again that nothing can answer before a new key is out
_NO_NEW_KEY = 30.0


@dataclass
class Performer:
    """Calls of one playbook.

    `then` is the playbook of the unit that acts, `today` the present one.
    """

    journal: Journal
    clock: Clock
    then: Playbook
    today: Playbook | None
    case: Case
    unit: Rotation | Debt
    seconds_left: Callable[[], float]
    opened: dict[Key, Credential]  # seals that were opened already

    def perform(self, call: Call) -> Performed:
        """Never raises a plugin's error; LeaseLost and the journal's own errors go through."""
        try:
            with deadline.until(self.seconds_left, self.unit.plan.policy.deadline):
                deadline.check()
                return _fit_to_keep(_ROWS[call.op](self, call))
        except LeaseLost:
            raise
        except (RotatorError, *UNFORESEEN) as error:
            return _fit_to_keep(Performed(failure(call, error, self.clock.now())))

    def _done(self, data: object = None, detail: str = "", **journal: Any) -> Performed:
        return Performed(Done(self.clock.now(), data), detail=detail, **journal)

    # --- values ---
    def credential(self, key: Key | None) -> Credential:
        """The credential with its values: from its seal, else from a store that holds it, else by
        id alone.
        """
        if key is None:
            return Credential({})
        if key in self.opened:
            return self.opened[key]
        with self.journal.database.read() as connection:
            sealed = credentials.value_of(connection, self.journal.sealer, self.then.name, key)
        if sealed is not None:
            self.opened[key] = replace(sealed, id=key.id or sealed.id, hint=key.hint)
            return self.opened[key]
        return self._from_stores(key) or Credential({}, key.id, key.hint)

    def _from_stores(self, key: Key) -> Credential | None:
        for entry in self.then.stores:
            try:
                held = entry.store.read()
            except PluginError:
                if (
                    isinstance(self.unit, Debt) and self.unit.at_once
                ):  # its id must do: no store holds this up
                    continue
                raise
            if held and held.values and self.journal.fingerprint(held.values) == key.fingerprint:
                return Credential(held.values, key.id, key.hint)
        return None

    def with_value(self, key: Key | None) -> Credential:
        found = self.credential(key)
        if not found.values:
            raise PermanentError(
                f"the value of {key} is not known any more", self._why_unknown(key)
            )
        return found

    def _why_unknown(self, key: Key | None) -> str:
        with self.journal.database.read() as connection:
            sealed = key is not None and credentials.is_sealed(connection, self.then.name, key)
        if sealed:
            return "its seal does not open: was the sealing key lost? `rotator db check`"
        name = self.then.name
        return (
            "no store holds it: is a path, a variable or a field in the playbook wrong? Once it is"
            f" right: `rotator resume {name} --today`; if the key is lost: `rotate {name}"
            " --compromised`"
        )

    @property
    def rotation(self) -> Rotation:
        assert isinstance(self.unit, Rotation)
        return self.unit

    # --- operations of a rotation ---
    def preflight(self, call: Call) -> Performed:
        checked = preflight.check(self.journal, self.then, self.rotation, self.case.debts)
        keep = ((checked.ready.old, checked.old),) if checked.old and checked.ready.old else ()
        told = _shortly(
            [finding.text for finding in checked.findings if finding.level != "warning"]
        )
        return self._done(checked.ready, told, keep=keep, findings=checked.findings)

    def snapshot(self, call: Call) -> Performed:
        if self.then.provider.recovery is Recovery.DIFFERENCE:
            return self._done(tuple(record.id for record in self.then.provider.inventory()))
        slot = self.then.provider.reread(
            self.credential(self.rotation.old) if self.rotation.old else None
        )
        return self._done((self.journal.fingerprint(slot.values),) if slot else ())

    def label(self, attempt: int) -> Label:
        return Label(self.journal.installation, self.then.name, self.rotation.id, attempt)

    def generate(self, call: Call) -> Performed:
        like = self.credential(self.rotation.old) if self.rotation.old else None
        made = self.then.provider.generate(self.label(call.attempt), like)
        if isinstance(made, NotYet):
            return Performed(Later(self.clock.now(), made.retry_in, made.handle, made.text))
        key = self.journal.key_of(made)
        return self._done(key, _named(key), keep=((key, made),))

    def recover(self, call: Call) -> Performed:
        found = recovery.left_by_a_lost_create(self, call.attempt)
        return self._done(found.recovered, keep=(found.value,) if found.value else ())

    def recognise(self, call: Call) -> Performed:
        assert call.key is not None
        return self._done(recovery.shows(self, call.key, call.attempt))

    def read(self, call: Call) -> Performed:
        store = self.then.stores[call.target].store
        held = store.read()
        if held is None:
            return self._done(Read("", ""))
        fingerprint = self.journal.fingerprint(held.values) if held.values is not None else None
        mine = call.key is not None and fingerprint == call.key.fingerprint
        if not mine and self.then.stores[call.target].follows and isinstance(store, Nudged):
            store.nudge(f"{self.rotation.id}.{call.step}")
        version = (
            (self.then.stores[call.target].name, held.version, fingerprint or "") if mine else None
        )
        return self._done(Read(fingerprint, held.version), store_version=version)

    def write(self, call: Call) -> Performed:
        entry = self.then.stores[call.target]
        credential = self.with_value(call.key)
        credential = replace(credential, beside=self.then.provider.beside(credential))
        note = Note(credential.id, self.journal.installation, self.rotation.id, self.clock.now())
        entry.store.tidy(call.expect)
        version = entry.store.write(credential, call.expect, note)
        fingerprint = self.journal.fingerprint(credential.values)
        return self._done(
            Written(version), entry.name, store_version=(entry.name, version, fingerprint)
        )

    def _change(self, call: Call) -> Change:
        undoing = call.step == "undo"
        name = f"{self.rotation.id}.{'undo' if undoing else 'new'}.{call.round}"
        as_before = self._as_before if undoing else None
        return Change(
            name, self.rotation.restart_since, self.credential(call.key), as_before=as_before
        )

    def _as_before(self, shown: Secret) -> bool:
        """Whether an instance showed this before the rotation changed anything."""
        found, new = self.journal.fingerprint({"key": shown}), self.rotation.new
        return found in self.rotation.shown and (new is None or found != new.fingerprint)

    def restart(self, call: Call) -> Performed:
        waves = self.then.consumers[call.target].restarter.restart(self._change(call))
        if isinstance(waves, NotYet):
            return Performed(Later(self.clock.now(), waves.retry_in, waves.handle, waves.text))
        return self._done()

    def progress(self, call: Call) -> Performed:
        entry = self.then.consumers[call.target]
        change = self._change(call)
        progress = entry.restarter.progress(change)
        if progress.converged:
            return self._done(detail=f"{entry.name} {progress.current}/{progress.total}")
        waited = self.clock.now() - self.rotation.since
        told = diagnosis.of(entry.name, progress, change, self.rotation.old, self._whose)
        return Performed(
            Later(self.clock.now(), min(progress.again, max(0.05, waited / 8)), text=told)
        )

    def _whose(self, value: Secret) -> Key | None:
        with self.journal.database.read() as connection:
            return credentials.known(
                connection, self.then.name, self.journal.fingerprint({"key": value})
            )

    def probe(self, call: Call) -> Performed:
        """The key by itself, at its provider; by the playbook's probes where the
        provider has none.
        """
        credential = self.with_value(call.key)
        if call.step == "generate" and self.rotation.passes == 0:
            self._must_fit(credential)
        try:
            self.then.provider.probe(credential)
        except Unsupported:
            for probe in self.then.probes:
                if probe.name != "provider":
                    probe.probe(credential)
        return self._done(detail=_named(call.key) if call.key else "")

    def _must_fit(self, credential: Credential) -> None:
        """Each store can write the new key so that whoever reads it there gets it: before the first
        is written.
        """
        credential = replace(credential, beside=self.then.provider.beside(credential))
        for entry in self.then.stores:
            if isinstance(entry.store, Fitting) and not entry.follows:
                entry.store.fits([credential])

    def accept(self, call: Call) -> Performed:
        """The new key by itself, never through a consumer: those may be between two keys."""
        self._accepted(self.with_value(call.key))
        return self._done()

    def verify(self, call: Call) -> Performed:
        credential = self.with_value(call.key)
        for probe in self.then.probes:
            probe.probe(credential)
        if self.rotation.passes == 0:
            self._parity(credential)
        return self._done(detail=" · ".join(probe.name for probe in self.then.probes))

    def _parity(self, new: Credential) -> None:
        """The new key must see the same organisation and models as the old one."""
        rotation = self.rotation
        if (
            rotation.old is None
            or rotation.forward_only
            or all(p.name != "provider" for p in self.then.probes)
        ):
            return
        old = self.credential(rotation.old)
        if not old.values:
            return
        try:
            before = self.then.provider.probe(old).facts
        except PermanentError:  # it died meanwhile, or shows nothing: there is nothing to be like
            return
        after = self.then.provider.probe(new).facts
        other = [name for name, value in before.items() if after.get(name, value) != value]
        if other:
            raise PermanentError(
                f"the new key does not see the same {' and '.join(other)} as the old one",
                "is it made in the same project, with the same permissions?",
            )

    def look(self, call: Call) -> Performed:
        playbooks = [self.then] + (
            [self.today] if self.today is not None and self.today is not self.then else []
        )
        found = facts.gather(self.journal, playbooks, self._current(), self.clock.now())
        if call.key is not None and not call.key.fingerprint:
            self._none_holds_by_id(call.key, found)
        if isinstance(self.unit, Debt) and self.unit.cause in (Cause.ROTATED, Cause.UNDONE):
            self._another_lives(call.key)
        return self._done(found, self._shown(call, found))

    def _shown(self, call: Call, found: Facts) -> str:
        """How many of the consumers show to be clear of the key that is to die."""
        if all(consumer.evidence is Evidence.NONE for consumer in found.consumers):
            return ""
        staying = self.rotation.new if call.step == "verify" else None
        shown = showing(found, call.key or Key(), staying)
        how = f" ({shown[0].evidence})" if shown else ""
        return (
            f"{len(shown)} of {count(len(found.consumers), 'consumer shows', 'consumers show')}"
            f" it{how}"
        )

    def _none_holds_by_id(self, key: Key, found: Facts) -> None:
        """A key whose value nobody knew (a swept one) is told from what the stores hold
        by its id.
        """
        with self.journal.database.read() as connection:
            for store in found.stores:
                if not store.fingerprint:
                    continue
                known = credentials.known(connection, self.then.name, store.fingerprint)
                if known is None or not known.id or known.id == key.id:
                    raise PermanentError(
                        f"{store.name} holds {known or 'a key that this journal does not know'},"
                        f" which may be {key}"
                    )

    def _another_lives(self, dying: Key | None) -> None:
        """Raises PermanentError where the key in force is refused: then the one that is to die may
        be the last.
        """
        current = self._current()
        if current is not None and self._surely_refused(current):
            hint = f"rotate to a new one: `rotate {self.then.name}`"
            raise PermanentError(
                f"the key in force {current.id or current.hint} is refused itself, and {dying}"
                " lives",
                hint,
            )

    def _current(self) -> Credential | None:
        rotation = self.case.rotation
        if rotation is None:
            return None
        key = rotation.new if rotation.pivoted or rotation.phase.value == "look" else rotation.old
        if key is None:  # a rotation that has not found it yet
            with self.journal.database.read() as connection:
                key = cases.current_key(connection, self.then.name)
        return self.credential(key) if key else None

    # --- operations of a debt ---
    def revoke(self, call: Call) -> Performed:
        self.then.provider.revoke(self.credential(call.key))
        return self._done(detail=str(call.key))

    def deactivate(self, call: Call) -> Performed:
        self.then.provider.deactivate(self.credential(call.key))
        return self._done(detail=str(call.key))

    def reactivate(self, call: Call) -> Performed:
        self.then.provider.reactivate(self.credential(call.key))
        return self._done(detail=str(call.key))

    def quiet(self, call: Call) -> Performed:
        """When it was last used, as late as the provider may tell it.

        A key that the list lacks is not a quiet one.
        """
        record = next(
            (r for r in self.then.provider.inventory() if call.key and r.id == call.key.id), None
        )
        if record is None and not self._is_refused(self.with_value(call.key)):
            raise PermanentError(f"the provider's list does not show {call.key}")
        used = record.last_used_at if record else None
        return self._done(used + self.then.provider.usage_lag if used is not None else None)

    def _surely_refused(self, credential: Credential) -> bool:
        """False, too, where nobody can tell now."""
        try:
            return bool(credential.values) and self._is_refused(credential)
        except PluginError:
            return False

    def _is_refused(self, credential: Credential) -> bool:
        """By the provider's own probe. Raises what else that raises, Unsupported too."""
        try:
            self.then.provider.probe(credential)
        except Rejected:
            return True
        return False

    def watch(self, call: Call) -> Performed:
        credential = self._current() or self._held()
        if credential is None or not credential.values:
            return self._done()
        if self._was_killed(credential):  # refused because we saw to it
            return Performed(
                Later(self.clock.now(), _NO_NEW_KEY, text="consumers have no new key yet")
            )
        for probe in self.then.probes:
            probe.probe(credential)
        return self._done()

    def _held(self) -> Credential | None:
        for entry in self.then.stores:
            held = entry.store.read()
            if held and held.values:
                return self.then.credential_in(held)
        return None

    def suspect(self, call: Call) -> Performed:
        record = next(
            (r for r in self.then.provider.inventory() if call.key and r.id == call.key.id), None
        )
        return self._done(record is None or (not record.active and record.last_used_at is None))

    def prove(self, call: Call) -> Performed:
        """By the provider's own probe; where it has none, by the playbook's that ask
        with the key.
        """
        credential = self.credential(call.key)
        if not credential.values:
            return self._done(Proof.UNLISTED if self._is_gone(call.key) else Proof.NONE)
        refused, current = self._refused_anywhere(credential), self._current()
        another = (
            current is not None and bool(current.values) and current.primary != credential.primary
        )
        if refused and another and current is not None and self._surely_refused(current):
            if self._was_killed(
                current
            ):  # that one is refused because we saw to it: the list tells
                gone = not self.then.provider.can_list or self._is_gone(call.key)
                return self._done(Proof.REFUSED if gone else Proof.NONE)
            raise PermanentError(
                f"the provider refuses the key in force as well: that proves nothing of {call.key}"
            )
        return self._done(Proof.REFUSED if refused else Proof.NONE)

    def _refused_anywhere(self, credential: Credential) -> bool:
        """Raises Unsupported where nothing can ask."""
        try:
            return self._is_refused(credential)
        except Unsupported:
            asking = self._asking_with_key()
            if not asking:
                raise
            return all(self._refuses(probe, credential) for probe in asking)

    def _accepted(self, credential: Credential) -> None:
        """Raises Rejected, or Unsupported where nothing can ask."""
        try:
            self.then.provider.probe(credential)
        except Unsupported:
            asking = self._asking_with_key()
            if not asking:
                raise
            for probe in asking:
                probe.probe(credential)

    def _asking_with_key(self) -> list[Probe]:
        return [probe for probe in self.then.probes if getattr(probe, "asks_with_key", False)]

    @staticmethod
    def _refuses(probe: Probe, credential: Credential) -> bool:
        try:
            probe.probe(credential)
        except Rejected:
            return True
        return False

    def _is_gone(self, key: Key | None) -> bool:
        """The provider does not list it as active any more."""
        return key is not None and key.id not in {
            one.id for one in self.then.provider.inventory() if one.active
        }

    def _was_killed(self, current: Credential) -> bool:
        key = self.journal.key_of(current)
        return any(debt.at_once and debt.key.same(key) for debt in self.case.debts)

    def retire(self, call: Call) -> Performed:
        assert isinstance(self.unit, Debt)
        version = self.unit.versions[call.target] if call.target < len(self.unit.versions) else ""
        self.then.stores[call.target].store.retire(version)
        return self._done()

    def sweep(self, call: Call) -> Performed:
        return self._done(Swept(find_orphans(self.journal, self.then, self.case)))


def _fit_to_keep(performed: Performed) -> Performed:
    """Its words redacted, while the secrets of the call are alive: the journal keeps them, and
    `status` tells them.
    """
    result = performed.result
    if performed.findings:
        told = (
            replace(one, text=tidy(one.text), hint=tidy(one.hint)) for one in performed.findings
        )
        performed = replace(performed, findings=tuple(told))
    if isinstance(result, Failed | Unknown):
        return replace(
            performed, result=replace(result, message=tidy(result.message), hint=tidy(result.hint))
        )
    if isinstance(result, Later) and result.text:
        return replace(performed, result=replace(result, text=tidy(result.text)))
    return performed


def _shortly(texts: Sequence[str]) -> str:
    """`rotator plan` tells all of them."""
    more = len(texts) - _TOLD
    return " · ".join([*texts[:_TOLD], *([f"and {more} more"] if more > 0 else [])])


def _named(key: Key) -> str:
    """A key as people recognise it."""
    return f"{key} ({key.hint})" if key.id and len(key.hint) > 1 else str(key)


_ROWS: dict[Op, Callable[[Performer, Call], Performed]] = {
    Op.PREFLIGHT: Performer.preflight,
    Op.SNAPSHOT: Performer.snapshot,
    Op.GENERATE: Performer.generate,
    Op.RECOVER: Performer.recover,
    Op.REVOKE: Performer.revoke,
    Op.DEACTIVATE: Performer.deactivate,
    Op.REACTIVATE: Performer.reactivate,
    Op.RECOGNISE: Performer.recognise,
    Op.PROBE: Performer.probe,
    Op.READ: Performer.read,
    Op.WRITE: Performer.write,
    Op.RESTART: Performer.restart,
    Op.ACCEPT: Performer.accept,
    Op.PROGRESS: Performer.progress,
    Op.VERIFY: Performer.verify,
    Op.LOOK: Performer.look,
    Op.QUIET: Performer.quiet,
    Op.WATCH: Performer.watch,
    Op.SUSPECT: Performer.suspect,
    Op.PROVE: Performer.prove,
    Op.RETIRE: Performer.retire,
    Op.SWEEP: Performer.sweep,
}
