"""What can go wrong, as a tree that a caller can catch by intent.

Every error is a sentence to a person (`message`), a way out (`hint`) and, for plugins, an
instruction to the engine: `TransientError` means "ask again later", `PermanentError` "do not",
`OutcomeUnknown` "it may have happened: look".
"""

from __future__ import annotations


class RotatorError(Exception):
    """Anything rotator tells a person.

    `message` and `hint` never hold a secret: the redactor sees to it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(RotatorError):
    """A playbook, setting or argument is wrong. Exit code 2."""


class BusyError(RotatorError):
    """Someone else holds the playbook's lease.

    Exit code 75. `brief`: only for a debt, it will soon be free.
    """

    def __init__(self, message: str, hint: str = "", brief: bool = False) -> None:
        super().__init__(message, hint)
        self.brief = brief


class RefusedError(RotatorError):
    """Refused before anything was changed. Exit code 6."""


class JournalError(RotatorError):
    """The journal cannot be read or written (missing, newer, corrupt, full disk)."""


class LeaseLost(RotatorError):
    """This process no longer holds the lease: it must stop at once and write nothing."""


class PluginError(RotatorError):
    """A provider, store, restarter or probe could not do what was asked."""


class TransientError(PluginError):
    """Nothing happened; ask again. `retry_in` is in seconds (None: the engine's own back-off)."""

    def __init__(self, message: str, hint: str = "", retry_in: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_in = retry_in


class OutcomeUnknown(PluginError):
    """The call may or may not have had its effect (time-out, connection lost after sending)."""


class Unreadable(OutcomeUnknown):
    """It happened, but the answer cannot be read or used: asking again would only make another."""


class PermanentError(PluginError):
    """Asking again would give the same answer."""


class AccessDenied(PermanentError):
    """The administrator's credential may not do this."""


class NotFound(PermanentError):
    """The thing itself does not exist (a project, a file, a process)."""


class QuotaExceeded(PermanentError):
    """The provider allows no further key."""


class Conflict(PermanentError):
    """Somebody else wrote in between; read again."""


class Rejected(PermanentError):
    """The probed key was refused."""


class Unsupported(PermanentError):
    """This neighbour cannot do that at all."""
