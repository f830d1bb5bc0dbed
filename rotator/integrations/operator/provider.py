"""Provider `operator`: a person makes the key in a console and supplies it; all else is
the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.clients import pasted, patterns
from rotator.errors import Unsupported
from rotator.model import Credential, Finding, Identity, KeyRecord, Label, NotYet, Overlap, Recovery
from rotator.plugin import ProviderDefaults, setting
from rotator.secret import Secret


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
    can_probe = False
    can_deactivate = False
    can_list = False
    list_lag = 0.0

    def preflight(self) -> list[Finding]:
        return []

    def accept(self, value: Secret, old: Credential | None) -> Credential:
        """The supplied key without the blanks around it.

        Raises PermanentError where it cannot be one.
        """
        return pasted.taken(value, old, self.looks_right)

    def signs(self) -> str:
        return patterns.signs(self.pattern or "")

    def looks_right(self, value: Secret) -> str:
        """Asked of the old key in the stores, too: what is more than a key would be lost there."""
        text = pasted.tidied(value.reveal())
        return pasted.no_key(text, self.pattern or "", "it does not match the playbook's pattern")

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
