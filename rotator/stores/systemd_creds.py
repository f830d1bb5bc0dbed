"""Store `systemd-creds`: an encrypted credential, for `LoadCredentialEncrypted=`.

What it is encrypted with (the host's key, a TPM) is systemd's choice; https://systemd.io/CREDENTIALS/ has the rules.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from rotator.clients.hosts import Host
from rotator.errors import AccessDenied, PermanentError
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import setting
from rotator.secret import Secret
from rotator.stores.placed import PlacedStore


@dataclass(frozen=True, kw_only=True)
class SystemdCredsStore(PlacedStore):
    """Keep a credential in a file that only this host can decrypt, as `systemd-creds encrypt` makes it.

    Its plain text is in no file and no argument. Root on the host, or `sudo: true`.
    """

    credential: str | None = setting(
        "The name that units load it by; it is encrypted with it. Without one, the file's name", default=None
    )
    with_key: Literal["auto", "host", "tpm2", "host+tpm2"] = setting("What to encrypt with", default="auto")

    @property
    def name(self) -> str:
        return f"systemd-creds {self.place}"

    @property
    def _there(self) -> Host:
        return self._host or Host()

    def preflight(self) -> list[Finding]:
        asked = self._there.repeated(f"{self._there.command('systemd-creds', '--version')} >/dev/null")
        if asked.code != 0:
            text = f"{self._there} has no systemd-creds: {asked.words}"
            return [Finding(Level.ERROR, text, "systemd 250 or newer; Debian: apt install systemd")]
        return super().preflight()

    def read(self) -> Held | None:
        snapshot = self._read()
        if snapshot is None or not snapshot.content.strip():
            return None
        plain = self._crypt("decrypt", Secret(snapshot.content.decode(errors="replace"))).strip("\r\n")
        return Held({"key": Secret(plain)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        version = expect or (before.version if before and not before.content.strip() else "")
        sealed = self._crypt("encrypt", credential.primary)
        return self._replace(sealed.encode(), version, note.rotation)

    def _crypt(self, verb: str, text: Secret) -> str:
        """What systemd-creds makes of it. Raises AccessDenied, PermanentError in its words, TransientError."""
        name = self.credential or PurePosixPath(self.path).name
        key = [f"--with-key={self.with_key}"] if verb == "encrypt" else []
        command = self._there.command("systemd-creds", verb, *key, f"--name={name}", "-", "-")
        ended = self._there.repeated(f"export LC_ALL=C; {command}", text)
        if ended.code == 0:
            return ended.out
        told = f"{self.place} is not {verb}ed: {ended.words}"
        if "Permission denied" in ended.err or "Operation not permitted" in ended.err:
            raise AccessDenied(told, "the host's key is root's: `sudo: true`, or run rotator as root")
        raise PermanentError(told, f"try it there: {shlex.join(['systemd-creds', verb, f'--name={name}', self.path])}")
