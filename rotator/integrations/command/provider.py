"""Provider `command`: a program of the user's own makes, lists and revokes keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rotator.clients import foreseen, programs, reading
from rotator.clients.http import parsed
from rotator.durations import Seconds
from rotator.errors import (
    OutcomeUnknown,
    PermanentError,
    Rejected,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    Level,
    NotYet,
    Overlap,
    Recovery,
)
from rotator.plugin import ProviderDefaults, own_variables, playbook_folder, setting
from rotator.secret import Secret, hint_of


@dataclass(frozen=True, kw_only=True)
class CommandProvider(ProviderDefaults):
    """Run programs. ROTATOR_LABEL, ROTATOR_KEY_ID are in their environment; a secret comes by
    standard input.

    `generate` prints {"key": "…", "id": "…"}, with the id that `list` prints; where there is no
    `list`, the bare key will do. `list` prints [{"id", "label", "hint", "created_at", "expires_at",
    "last_used_at", "active"}]: all but the id may be left out; dates as ISO 8601, RFC 2822 or Unix
    time. Exit 75 = ask again later; `probe` exit 77 = the key is refused.
    """

    generate_argv: list[str] = setting(
        "Makes a key; it bears the label in $ROTATOR_LABEL, and has the limits and the life of"
        " $ROTATOR_OLD_KEY_ID",
        alias="generate",
        program=True,
    )
    revoke_argv: list[str] | None = setting(
        "Destroys the key $ROTATOR_KEY_ID; gone already = success",
        default=None,
        alias="revoke",
        program=True,
    )
    list_argv: list[str] | None = setting(
        "Lists all keys as JSON", default=None, alias="list", program=True
    )
    probe_argv: list[str] | None = setting(
        "Tries the key on its standard input", default=None, alias="probe", program=True
    )
    timeout: Seconds = setting("How long each may take", default=60.0)
    tells_use: bool = setting(
        "Whether `list` prints when each key was last used (last_used_at)", default=False
    )
    usage_lag: Seconds = setting("How late it may tell the last use", default=0.0)
    propagation: Seconds = setting(
        "How long until a new key, or the end of one, is known everywhere", default=0.0
    )
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()

    overlap = Overlap.MANY
    supplied = False
    can_deactivate = False
    list_lag = 5.0

    @property
    def local(self) -> bool:
        return True

    @property
    def recovery(self) -> Recovery:
        return Recovery.LABEL if self.list_argv else Recovery.NONE

    @property
    def can_list(self) -> bool:
        return self.list_argv is not None

    def preflight(self) -> list[Finding]:
        programs_of_mine = (self.generate_argv, self.revoke_argv, self.list_argv, self.probe_argv)
        found = foreseen.findings(programs_of_mine, self.folder)
        if self.list_argv and not found:
            self.inventory()
        return found

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        """A new key.

        Raises Unreadable where the program ended well, but what it printed is of no use.
        """
        name = self.generate_argv[0]
        old = {"ROTATOR_OLD_KEY_ID": like.id} if like is not None and like.id else {}
        ended = self._run(self.generate_argv, env={"ROTATOR_LABEL": label.text, **old})
        if ended.code == programs.TEMPORARY:
            raise TransientError(
                f"{name} asks to be run again later: {programs.UNSHOWN}",
                "run it by hand to see why",
            )
        if ended.code != 0:
            raise OutcomeUnknown(
                f"{name} ended with {ended.code}: {programs.UNSHOWN}", "run it by hand to see why"
            )
        if ended.cut:
            raise Unreadable(f"{name} printed more than a key")
        return self._made(name, ended.out.strip())

    def _made(self, name: str, text: str) -> Credential:
        data = _printed(text) if text.startswith("{") else {"key": text}
        found = data.get("key")
        if not isinstance(found, str) or not found:
            raise Unreadable(
                f"{name} printed no key", 'print {"key": "…", "id": "…"}, or the key alone'
            )
        value = Secret(found)
        if "\ufffd" in found:
            raise Unreadable(f"{name} printed a key that is not UTF-8", "print the key as text")
        reason = _no_secret(found) if text.startswith("{") else reading.no_header(found)
        if reason:
            raise Unreadable(f"{name} printed a key that cannot be one: {reason}")
        key_id = reading.key_id(data.get("id"))
        if self.list_argv and not key_id:
            raise Unreadable(
                f"{name} printed a key without its id, and there is a list: nobody could tell which"
                " of the list it is",
                'print {"key": "…", "id": "…"} with the id that the `list` command prints',
            )
        return Credential(
            values={"key": value},
            id=key_id,
            hint=hint_of(found),
            created_at=reading.moment(data.get("created_at")),
            expires_at=reading.moment(data.get("expires_at")),
        )

    def inherits(self, old: KeyRecord | None) -> list[Finding]:
        if old is None or old.expires_at is None:
            return []
        text = f"the old key ends on {datetime.fromtimestamp(old.expires_at, UTC):%F}"
        hint = (
            "is the new one to have an end? `generate` gives it: $ROTATOR_OLD_KEY_ID is the old one"
        )
        return [Finding(Level.WARNING, text, hint)]

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("a program shows a key only once")

    def inventory(self) -> list[KeyRecord]:
        if not self.list_argv:
            raise Unsupported("the playbook has no list command")
        argv = self.list_argv
        found = _json(programs.expect_success(self._run(argv), argv, True, self.inherit).out)
        if not isinstance(found, list):
            raise PermanentError(f"{argv[0]} must print a JSON list of keys")
        return reading.distinct(_record(argv[0], key) for key in found)

    def deactivate(self, credential: Credential) -> None:
        raise Unsupported("programs cannot deactivate")

    def reactivate(self, credential: Credential) -> None:
        raise Unsupported("programs cannot reactivate")

    def revoke(self, credential: Credential) -> None:
        if not self.revoke_argv:
            raise Unsupported(
                "the playbook has no revoke command", "destroy the key by hand, or add one"
            )
        stdin = credential.primary if credential.values else None
        ended = self._run(self.revoke_argv, stdin=stdin, env={"ROTATOR_KEY_ID": credential.id})
        programs.expect_success(ended, self.revoke_argv, own=self.inherit)

    def probe(self, credential: Credential) -> Identity:
        if not self.probe_argv:
            raise Unsupported("the playbook has no probe command for this provider")
        ended = self._run(self.probe_argv, stdin=credential.primary)
        if ended.code == programs.REJECTED:
            raise Rejected(f"the key is refused: {ended.words}")
        programs.expect_success(ended, self.probe_argv, own=self.inherit)
        return Identity()

    def _run(self, argv: Sequence[str], **given: Any) -> programs.Ended:
        return programs.run(argv, own=self.inherit, timeout=self.timeout, cwd=self.folder, **given)


def _record(name: str, key: Any) -> KeyRecord:
    """Raises PermanentError for an item without an id: left out, it would count as gone."""
    key_id = reading.text(key.get("id")) if isinstance(key, dict) else ""
    if reason := reading.unfit(key_id):
        raise PermanentError(
            f"{name} lists a key whose id cannot be one: it is {reason}", "each has an `id`"
        )
    return KeyRecord(
        id=key_id,
        label=reading.told(key.get("label")),
        hint=reading.told(key.get("hint")),
        created_at=reading.moment(key.get("created_at")),
        expires_at=reading.moment(key.get("expires_at")),
        last_used_at=reading.last_use(key.get("last_used_at")),
        active=reading.flag(key.get("active")),
    )


def _no_secret(text: str) -> str:
    """Why a text in JSON cannot be a secret, or '': it may be a certificate or a pass phrase, with
    blanks and lines.
    """
    return "there are characters in it that are none" if "\0" in text else ""


def _printed(text: str) -> dict[str, Any]:
    """What `generate` printed.

    Raises Unreadable, which shows nothing of it: it may hold the key.
    """
    try:
        found = parsed(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreadable(
            "what `generate` printed begins as JSON, but is none",
            "print one JSON object, nothing else",
        )
    return found


def _json(text: str) -> Any:
    try:
        return parsed(text)
    except (ValueError, RecursionError) as error:
        raise PermanentError("the program's output is not JSON") from error
