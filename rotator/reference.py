"""References to secrets in playbooks: {env: NAME}, {file: PATH}, {credential: NAME}, {command:
[argv…]}.

They are resolved at each use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator import environment, plain, stand_in
from rotator.errors import AccessDenied, NotFound, PermanentError
from rotator.secret import Secret

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_HINT = "refer to it, for instance {env: NAME}, {file: PATH} or {credential: NAME}"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is to be had. Files and vaults change, so `resolve()` is asked at each call,
    never kept.

    A playbook's files and programs are absolute by then; its programs run in its `folder`.
    """

    kind: str
    value: str | tuple[str, ...]
    folder: str = field(default="", repr=False, metadata={"folder": True})
    # Variables of rotator's own that its program gets although they hold credentials
    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "env":
            environment.refer(str(self.value))
        if self.kind != "command":  # the same reference, whichever playbook it stands in
            object.__setattr__(self, "folder", "")

    def resolve(self) -> Secret:
        """The secret, without the line's end.

        Raises NotFound, AccessDenied, PermanentError, TransientError.
        """
        resolver = _RESOLVERS[self.kind]
        if self.kind == "command":
            resolver = partial(resolver, folder=self.folder, own=self.own)
        text = resolver(self.value).strip("\r\n")
        if not text:
            raise NotFound(f"{self} is empty", "put the credential there")
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise PermanentError(f"{self} is not UTF-8", "put the credential there as text")
        instead, _ = stand_in.told(text)
        if instead:
            raise PermanentError(f"{self} gives {instead}", "let it give the secret itself")
        return Secret(text)

    def __str__(self) -> str:
        return (
            f"{{{self.kind}:"
            f" {self.value if isinstance(self.value, str) else ' '.join(self.value)}}}"
        )

    @staticmethod
    def parse(value: Any) -> Reference:
        """A reference from YAML. Raises ValueError with the sentence that validation shows."""
        if isinstance(value, Reference):
            return value
        if isinstance(value, str):
            raise ValueError(f"a secret written out in a playbook; {_HINT}")
        own: Any = ()
        if isinstance(value, Mapping) and value.keys() == {"command", "inherit"}:
            own, value = value["inherit"], {"command": value["command"]}
            if not isinstance(own, (list, tuple)) or not all(isinstance(name, str) for name in own):
                raise ValueError(
                    "{command: […], inherit: [NAME, …]} needs a list of variables' names"
                )
        if not isinstance(value, Mapping) or len(value) != 1:
            raise ValueError(f"not a reference; {_HINT}")
        kind, where = next(iter(value.items()))
        if kind not in _RESOLVERS:
            raise ValueError(
                f"unknown kind of reference '{kind}'; known are {', '.join(sorted(_RESOLVERS))}"
            )
        if kind == "command":
            if not isinstance(where, (list, tuple)) or not where:
                raise ValueError("{command: [program, argument, …]} needs a list")
            return Reference(kind, tuple(str(part) for part in where), own=tuple(own))
        if not isinstance(where, str) or not where.strip():
            raise ValueError(f"{{{kind}: …}} needs a text, for instance {{{kind}: NAME}}")
        if kind == "env" and not _VARIABLE.fullmatch(where):
            raise ValueError(f"{{env: …}} needs the name of a variable, and this is none; {_HINT}")
        if kind == "credential" and ("/" in where or where in (".", "..")):
            raise ValueError("{credential: …} needs a name, as LoadCredential= gives it, no path")
        return Reference(kind, where)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.as_yaml)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        kinds = {
            kind: {"type": "array" if kind == "command" else "string"}
            for kind in sorted(_RESOLVERS)
        }
        one = {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }
        named = {
            "type": "object",
            "required": ["command", "inherit"],
            "additionalProperties": False,
        }
        arrays = {
            "command": {"type": "array"},
            "inherit": {"type": "array", "items": {"type": "string"}},
        }
        return {
            "anyOf": [{**one, "properties": kinds}, {**named, "properties": arrays}],
            "title": "reference to a secret",
        }

    def as_yaml(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            self.kind: list(self.value) if isinstance(self.value, tuple) else self.value
        }
        return {**found, "inherit": list(self.own)} if self.own else found


def _env(name: str | tuple[str, ...]) -> str:
    value = os.environ.get(str(name))
    if value is None:
        raise NotFound(
            f"the environment variable {name} is not set", f"export {name}=… for rotator itself"
        )
    return value


def _file(path: str | tuple[str, ...]) -> str:
    try:
        content, _ = plain.read(Path(str(path)))
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", "put the credential there, mode 0600") from error
    except OSError as error:
        raise AccessDenied(
            f"{path} cannot be read: {error.strerror}", "check its owner and mode"
        ) from error
    text = plain.decoded(content, str(path)).removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _credential(name: str | tuple[str, ...]) -> str:
    """What systemd gives a unit by LoadCredential= and its kin (systemd.exec(5), CREDENTIALS)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        hint = (
            "by hand: `rotator-by-hand rotate …` (docs/install.md), or {file: …} instead of"
            " {credential: …}"
        )
        raise NotFound(f"the credential {name} is not here: systemd did not start this", hint)
    try:
        return _file(f"{folder}/{name}")
    except NotFound as error:
        hint = (
            f"`LoadCredential={name}:/etc/rotator/{name}` in its [Service] section, then systemctl"
            f" daemon-reload; in a container: a secret mounted as {folder}/{name}"
        )
        raise NotFound(f"the unit has no credential {name}", hint) from error


# What needs no neighbour. Those of neighbours are handed in by the registry.
_RESOLVERS: dict[str, Callable[..., str]] = {"env": _env, "file": _file, "credential": _credential}


def provide(resolvers: Mapping[str, Callable[..., str]]) -> None:
    """Further kinds of references, by name: from the text (or list) of the reference to
    the secret.
    """
    _RESOLVERS.update(resolvers)
