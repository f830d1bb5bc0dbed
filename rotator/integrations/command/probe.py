"""Probe `command`: a program of the user's own tries the key."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.clients import foreseen, programs
from rotator.durations import Seconds
from rotator.errors import OutcomeUnknown, Rejected, TransientError
from rotator.model import Credential, Finding
from rotator.plugin import own_variables, playbook_folder, setting


@dataclass(frozen=True, kw_only=True)
class CommandProbe:
    """Run a program with the key on its standard input. 0 = it works, 77 = refused, 75 = ask again
    later.
    """

    run: list[str] = setting("The program and its arguments", program=True)
    timeout: Seconds = setting("How long it may take", default=60.0)
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()

    @property
    def local(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"command {self.run[0].rsplit('/', 1)[-1]}"

    asks_with_key = True

    def preflight(self) -> list[Finding]:
        return foreseen.findings((self.run,), self.folder)

    def probe(self, credential: Credential) -> None:
        try:
            ended = programs.run(
                self.run,
                stdin=credential.primary,
                own=self.inherit,
                timeout=self.timeout,
                cwd=self.folder,
            )
        except OutcomeUnknown as error:
            raise TransientError(error.message) from error
        if ended.code == programs.REJECTED:
            raise Rejected(f"{self.name}: the key is refused: {ended.words}")
        programs.expect_success(ended, self.run, own=self.inherit)
