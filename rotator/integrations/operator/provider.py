"""Provider `operator`: a person makes the key in a console and supplies it; all else is
the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rotator.clients import patterns
from rotator.errors import PermanentError, Unsupported
from rotator.integrations.operator import pasted
from rotator.model import Credential, Finding, Identity, KeyRecord, Label, NotYet, Overlap, Recovery
from rotator.plugin import ProviderDefaults, setting
from rotator.secret import Secret, hint_of


@dataclass(frozen=True, kw_only=True)
class OperatorProvider(ProviderDefaults):
    """Ask a person for the new key (`rotator supply`), and later to destroy the old one (`rotator
    confirm`).
    """

    pattern: str | None = setting("What a key looks like, as a regular expression", default=None)
    console: str | None = setting("Where a person makes and destroys keys", default=None)

    overlap = Overlap.MANY
    recovery = Recovery.NONE
    supplied = True
    can_deactivate = False
    can_list = False
    list_lag = 0.0

    def preflight(self) -> list[Finding]:
        return []

    def accept(self, value: Secret, old: Credential | None) -> Credential:
        """The supplied key without the blanks around it.

        Raises PermanentError where it cannot be one.
        """
        tidy = Secret(pasted.tidied(value.reveal()))
        text = tidy.reveal()
        if reason := self.looks_right(tidy):
            raise PermanentError(
                f"this is not the key: {reason}", "copy it once more: the whole of it, and it alone"
            )
        if old is not None and old.values and old.primary == tidy:
            raise PermanentError("this is the old key", "make a new one")
        return Credential(values={"key": tidy}, hint=hint_of(text))

    def signs(self) -> str:
        return patterns.signs(self.pattern or "")

    def looks_right(self, value: Secret) -> str:
        """Asked of the old key in the stores, too: what is more than a key would be lost there."""
        text = pasted.tidied(value.reveal())
        if wrong := pasted.not_one_word(text):
            return wrong
        if len(text) < 8:
            return "it is too short"
        if not self.pattern:
            return pasted.more_than_a_key(text)
        if not re.fullmatch(self.pattern, text):
            return "it does not match the playbook's pattern"
        return ""

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        raise Unsupported("a person makes this key", "`rotator supply NAME`")

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("a person makes this key")

    def inventory(self) -> list[KeyRecord]:
        raise Unsupported("only a person can list these keys")

    def deactivate(self, credential: Credential) -> None:
        raise Unsupported("only a person can deactivate this key")

    def reactivate(self, credential: Credential) -> None:
        raise Unsupported("only a person can reactivate this key")

    def revoke(self, credential: Credential) -> None:
        raise Unsupported(
            "only a person can destroy this key", "`rotator confirm NAME` once it is done"
        )

    def probe(self, credential: Credential) -> Identity:
        raise Unsupported(
            "this provider has no probe of its own", "add an http or command probe to the playbook"
        )
