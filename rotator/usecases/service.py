"""The way in for the command line, for tests and for whoever embeds rotator."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.playbook.directory import Loaded
from rotator.usecases import due, rotate, runtime
from rotator.usecases.report import Report
from rotator.usecases.request import Request

__all__ = ["Request", "Service"]

_ROTATE = Request()


class Service(runtime.Runtime):
    """One process's way to the journal and the playbooks, with what it rotates by them.

    The orders of people are functions of the other modules here: they take a service.
    """

    def expect(self, names: Sequence[str], compromised: bool = False) -> None:
        """Raises ConfigError for a name that nobody knows, before anything is begun."""
        rotate.expect(self, names, compromised)

    def rotate(self, name: str, request: Request = _ROTATE) -> Report:
        """Rotate one playbook, or carry its unfinished rotation on.

        Errors become part of the report.
        """
        return rotate.rotate(self, name, request)

    def rotate_all(self, names: Sequence[str], request: Request) -> list[Report]:
        """Several side by side; reports in the order of names."""
        return rotate.rotate_all(self, names, request)

    def due(self, request: Request) -> tuple[list[Report], Loaded]:
        """What a clock would do now, everything once."""
        return due.due(self, request)
