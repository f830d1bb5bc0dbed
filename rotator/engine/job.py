"""What a call has at hand: its unit, the playbook, and keys with their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rotator.core.action import Done
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Rotation
from rotator.engine.clock import Clock
from rotator.engine.performed import Performed
from rotator.errors import PermanentError, PluginError
from rotator.journal import cases, credentials
from rotator.journal.cases import Case
from rotator.journal.journal import Journal
from rotator.journal.leases import Lease
from rotator.model import Credential, Label
from rotator.playbook.playbook import Playbook


@dataclass
class Job:
    """Calls of one rotation or debt.

    `then` is the playbook of the unit that acts, `today` the present one; `seconds_left` of the
    lease.
    """

    journal: Journal
    clock: Clock
    then: Playbook
    today: Playbook | None
    case: Case
    unit: Rotation | Debt
    seconds_left: Callable[[], float]
    opened: dict[Key, Credential]  # seals that were opened already
    lease: Lease | None = None  # None: it only looks

    @property
    def its_lease(self) -> Lease:
        """For what it writes into the journal itself."""
        assert self.lease is not None
        return self.lease

    def done(self, data: object = None, detail: str = "", **journal: Any) -> Performed:
        """The call succeeded; `journal`: what is written down with it (fields of Performed)."""
        return Performed(Done(self.clock.now(), data), detail=detail, **journal)

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
                # A key that dies at once does so by its id: no store delays that.
                if isinstance(self.unit, Debt) and self.unit.at_once:
                    continue
                raise
            if held and held.values and self.journal.fingerprint(held.values) == key.fingerprint:
                return Credential(held.values, key.id, key.hint)
        return None

    def with_value(self, key: Key | None) -> Credential:
        """Raises PermanentError where the value is not known any more."""
        credential = self.credential(key)
        if not credential.values:
            raise PermanentError(
                f"the value of {key} is not known any more", self._why_unknown(key)
            )
        return credential

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
        """The unit, where it is a rotation."""
        assert isinstance(self.unit, Rotation)
        return self.unit

    def label(self, attempt: int) -> Label:
        """What a key made by this attempt is labelled with at the provider."""
        return Label(self.journal.installation, self.then.name, self.rotation.id, attempt)

    def current(self) -> Credential | None:
        """The key in force, None where nobody knows one."""
        rotation = self.case.rotation
        if rotation is None:
            return None
        key = rotation.new if rotation.pivoted or rotation.phase.value == "look" else rotation.old
        if key is None:  # a rotation that has not found it yet
            with self.journal.database.read() as connection:
                key = cases.current_key(connection, self.then.name)
        return self.credential(key) if key else None
