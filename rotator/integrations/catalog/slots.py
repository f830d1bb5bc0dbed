"""A credential of two keys at once (`slots:`): the one in use is found by its value, and the other
one is made anew.

Neither is ever deleted: making the key of a slot anew ends the one that was there. So nothing is
made anew before it is known which slot is in use, and a person has said that nobody else uses the
other one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rotator.clients import http, reading
from rotator.errors import (
    OutcomeUnknown,
    PermanentError,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.integrations.catalog import templates
from rotator.integrations.catalog.api import Sent
from rotator.integrations.catalog.entry import KEY, SLOT, Slots
from rotator.integrations.catalog.provider import HttpProvider
from rotator.model import Credential, Finding, Label, Level, Overlap, Recovery
from rotator.plugin import setting
from rotator.secret import Secret, hint_of


@dataclass(frozen=True, kw_only=True)
class SlotsProvider(HttpProvider):
    """Makes the key of the slot that is not in use anew."""

    exclusive: bool = setting(
        "That nobody but the stores and consumers of this playbook uses either of the two keys:"
        " each rotation makes the other one anew, which ends what it was",
        default=False,
    )

    @property
    def overlap(self) -> Overlap:
        return Overlap.TWO_SLOTS

    @property
    def recovery(self) -> Recovery:
        return Recovery.REREAD

    @property
    def credential_at(self) -> str:
        """Where both keys are read: two playbooks with the same address have the same keys."""
        return self._address(self._slots.read.request.host) + templates.path_of(
            self._slots.read.request, self._values()
        )

    def preflight(self) -> list[Finding]:
        """Reads both keys: shows that the administrator's credential may."""
        amiss = list(self._amiss())
        if not self.exclusive:
            amiss.append(Finding(Level.ERROR, *self._unsaid()))
        self._both()
        return [*amiss, Finding(Level.OK, f"both keys of {self.entry.name} can be read")]

    def generate(self, label: Label, like: Credential | None) -> Credential:
        """The key of the slot that is not in use, made anew.

        Raises PermanentError where it is not known which one that is.
        """
        if not self.exclusive:
            raise PermanentError(*self._unsaid())
        before = self._both()
        slot = self._idle(before, like)
        answer = self._regenerate(slot)
        made = templates.secret_in(
            self.entry, self._slots.names[slot], answer, f"slots.names.{slot}"
        )
        if made == before[slot]:
            raise OutcomeUnknown(
                f"{self.entry.name} was asked to make {slot} anew, and shows what it was before"
            )
        return _credential(made)

    def reread(self, like: Credential | None) -> Credential | None:
        """What the slot that `generate` fills holds now."""
        found = self._both()
        return _credential(found[self._idle(found, like)])

    def revoke(self, credential: Credential) -> None:
        """Makes the key of its slot anew. Nobody gets what comes."""
        if not credential.values:
            raise Unsupported(f"a key of {self.entry.name} is known by its value alone")
        held = self._holding(self._both(), credential)
        if held is None:
            if not self._refuses(credential):
                raise TransientError(
                    f"neither slot of {self.entry.name} holds {credential.hint}, yet it is not"
                    " refused",
                    "is it a key of another account, or is its end only late?",
                )
            return
        with contextlib.suppress(Unreadable):  # what is read next tells whether it was done
            self._regenerate(held)
        if self._both()[held] == credential.primary:
            raise TransientError(f"{self.entry.name} still shows the old key in {held}")

    @property
    def _slots(self) -> Slots:
        assert self.entry.slots is not None  # its class is made of such a file alone
        return self.entry.slots

    def _both(self) -> Mapping[str, Secret]:
        """The key in each slot."""
        with _only_read():
            answer = self._call(self._slots.read.request, {})
        found = {
            slot: reading.pick(path, answer.json()) for slot, path in self._slots.names.items()
        }
        lacking = [slot for slot, value in found.items() if not (isinstance(value, str) and value)]
        if lacking:
            where = f"`{self._slots.names[lacking[0]]}` (slots.names.{lacking[0]})"
            raise PermanentError(
                f"{self.entry.name} showed no key at {where};"
                f" {templates.fields_of(templates.data_of(answer))}",
                "is this another version of the API?",
            )
        return {slot: Secret(value) for slot, value in found.items()}

    def _regenerate(self, slot: str) -> http.Answer:
        """Raises Unreadable or OutcomeUnknown where it may have been done all the same."""
        request, answer = self._ask(
            self._slots.regenerate.request, {SLOT: slot}, Sent(makes_key=True)
        )
        return templates.check_create(self.entry, request, answer, self._who)

    def _idle(self, found: Mapping[str, Secret], like: Credential | None) -> str:
        """The slot that is not in use; where the key in use is dead and in neither, the first.

        Raises PermanentError where nobody knows.
        """
        if like is None or not like.values:
            raise PermanentError(
                f"which of the two keys of {self.entry.name} is in use is not known: no store shows"
                " one",
                "put one of them into the playbook's stores, or a store that can be read beside",
            )
        held = self._holding(found, like)
        if held is None and not self._refuses(like):
            raise PermanentError(
                f"neither slot of {self.entry.name} holds the key that the stores have"
                f" ({hint_of(like.primary.reveal())}), which works",
                "is it a key of another account?",
            )
        return next(slot for slot in found if slot != held)

    @staticmethod
    def _holding(found: Mapping[str, Secret], key: Credential) -> str | None:
        return next((slot for slot, value in found.items() if value == key.primary), None)

    def _unsaid(self) -> tuple[str, str]:
        return (
            f"a rotation makes the other key of {self.entry.name} anew, and whether anybody uses it"
            " cannot be known",
            "once nobody does, say `exclusive: true` in the playbook",
        )


def _credential(value: Secret) -> Credential:
    return Credential({KEY: value}, hint=hint_of(value.reveal()))


@contextlib.contextmanager
def _only_read() -> Iterator[None]:
    """A request that changes nothing, whatever its method: it is asked again."""
    try:
        yield
    except OutcomeUnknown as error:
        raise TransientError(error.message, error.hint) from error
