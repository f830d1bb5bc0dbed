"""What a plugin takes from a playbook: its fields, each documented by `setting`."""

from __future__ import annotations

import dataclasses
from typing import Any

# `__pydantic_config__` of a dataclass inside a setting: what it does not know is a mistake, too
STRICT = {"extra": "forbid"}


def setting(
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    connection: bool = False,
    alias: str = "",
    path: bool = False,
    elsewhere: str = "",
    program: bool = False,
    runs: bool = False,
) -> Any:
    """A setting of a plugin. `connection` settings come from today's playbook, not the one a
    rotation began with.

    `alias` is its name in a playbook where a method already has that name. A `path` is absolute
    when the plugin gets it: a relative one begins in the playbook's folder; where the setting
    `elsewhere` is given, it is another machine's and stays as it is. A `program` is a list:
    program, arguments; a path in its first word is treated alike. What stands in a file that `runs`
    may name programs, too.

    Example: `path: str = setting("The file, for instance /srv/app/.env", path=True)`.
    """
    metadata = {
        "help": help,
        "connection": connection,
        "spelled": alias,
        "path": path,
        "elsewhere": elsewhere,
        "program": program,
        "runs": runs,
    }
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def own_variables() -> Any:
    """Which of rotator's credentials a program of the user's is to have all the same."""
    help_text = (
        "Variables of rotator's own environment that it gets although they hold credentials"
        " (ROTATOR_…, AWS_…, …)"
    )
    return setting(help_text, default_factory=list, connection=True)


def playbook_folder() -> Any:
    """The folder of the playbook, '' without one: no setting, handed over when it is loaded.

    Programs run there.
    """
    return dataclasses.field(default="", repr=False, metadata={"hidden": True, "folder": True})


def beside_settings() -> Any:
    """Parts of the playbook that a plugin gets when it is loaded: no setting."""
    return dataclasses.field(default=(), repr=False, compare=False, metadata={"hidden": True})


def values_of(plugin: object) -> dict[str, Any]:
    """The fields of a dataclass (a plugin, or what its settings are made of) and their values, not
    those inside them.
    """
    if not dataclasses.is_dataclass(plugin) or isinstance(plugin, type):
        return {}
    return {field.name: getattr(plugin, field.name) for field in dataclasses.fields(plugin)}
