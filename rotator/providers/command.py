"""Provider `command`: a program of the user's own makes, lists and revokes keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rotator.clients import programs
from rotator.errors import OutcomeUnknown, PermanentError, Rejected, Unsupported
from rotator.model import Credential, Finding, Identity, KeyRecord, Label, NotYet, Overlap, Recovery
from rotator.plugin import ProviderDefaults, playbook_folder, setting
from rotator.secret import Secret, hint_of


@dataclass(frozen=True, kw_only=True)
class CommandProvider(ProviderDefaults):
    """Run programs. ROTATOR_LABEL, ROTATOR_KEY_ID are in their environment; a secret comes by standard input.

    `generate` prints {"key": "…", "id": "…"} (or the bare key); `list` prints
    [{"id", "label", "created_at", "active"}].
    Exit 75 = ask again later; `probe` exit 77 = the key is refused.
    """

    generate_argv: list[str] = setting(
        "Makes a key; it bears the label in $ROTATOR_LABEL", alias="generate", program=True
    )
    revoke_argv: list[str] | None = setting(
        "Destroys the key $ROTATOR_KEY_ID; gone already = success", default=None, alias="revoke", program=True
    )
    list_argv: list[str] | None = setting("Lists all keys as JSON", default=None, alias="list", program=True)
    probe_argv: list[str] | None = setting(
        "Tries the key on its standard input", default=None, alias="probe", program=True
    )
    timeout: float = setting("Seconds that each may take", default=60.0)
    folder: str = playbook_folder()

    overlap = Overlap.MANY
    supplied = False
    can_deactivate = False
    list_lag = 5.0

    @property
    def recovery(self) -> Recovery:
        return Recovery.LABEL if self.list_argv else Recovery.NONE

    @property
    def can_list(self) -> bool:
        return self.list_argv is not None

    def preflight(self) -> list[Finding]:
        if self.list_argv:
            self.inventory()
        return []

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        ended = self._run(self.generate_argv, env={"ROTATOR_LABEL": label.text})
        if ended.code not in (0, programs.TEMPORARY):
            raise OutcomeUnknown(f"{self.generate_argv[0]} ended with {ended.code}: {ended.words}")
        text = programs.expect_success(ended, self.generate_argv).out.strip()
        data = _json(text) if text.startswith("{") else {"key": text}
        if not isinstance(data, dict) or not data.get("key"):
            raise OutcomeUnknown(f"{self.generate_argv[0]} printed no key")
        value = Secret(str(data["key"]))
        return Credential(values={"key": value}, id=str(data.get("id", "")), hint=hint_of(value.reveal()))

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("a program shows a key only once")

    def inventory(self) -> list[KeyRecord]:
        if not self.list_argv:
            raise Unsupported("the playbook has no list command")
        argv = self.list_argv
        found = _json(programs.expect_success(self._run(argv), argv).out)
        if not isinstance(found, list):
            raise PermanentError(f"{argv[0]} must print a JSON list of keys")
        return [
            KeyRecord(
                id=str(key["id"]),
                label=str(key.get("label", "")),
                created_at=key.get("created_at"),
                active=bool(key.get("active", True)),
            )
            for key in found
            if isinstance(key, dict) and "id" in key
        ]

    def deactivate(self, credential: Credential) -> None:
        raise Unsupported("programs cannot deactivate")

    def reactivate(self, credential: Credential) -> None:
        raise Unsupported("programs cannot reactivate")

    def revoke(self, credential: Credential) -> None:
        if not self.revoke_argv:
            raise Unsupported("the playbook has no revoke command", "destroy the key by hand, or add one")
        stdin = credential.primary if credential.values else None
        ended = self._run(self.revoke_argv, stdin=stdin, env={"ROTATOR_KEY_ID": credential.id})
        programs.expect_success(ended, self.revoke_argv)

    def probe(self, credential: Credential) -> Identity:
        if not self.probe_argv:
            raise Unsupported("the playbook has no probe command for this provider")
        ended = self._run(self.probe_argv, stdin=credential.primary)
        if ended.code == programs.REJECTED:
            raise Rejected(f"the key is refused: {ended.words}")
        programs.expect_success(ended, self.probe_argv)
        return Identity()

    def looks_right(self, value: Secret) -> str:
        return ""

    def _run(self, argv: Sequence[str], **given: Any) -> programs.Ended:
        return programs.run(argv, timeout=self.timeout, cwd=self.folder, **given)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise PermanentError("the program's output is not JSON") from error
