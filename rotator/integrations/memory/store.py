"""Store `memory`: a cell in this process, with versions and compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.errors import Conflict
from rotator.integrations.memory.world import WORLD
from rotator.model import Credential, Finding, Held, Note
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class MemoryStore:
    """Keep a credential in a cell of this process; for rehearsals and tests."""

    cell: str = setting("Name of the cell")
    write_only: bool = setting("Whether the value can not be read back", default=False)
    compare_and_set = True

    @property
    def name(self) -> str:
        return f"memory {self.cell}"

    def preflight(self) -> list[Finding]:
        return []

    def read(self) -> Held | None:
        cell = WORLD.cell(self.cell)
        if cell.values is None:
            return None
        return Held(None if self.write_only else cell.values, str(cell.version), cell.note)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        with WORLD.lock:
            cell = WORLD.cell(self.cell)
            present = str(cell.version) if cell.values is not None else ""
            if present != expect:
                raise Conflict(f"{self.name} was changed by somebody else")
            cell.values, cell.version, cell.written_at = (
                dict(credential.values),
                cell.version + 1,
                WORLD.now(),
            )
            cell.note = note
            return str(cell.version)

    def retire(self, version: str) -> None:
        return None

    def tidy(self, expect: str) -> None:
        return None
