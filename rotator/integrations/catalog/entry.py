"""A provider as data: the shape of a catalog file.

What its words must mean besides is in `proof`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator

from rotator.durations import Seconds
from rotator.integrations.catalog.request import Auth, Headers, Model, RequestTemplate, word

HEADER = "header:"  # begins an identity that is a header of the answer, not a JMESPath
# Begins a placeholder of a create: what the old key has, by its name in list.each.carried
OLD = "old."
# Begins one for when the new key ends, so that it lives as long as the old one was to live
END = "expires."
FORMS = ("iso", "unix", "seconds", "days", "date")
KEY = "key"  # among secrets: the key that a request is about
ACCESS_TOKEN = "access_token"  # among secrets: what `api.token` fetches
LIFETIME = "lifetime"  # a setting of this name says how long a new key lives
SLOT = "slot"  # a placeholder: the slot whose key is made anew
OWNED = "owned"  # of a revocation: the key's owner was made by rotator for this key alone
BY_HAND = "operator"  # of `create` and `revoke`: a person does it in the console

Refusal = Annotated[int, Field(ge=400, le=499)]  # a status


class _Requesting(Model):
    request: RequestTemplate = word("What is sent")
    example: Any = word("An answer to it with invented values, by which the file is tested", None)


class AnswerPaths(Model):
    """Where things are in the answer to a create (JMESPath)."""

    secret: str = word("The new key's value", "")
    id: str = word("Its id, the one that the list shows", "")
    hint: str = word("Its masked value", "")
    created: str = word("When it was made", "")
    expires: str = word("When it ends", "")


class Wait(_Requesting):
    """What is asked until a create is done; `{handle}` is what its answer calls the work."""

    handle: str = word("The name of the work, in the answer to the create")
    done: str = word("Whether it is done, in the answer to this")
    failed: str = word("Why it failed, in the answer to this", "")


class Then(_Requesting):
    """What shows the value of a key that was made; `{id}` is the key."""

    secret: str = word("The new key's value")


class Create(_Requesting):
    """The first whose `when` (a setting that need not be given) is given makes the key."""

    when: str = word("A setting that must be given for this one; '' = always", "")
    needs: tuple[str, ...] = word(
        "Placeholders without which nothing is sent: the key would be another one than meant", ()
    )
    wait: Wait | None = word(
        "What is asked until it is done; then `answer` is in that answer", None
    )
    answer: AnswerPaths = word("Where things are in the answer")
    then: Then | None = word("What shows the key's value, where the answer does not", None)


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
    """`cursor` + `last` + `more`; `offset` or `number`, until a page is short; or `next`."""

    cursor: str = word("Query field that takes the last key's mark", "")
    last: str = word("The mark in an answer (JMESPath)", "")
    more: str = word("Whether there is another page (JMESPath)", "")
    offset: str = word("Query field that takes how many keys were seen", "")
    number: str = word("Query field that takes the page's number", "")
    first: int = word("The number of the first page", 1, ge=0)
    size: int = word("Keys on a page; one with fewer is the last", 100, ge=1)
    next: str = word("The address of the next page, at the same host (JMESPath)", "")


class Listing(_Requesting):
    """How all keys are listed."""

    pages: Pages | None = word("How the next page is asked for; without it there is one", None)
    each: Each = word("Where things are in each key")


class Read(_Requesting):
    """How one key is read, for what the list does not tell of it. `{id}` is the key."""

    carried: dict[str, str] = word(
        "What it has, by names of your own (JMESPath), as in `list.each.carried`"
    )


class WhoAmI(_Requesting):
    """What tells the id of a key that a person supplied, asked with the key itself."""

    id: str = word("The key's id in the answer")


class ToSlots(_Requesting):
    """A request about the slots of a credential."""


class Slots(Model):
    """A credential of two keys at once, each in a slot of its own: none is made beside them, and
    none deleted. Making the key of a slot anew ends the one that was there.
    """

    names: dict[str, str] = word("Each slot's name, and where its key is in the answer to `read`")
    read: ToSlots = word("How both keys are read")
    regenerate: ToSlots = word(
        "How the key of `{slot}` is made anew; its answer is that of `read`, or has the new key at"
        " the same place"
    )

    @field_validator("names")
    @classmethod
    def _two(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) != 2:
            raise ValueError(f"there are two slots, and {len(value)} are named")
        return value


class Amiss(_Requesting):
    """What is asked before the start, and must not be so."""

    when: str = word("What speaks against a rotation, if it is true in the answer (JMESPath)")
    text: str = word("What is said then")
    hint: str = word("What to do about it", "")


class Switch(_Requesting):
    """Switching a key off, or on again. `{id}` is the key."""

    shows: dict[str, Any] = word(
        "For the example: what the list shows then, where the request does not say it itself", {}
    )


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
    alive: str = word(
        "Whether a refusal says that the key is alive, and only may not do this: then it tells"
        " nothing of whom it belongs to",
        "",
    )
    dead: str = word("Whether an answer that is no refusal says that the key is dead", "")
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
    type: Literal["text", "list", "integer", "number", "bool", "map", "duration"] = word(
        "What its value is; what is no text, number or duration stands alone in a body", "text"
    )
    default: Any = word("Its value where a playbook gives none", None)

    @model_validator(mode="before")
    @classmethod
    def _required(cls, value: Any) -> Any:
        return {"required": "default" not in value, **value} if isinstance(value, dict) else value


class Token(_Requesting):
    """How an access token is fetched, which `auth: {bearer: access_token}` sends.

    It is kept in memory, as long as it lives.
    """

    given: str = word(
        "A secret setting with a token that somebody else fetched: where it is given, none is"
        " fetched, and what the request needs must not be given",
        "",
    )
    token: str = word("The token in the answer")
    lives: str = word("For how many seconds it is good, in the answer", "")


class Api(Model):
    """Where requests go, and who asks."""

    base: str | None = word("Address that paths follow; null: the setting `base_url` gives it")
    auth: Auth | None = word("Who asks, where a request does not say so itself", None)
    headers: Headers = word("Headers of every request: texts, or {secret: NAME}", {})
    hosts: dict[str, str | None] = word(
        "Further addresses, for requests with `host: NAME`; the setting NAME_url gives another, and"
        " must be given where the address is null",
        {},
    )
    token: Token | None = word("How an access token is fetched", None)


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


def _or_slots(schema: dict[str, Any]) -> None:
    """In the JSON Schema: where there are slots, nothing is created or revoked."""
    both = [name for name in schema["required"] if name in ("create", "revoke")]
    schema["required"] = [name for name in schema["required"] if name not in both]
    schema["anyOf"] = [{"required": both}, {"required": ["slots"]}]


class CatalogEntry(Model):
    """A provider with an HTTP API; its name in a playbook is the file's."""

    model_config = ConfigDict(json_schema_extra=_or_slots)

    name: str = word("What people call it")
    console: str = word("Address where a person makes keys, for hints", "")
    docs: str = word("Address of its documentation", "")
    env: tuple[str, ...] = word("Variables that its keys usually are in", ())
    pattern: str = word("What a key looks like, as a regular expression", "")
    overlap: Literal["many"] = word("How many keys may live at once", "many")
    quota: int = word("How many keys there can be; 0 where nobody knows", 0, ge=0)
    longest_label: int = word(
        "Characters that a key's name may have, as documented; 0: nothing is said", 0, ge=0
    )
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
    notes: tuple[str, ...] = word(
        "What else a person is to know, also what nobody is sure of; for its page", ()
    )
    steps: Steps = word("What a person does in the console, where one is needed", Steps())
    settings: dict[str, SettingEntry] = word("What a playbook says beside `uses`, by name", {})
    api: Api = word("Where requests go, and who asks")
    create: tuple[Create, ...] = word(
        f"How a key is made; `{BY_HAND}`: a person makes it in the console",
        json_schema_extra=_or_by_hand,
    )
    list_: Listing | None = word("How all keys are listed", None, alias="list")
    read: Read | None = word("How one key is read, for what the list does not tell", None)
    whoami: WhoAmI | None = word("What tells the id of a supplied key", None)
    last_used: LastUsed | None = word(
        "That the list tells the last use; without it there is no quiet step", None
    )
    deactivate: Switch | None = word("How a key is switched off", None)
    reactivate: Switch | None = word("How it is switched on again", None)
    revoke: tuple[Revoke, ...] = word(
        f"How a key is destroyed; `{BY_HAND}`: a person destroys it in the console",
        json_schema_extra=_or_by_hand,
    )
    slots: Slots | None = word(
        "In place of `create`, `list` and `revoke`: a credential with two slots", None
    )
    preflight: tuple[Amiss, ...] = word("What is asked before the start", ())
    probe: ProbeEntry | None = word(
        "How a key is tried; left out where a person makes keys and no call is documented that"
        " only tries one",
        None,
    )

    @property
    def makes(self) -> bool:
        """Whether rotator makes the keys, not a person."""
        return bool(self.create or self.slots)

    @property
    def destroys(self) -> bool:
        """Whether rotator destroys them."""
        return bool(self.revoke or self.slots)

    @cached_property
    def in_paths(self) -> frozenset[str]:
        """Names whose values become parts of an address."""
        found = (re.findall(r"\{\+?(\w+)\}", request.path) for request in self.requests)
        return frozenset(name for names in found for name in names)

    @property
    def requests(self) -> tuple[RequestTemplate, ...]:
        """All that are sent."""
        steps = [step for case in self.create for step in (case.wait, case.then)]
        alone = (self.list_, self.read, self.whoami, self.deactivate, self.reactivate)
        slots = (self.slots.read, self.slots.regenerate) if self.slots else ()
        others = (*slots, *self.preflight, self.probe, self.api.token)
        parts = (*self.create, *steps, *alone, *self.revoke, *others)
        return tuple(part.request for part in parts if part is not None)

    @model_validator(mode="before")
    @classmethod
    def _slotted(cls, value: Any) -> Any:
        if isinstance(value, dict) and "slots" in value:
            return {"create": BY_HAND, "revoke": BY_HAND, **value}
        return value

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
