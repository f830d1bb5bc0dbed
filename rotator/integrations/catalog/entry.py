"""A provider as data: the shape of a catalog file.

What its words must mean besides is in `proof`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from rotator.durations import Seconds

HEADER = "header:"  # begins an identity that is a header of the answer, not a JMESPath
# Begins a placeholder of a create: what the old key has, by its name in list.each.carried
OLD = "old."
# Begins one for when the new key ends, so that it lives as long as the old one was to live
END = "expires."
FORMS = ("iso", "unix", "seconds", "date")
OWNED = "owned"  # of a revocation: the key's owner was made by rotator for this key alone
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

Refusal = Annotated[int, Field(ge=400, le=499)]  # a status


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _word(help: str, default: Any = ..., **more: Any) -> Any:
    """A word of the grammar: what it means is in its schema and its reference page."""
    return Field(default, description=help, **more)


class Auth(_Model):
    """Who asks: `{bearer: NAME}`, or `{header: H, value: NAME}`.

    NAME is a secret setting, or `key` for the probed key.
    """

    bearer: str = _word("The secret whose value follows `Bearer` in the header Authorization", "")
    header: str = _word("Name of another header", "")
    value: str = _word("The secret whose value that header has", "")


class RequestTemplate(_Model):
    """One method with its path: `{POST: /path, json: …, query: …, auth: …}`.

    `{name}` in a path, a query or the body is a setting, `{label}`, `{id}`, `{owner}`, `{old.NAME}`
    or `{expires.FORM}`, each where it means something.
    """

    method: str = _word("GET, POST, PUT, PATCH or DELETE: a key of its own, its value is the path")
    path: str = _word("The path after `api.base`")
    json_body: Any = _word(
        "Body; a field that is an absent setting is left out", None, alias="json"
    )
    query: dict[str, str] = _word("Query; a field that is an absent setting is left out", {})
    auth: Auth | None = _word("Who asks, where it is not `api.auth`", None)

    @model_validator(mode="before")
    @classmethod
    def _method(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        methods = [name for name in value if isinstance(name, str) and name.isupper()]
        if len(methods) != 1 or {"method", "path"} & value.keys():
            raise ValueError("a request has exactly one method, with its path: {GET: /models}")
        rest = {name: found for name, found in value.items() if name != methods[0]}
        return {**rest, "method": methods[0], "path": value[methods[0]]}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """As a file spells it: the method is the key."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema["properties"]
        del properties["method"]
        path = properties.pop("path")
        schema["properties"] = {**dict.fromkeys(METHODS, path), **properties}
        schema["required"] = []
        schema["oneOf"] = [{"required": [method]} for method in METHODS]
        return schema


class _Requesting(_Model):
    request: RequestTemplate = _word("What is sent")


class AnswerPaths(_Model):
    """Where things are in the answer to a create (JMESPath)."""

    secret: str = _word("The new key's value")
    id: str = _word("Its id, the one that the list shows", "")
    hint: str = _word("Its masked value", "")
    created: str = _word("When it was made", "")
    expires: str = _word("When it ends", "")


class Create(_Requesting):
    """The first whose `when` (a setting that need not be given) is given makes the key."""

    when: str = _word("A setting that must be given for this one; '' = always", "")
    answer: AnswerPaths = _word("Where things are in the answer")


class Each(_Model):
    """Where things are in each listed key (JMESPath)."""

    in_: str = _word("The list of keys in the answer", alias="in")
    id: str = _word("The key's id")
    label: tuple[str, ...] = _word(
        "The name that the create gave: the first that rotator wrote", ()
    )
    hint: str = _word("Its masked value", "")
    created: str = _word("When it was made", "")
    expires: str = _word("When it ends", "")
    last_used: str = _word("When it was last used", "")
    active: str = _word("Whether it is active; without it every listed key is", "")
    owner: str = _word("Whose it is", "")
    owner_label: str = _word("The owner's name, where rotator made the owner for the key", "")
    carried: dict[str, str] = _word(
        "What a key has that its successor is to have, too, by names of your own", {}
    )


class Pages(_Model):
    """`cursor` + `last` + `more`, or `offset` + `size` until a page is short."""

    cursor: str = _word("Query field that takes the last key's mark", "")
    last: str = _word("The mark in an answer (JMESPath)", "")
    more: str = _word("Whether there is another page (JMESPath)", "")
    offset: str = _word("Query field that takes how many keys were seen", "")
    size: int = _word("Keys on a page; one with fewer is the last", 100, ge=1)


