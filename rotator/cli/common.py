"""What the verbs share: the service, options, examples."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rotator.cli.steps import StepView
    from rotator.usecases.service import Service

F = TypeVar("F", bound=Callable[..., Any])
_FILES = 64
CONTEXT = {"help_option_names": ["-h", "--help"]}


def service(way: str = "cli", observe: Any = None) -> Service:
    """The service of this process, with the redactor told about keys' patterns."""
    from rotator import settings
    from rotator.usecases.service import Service

    know_key_patterns()
    _may_open_files()
    found = _traced(Service(settings.load(), way))
    if observe is not None:
        watch(found, observe)
    return found


def watch(found: Service, observe: Any) -> None:
    """Each call and what is waited for is told to `observe`, and logged."""
    from rotator.cli.log import logging

    level = found.settings.log_level.lower()
    found.observe = logging(observe, level, found.settings.log_format)
    found.waits = observe.waits


def _traced(found: Service) -> Service:
    """With a listener for traces, where the environment asks for them."""
    if any(name.startswith("OTEL_") for name in os.environ):
        from rotator.cli import traces  # late: nobody else needs it

        found.traces = traces.listening(found.listeners)
    return found


def _may_open_files() -> None:
    """Raises ConfigError where a rotation would run out of files in its middle: with 16 the undo
    could not, either.
    """
    import resource

    from rotator.errors import ConfigError

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and most < _FILES:
        raise ConfigError(
            f"rotator may open {most} files only (ulimit -n), and needs {_FILES}",
            f"ulimit -n {_FILES}",
        )


def examples(*lines: str) -> str:
    """The end of a help page: commands as they are typed."""
    return "\n".join(
        ["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)]
    )


def playbook_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Tab completion: files, and the playbooks of those that make several."""
    from rotator import settings
    from rotator.playbook.names import names_in

    files = (path for folder in settings.load().folders for path in folder.glob("*.yaml"))
    names = {name for path in files for name in names_in(path)}
    return sorted(name for name in names if name.startswith(incomplete))


def know_key_patterns() -> None:
    """What looks like a key of a provider that is shipped is blanked out from here on."""
    from rotator.integrations.catalog.shipped import key_patterns
    from rotator.secret import redact

    redact.add_patterns(key_patterns())


def _tidy(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A reason is kept and shown: without a key that was pasted into it, on one line."""
    from rotator.shown import tidy

    if value:
        know_key_patterns()
    return tidy(value)


def required_reason_option(help_text: str) -> Callable[[F], F]:
    return click.option("--reason", required=True, callback=_tidy, help=help_text)


name_argument = click.argument("name", shell_complete=playbook_names)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (docs/json.md)."
)
reason_option = click.option(
    "--reason", default="", callback=_tidy, help="Why; it stands in the audit log."
)
wait_option = click.option(
    "--wait", is_flag=True, help="Stay until the old keys are revoked, or one needs attention."
)


class closing:
    """Closes the service when the verb is over, however that is, and what showed it live."""

    def __init__(self, found: Service, view: StepView | None = None) -> None:
        self._found, self._view = found, view

    def __enter__(self) -> Service:
        return self._found

    def __exit__(self, *_: object) -> None:
        if self._view is not None:
            self._view.close()
        self._found.close()
        if self._found.traces is not None:
            self._found.traces.close()
        if self._found.not_exported:
            from rotator.cli import console

            told = f"the audit log was not taken outside: {self._found.not_exported}"
            console.complain(
                told, "it goes with the next one; `rotator audit export` tries at once"
            )
        if self._found.not_told:
            from rotator.cli import console

            told = f"nobody was told: {self._found.not_told}"
            console.complain(told, "notices wait in the journal for the next process")
