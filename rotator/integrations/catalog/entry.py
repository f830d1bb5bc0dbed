"""A provider as data: the shape of a catalog file.

What its words must mean besides is in `proof`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from rotator.durations import Seconds
from rotator.integrations.catalog.request import Auth, Headers, Model, RequestTemplate, word

HEADER = "header:"  # begins an identity that is a header of the answer, not a JMESPath
# Begins a placeholder of a create: what the old key has, by its name in list.each.carried
OLD = "old."
# Begins one for when the new key ends, so that it lives as long as the old one was to live
END = "expires."
FORMS = ("iso", "unix", "seconds", "date")
OWNED = "owned"  # of a revocation: the key's owner was made by rotator for this key alone
BY_HAND = "operator"  # of `create` and `revoke`: a person does it in the console

Refusal = Annotated[int, Field(ge=400, le=499)]  # a status


class _Requesting(Model):
    request: RequestTemplate = word("What is sent")


class AnswerPaths(Model):
    """Where things are in the answer to a create (JMESPath)."""

    secret: str = word("The new key's value")
    id: str = word("Its id, the one that the list shows", "")
    hint: str = word("Its masked value", "")
    created: str = word("When it was made", "")
    expires: str = word("When it ends", "")


class Create(_Requesting):
    """The first whose `when` (a setting that need not be given) is given makes the key."""

    when: str = word("A setting that must be given for this one; '' = always", "")
    answer: AnswerPaths = word("Where things are in the answer")


class Each(Model):
    """Where things are in each listed key (JMESPath)."""

    in_: str = word("The list of keys in the answer", alias="in")
    id: str = word("The key's id")
    label: tuple[str, ...] = word("The name that the create gave: the first that rotator wrote", ())
    hint: str = word("Its masked value", "")
    created: str = word("When it was made", "")
    expires: str = word("When it ends", "")
    last_used: str = word("When it was last used", "")
    active: str = word("Whether it is active; without it every listed key is", "")
    owner: str = word("Whose it is", "")
    owner_label: str = word("The owner's name, where rotator made the owner for the key", "")
    carried: dict[str, str] = word(
        "What a key has that its successor is to have, too, by names of your own", {}
    )


class Pages(Model):
    """`cursor` + `last` + `more`, or `offset` + `size` until a page is short."""

    cursor: str = word("Query field that takes the last key's mark", "")
    last: str = word("The mark in an answer (JMESPath)", "")
    more: str = word("Whether there is another page (JMESPath)", "")
    offset: str = word("Query field that takes how many keys were seen", "")
    size: int = word("Keys on a page; one with fewer is the last", 100, ge=1)


class Listing(_Requesting):
    """How all keys are listed."""

    pages: Pages | None = word("How the next page is asked for; without it there is one", None)
    each: Each = word("Where things are in each key")


class Switch(_Requesting):
    """Switching a key off, or on again. `{id}` is the key."""


class Revoke(_Requesting):
    """The first whose `when` holds destroys the key. `{id}` is the key."""

    when: str = word(
        "A setting that must be given, or `owned`: rotator made the key's owner for it alone",
        "",
    )
    gone: tuple[Refusal, ...] = word(
        "What is answered for a key that does not exist; believed if the list, or the key itself,"
        " says the same",
        (),
    )


class ProbeEntry(_Requesting):
    """The cheapest call that asks for a key."""

    refused: tuple[Refusal, ...] = word("Statuses that mean that the key is refused", (401,))
    identity: dict[str, str] = word(
        "What must be the same of the old key and the new one, by names of your own (JMESPath, or"
        " `header:NAME`)",
        {},
    )


class LastUsed(Model):
    """That the list tells when a key was last used."""

    granularity: Seconds = word("By how much too early it may tell it, at most")


class SettingEntry(Model):
    """What a playbook says beside `uses`."""

    help: str = word("What it is", "")
    secret: bool = word("A secret: a playbook only refers to it", False)
    required: bool = word("Must be given; where there is a `default`, it need not", True)
    default: str | None = word("Its value where a playbook gives none", None)

    @model_validator(mode="before")
    @classmethod
    def _required(cls, value: Any) -> Any:
        return {"required": "default" not in value, **value} if isinstance(value, dict) else value


class Api(Model):
    """Where requests go, and who asks."""

    base: str | None = word("Address that paths follow; null: the setting `base_url` gives it")
    auth: Auth | None = word("Who asks, where a request does not say so itself", None)
    headers: Headers = word("Headers of every request: texts, or {secret: NAME}", {})


class Steps(Model):
    """What a person does in the console, one sentence a step."""

    create: tuple[str, ...] = word("To make a key", ())
    revoke: tuple[str, ...] = word("To destroy one", ())


class Federation(Model):
    """Access without a key: short-lived tokens for an identity."""

    offered: bool = word("Whether the provider offers it")
    name: str = word("What the provider calls it", "")
    docs: str = word("Address of its documentation", "")


def _or_by_hand(schema: dict[str, Any]) -> None:
    """In the JSON Schema, beside the list: the word for what a person does."""
    listed = {name: schema.pop(name) for name in ("type", "items")}
    schema["anyOf"] = [listed, {"const": BY_HAND}]


class CatalogEntry(Model):
    """A provider with an HTTP API; its name in a playbook is the file's."""

    name: str = word("What people call it")
    console: str = word("Address where a person makes keys, for hints", "")
    docs: str = word("Address of its documentation", "")
    env: tuple[str, ...] = word("Variables that its keys usually are in", ())
    pattern: str = word("What a key looks like, as a regular expression", "")
    overlap: Literal["many"] = word("How many keys may live at once", "many")
    quota: int = word("How many keys there can be; 0 where nobody knows", 0, ge=0)
    list_lag: Seconds = word("How long a listing may lag behind", 30.0)
    max_lifetime: Seconds = word("How long a key may live, as documented; 0: nothing is said", 0.0)
    propagation: Seconds = word(
        "How long until a new key is known everywhere, as documented or measured", 0.0
    )
    revocation: Seconds | None = word(
        "How long until an old key is refused everywhere; as `propagation`, where it is not said",
        None,
    )
    recovery: Literal["label", "difference"] = word(
        "How a create whose answer was lost is found: by its name, or by what is new in the list",
        "label",
    )
    federation: Federation | None = word(
        "Access without a key, as far as the provider says; left out where nobody knows", None
    )
    steps: Steps = word("What a person does in the console, where one is needed", Steps())
    settings: dict[str, SettingEntry] = word("What a playbook says beside `uses`, by name", {})
    api: Api = word("Where requests go, and who asks")
    create: tuple[Create, ...] = word(
        f"How a key is made; `{BY_HAND}`: a person makes it in the console",
        json_schema_extra=_or_by_hand,
    )
    list_: Listing | None = word("How all keys are listed", None, alias="list")
    last_used: LastUsed | None = word(
        "That the list tells the last use; without it there is no quiet step", None
    )
    deactivate: Switch | None = word("How a key is switched off", None)
    reactivate: Switch | None = word("How it is switched on again", None)
    revoke: tuple[Revoke, ...] = word(
        f"How a key is destroyed; `{BY_HAND}`: a person destroys it in the console",
        json_schema_extra=_or_by_hand,
    )
    probe: ProbeEntry | None = word(
        "How a key is tried; left out where a person makes keys and no call is documented that"
        " only tries one",
        None,
    )

    @cached_property
    def in_paths(self) -> frozenset[str]:
        """Names whose values become parts of an address."""
        listing = (self.list_,) if self.list_ else ()
        others = [part for part in (self.deactivate, self.reactivate, self.probe) if part]
        parts: list[_Requesting] = [*self.create, *listing, *others, *self.revoke]
        return frozenset(
            name for part in parts for name in re.findall(r"\{(\w+)\}", part.request.path)
        )

    @field_validator("create", "revoke", mode="before")
    @classmethod
    def _by_hand(cls, value: Any) -> Any:
        return () if value == BY_HAND else value

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
