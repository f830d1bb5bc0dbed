"""Store `command`: programs of the user's own read and write the credential."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rotator.clients import around, foreseen, programs
from rotator.durations import Seconds
from rotator.errors import Conflict
from rotator.model import Credential, Finding, Held, Note
from rotator.plugin import own_variables, playbook_folder, setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class CommandStore:
    """Run programs: `write` gets the value on its standard input, `read` prints it.

    Exit 75 = ask again later.
    """

    write_argv: list[str] = setting(
        "Gets the new value on its standard input", alias="write", program=True
    )
    read_argv: list[str] | None = setting(
        "Prints the value; without it the store is write-only",
        default=None,
        alias="read",
        program=True,
    )
    timeout: Seconds = setting("How long each may take", default=60.0)
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()

    compare_and_set = False

    @property
    def local(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"command {self.write_argv[0].rsplit('/', 1)[-1]}"

    @property
    def write_only(self) -> bool:
        return self.read_argv is None

    def preflight(self) -> list[Finding]:
        return foreseen.findings((self.write_argv, self.read_argv), self.folder)

    def read(self) -> Held | None:
        if self.read_argv is None:
            return Held(None, "")
        ended = programs.run(
            self.read_argv, own=self.inherit, timeout=self.timeout, cwd=self.folder
        )
        value = around.bare(
            programs.expect_success(ended, self.read_argv, True, self.inherit).value
        )
        return Held({"key": Secret(value)}, _version(value)) if value else None

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        """Without compare-and-set the present value is read right before: the best that a program
        can do.
        """
        present = self.read() if self.read_argv else None
        if self.read_argv and (present.version if present else "") != expect:
            raise Conflict(f"{self.name} was changed by somebody else")
        environment = {"ROTATOR_KEY_ID": note.key_id, "ROTATOR_ROTATION": note.rotation}
        ended = programs.run(
            self.write_argv,
            stdin=credential.primary,
            env=environment,
            own=self.inherit,
            timeout=self.timeout,
            cwd=self.folder,
        )
        programs.expect_success(ended, self.write_argv, own=self.inherit)
        return _version(credential.primary.reveal()) if self.read_argv else note.rotation

    def retire(self, version: str) -> None:
        return None

    def tidy(self, expect: str) -> None:
        return None


def _version(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12]
