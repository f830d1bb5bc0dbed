"""Store `acme`."""

from __future__ import annotations

from dataclasses import dataclass

from acme_rotator.service import Service
from rotator.errors import Conflict
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class AcmeStore:
    """Keep a credential as a secret of Acme."""

    folder: str = setting("Folder of the service", path=True)
    secret: str = setting("Name of the secret")

    compare_and_set = True
    write_only = False

    @property
    def name(self) -> str:
        return f"acme {self.folder}/{self.secret}"

    @property
    def _service(self) -> Service:
        return Service(self.folder)

    def preflight(self) -> list[Finding]:
        self._service.load(self.secret)
        return [Finding(Level.OK, f"writes {self.secret}")]

    def read(self) -> Held | None:
        entry = self._service.load(self.secret)
        if not entry:
            return None
        return Held({"key": Secret(entry["value"])}, str(entry["version"]))

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        entry = self._service.load(self.secret)
        if str(entry.get("version", "")) != expect:
            raise Conflict(f"{self.name} was changed by somebody else")
        version = entry.get("version", 0) + 1
        value = credential.primary.reveal()
        self._service.save(self.secret, {"value": value, "version": version})
        return str(version)

    def retire(self, version: str) -> None:
        """A secret of Acme has one version only."""

    def tidy(self, expect: str) -> None:
        """One request writes all."""
