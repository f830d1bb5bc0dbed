"""Playbooks: from YAML to plugins that are made and checked."""

import os

from pydantic import TypeAdapter

_SWITCH = "PYDANTIC_DISABLE_PLUGINS"


def _know_no_plugins() -> None:
    """pydantic looks for plugins of its own in the metadata of every installed package: 30 ms of
    each start.

    It looks once; programs that we start have their plugins.
    """
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "__all__"
    try:
        TypeAdapter(bool)
    finally:
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before


_know_no_plugins()