class Listing(_Requesting):
    """How all keys are listed."""

    pages: Pages | None = _word("How the next page is asked for; without it there is one", None)
    each: Each = _word("Where things are in each key")


class Switch(_Requesting):
    """Switching a key off, or on again. `{id}` is the key."""


class Revoke(_Requesting):
    """The first whose `when` holds destroys the key. `{id}` is the key."""

    when: str = _word(
        "A setting that must be given, or `owned`: rotator made the key's owner for it alone",
        "",
    )
    gone: tuple[Refusal, ...] = _word(
        "What is answered for a key that does not exist; believed if the list, or the key itself,"
        " says the same",
        (),
    )


class ProbeEntry(_Requesting):
    """The cheapest call that asks for a key."""

    refused: tuple[Refusal, ...] = _word("Statuses that mean that the key is refused", (401,))
    identity: dict[str, str] = _word(
        "What must be the same of the old key and the new one, by names of your own (JMESPath, or"
        " `header:NAME`)",
        {},
    )


class LastUsed(_Model):
    """That the list tells when a key was last used."""

    granularity: Seconds = _word("By how much too early it may tell it, at most")


class SettingEntry(_Model):
    """What a playbook says beside `uses`."""

    help: str = _word("What it is", "")
    secret: bool = _word("A secret: a playbook only refers to it", False)
    required: bool = _word("Must be given; where there is a `default`, it need not", True)
    default: str | None = _word("Its value where a playbook gives none", None)

    @model_validator(mode="before")
    @classmethod
    def _required(cls, value: Any) -> Any:
        return {"required": "default" not in value, **value} if isinstance(value, dict) else value


class Api(_Model):
    """Where requests go, and who asks."""

    base: str | None = _word("Address that paths follow; null: the setting `base_url` gives it")
    auth: Auth = _word("Who asks, where a request does not say so itself")


class CatalogEntry(_Model):
    """A provider with an HTTP API; its name in a playbook is the file's."""

    name: str = _word("What people call it")
    console: str = _word("Address where a person makes keys, for hints", "")
    docs: str = _word("Address of its documentation", "")
    env: tuple[str, ...] = _word("Variables that its keys usually are in", ())
    pattern: str = _word("What a key looks like, as a regular expression", "")
    overlap: Literal["many"] = _word("How many keys may live at once", "many")
    quota: int = _word("How many keys there can be; 0 where nobody knows", 0, ge=0)
    list_lag: Seconds = _word("How long a listing may lag behind", 30.0)
    max_lifetime: Seconds = _word("How long a key may live, as documented; 0: nothing is said", 0.0)
    propagation: Seconds = _word(
        "How long until a new key is known everywhere, as documented or measured", 0.0
    )
    revocation: Seconds | None = _word(
        "How long until an old key is refused everywhere; as `propagation`, where it is not said",
        None,
    )
    recovery: Literal["label", "difference"] = _word(
        "How a create whose answer was lost is found: by its name, or by what is new in the list",
        "label",
    )
    settings: dict[str, SettingEntry] = _word("What a playbook says beside `uses`, by name")
    api: Api = _word("Where requests go, and who asks")
    create: tuple[Create, ...] = _word("How a key is made")
    list_: Listing | None = _word("How all keys are listed", None, alias="list")
    last_used: LastUsed | None = _word(
        "That the list tells the last use; without it there is no quiet step", None
    )
    deactivate: Switch | None = _word("How a key is switched off", None)
    reactivate: Switch | None = _word("How it is switched on again", None)
    revoke: tuple[Revoke, ...] = _word("How a key is destroyed")
    probe: ProbeEntry = _word("How a key is tried")

    @cached_property
    def in_paths(self) -> frozenset[str]:
        """Names whose values become parts of an address."""
        listing = (self.list_,) if self.list_ else ()
        switches = [switch for switch in (self.deactivate, self.reactivate) if switch]
        parts: list[_Requesting] = [*self.create, *listing, *switches, *self.revoke, self.probe]
        return frozenset(
            name for part in parts for name in re.findall(r"\{(\w+)\}", part.request.path)
        )

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


@lru_cache
def entry_at(path: Path) -> CatalogEntry:
    """A shipped file. A user's own is read by rotator.playbook.catalog, which proves it."""
    return CatalogEntry.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
