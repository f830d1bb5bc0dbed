"""Store `systemd-creds`: an encrypted credential, for `LoadCredentialEncrypted=`.

What it is encrypted with (the host's key, a TPM) is systemd's choice;
https://systemd.io/CREDENTIALS/ has the rules.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from rotator.clients import around
from rotator.clients.files import Snapshot
from rotator.clients.hosts import Host
from rotator.clients.placed import PlacedStore
from rotator.errors import AccessDenied, PermanentError
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import setting
from rotator.secret import Secret, last_line


@dataclass(frozen=True, kw_only=True)
class SystemdCredsStore(PlacedStore):
    """Keep a credential in a file that only this host can decrypt, as `systemd-creds encrypt` makes
    it.

    Its plain text is in no file and no argument. Root on the host, or `sudo: true`.
    """

    credential: str | None = setting(
        "The name that units load it by; it is encrypted with it. Without one, the file's name",
        default=None,
    )
    with_key: Literal["auto", "host", "tpm2", "host+tpm2"] = setting(
        "What to encrypt with", default="auto"
    )

    @property
    def name(self) -> str:
        return f"systemd-creds {self.place}"

    @property
    def _there(self) -> Host:
        return self._host or Host()

    def preflight(self) -> list[Finding]:
        asked = self._there.repeated(
            f"{self._there.command('systemd-creds', '--version')} >/dev/null"
        )
        if asked.code != 0:
            text = f"{self._there} has no systemd-creds: {asked.words}"
            return [Finding(Level.ERROR, text, "systemd 250 or newer; Debian: apt install systemd")]
        return super().preflight()

    def _about(self, snapshot: Snapshot) -> Iterator[Finding]:
        yield from super()._about(snapshot)
        yield from around.accidents(self.name, self._plain(snapshot), end="\n")

    def read(self) -> Held | None:
        snapshot = self._read()
        if snapshot is None or not snapshot.content.strip():
            return None
        plain = around.bare(self._plain(snapshot))
        return (
            Held({"key": Secret(plain)}, snapshot.version, written_at=snapshot.written_at)
            if plain
            else None
        )

    def _plain(self, snapshot: Snapshot | None) -> str:
        """What it is decrypted to, with what stands around the key: in base64, as lines lose their
        ends on the way.
        """
        if snapshot is None or not snapshot.content.strip():
            return ""
        told = self._crypt("decrypt", Secret(snapshot.content.decode(errors="replace")))
        try:
            return base64.b64decode(told).decode()
        except ValueError as error:
            raise PermanentError(
                f"{self.place} holds no text", "rotator keeps keys that are text"
            ) from error

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        version = expect or (before.version if before and not before.content.strip() else "")
        text = around.like(self._plain(before), credential.primary.reveal())
        sealed = self._crypt("encrypt", Secret(text))
        return self._replace(sealed.encode(), version, note.rotation)

    def _crypt(self, verb: str, text: Secret) -> str:
        """What systemd-creds makes of it; decrypted, in base64.

        Raises AccessDenied, PermanentError in its words, TransientError.
        """
        name = self.credential or PurePosixPath(self.path).name
        key = [f"--with-key={self.with_key}"] if verb == "encrypt" else []
        command = self._there.command("systemd-creds", verb, *key, f"--name={name}", "-", "-")
        encoded = " | base64 -w0" if verb == "decrypt" else ""
        script = f'export LC_ALL=C; {{ {command}; echo "$?" >&2; }}{encoded}'
        ended = self._there.repeated(script, text)
        *said, code = ended.err.splitlines() or [""]
        if code == "0" and ended.code == 0:
            return ended.out
        told = f"{self.place} is not {verb}ed: {last_line(said) or ended.words}"
        if "Permission denied" in ended.err or "Operation not permitted" in ended.err:
            raise AccessDenied(
                told, "the host's key is root's: `sudo: true`, or run rotator as root"
            )
        raise PermanentError(
            told,
            f"try it there: {shlex.join(['systemd-creds', verb, f'--name={name}', self.path])}",
        )
