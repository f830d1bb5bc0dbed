"""A provider as data: the shape of a catalog file.

What its words must mean besides is in `proof`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rotator.durations import Seconds

HEADER = "header:"  # begins an identity that is a header of the answer, not a JMESPath
# Begins a placeholder of a create: what the old key has, by its name in list.each.carried
OLD = "old."
# Begins one for when the new key ends, so that it lives as long as the old one was to live
END = "expires."
FORMS = ("iso", "unix", "seconds", "date")
OWNED = "owned"  # of a revocation: the key's owner was made by rotator for this key alone


Refusal = Annotated[int, Field(ge=400, le=499)]  # a status


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Auth(_Model):
    """`bearer: NAME` or `header: H, value: NAME`; NAME is a secret setting, or `key` for the probed
    key.
    """

    bearer: str = ""
    header: str = ""
    value: str = ""


class RequestTemplate(_Model):
    """`{POST: /path, json: …, query: …, auth: …}`: one method with its path."""

    method: str
    path: str
    json_body: Any = Field(default=None, alias="json")
    query: dict[str, str] = {}
    auth: Auth | None = None

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


class _Requesting(_Model):
    request: RequestTemplate


class AnswerPaths(_Model):
    """Where things are in the answer to a create (JMESPath)."""

    secret: str
    id: str = ""
    hint: str = ""
    created: str = ""
    expires: str = ""


class Create(_Requesting):
    """The first whose `when` (a setting that need not be given) is given makes the key."""

    when: str = ""
    answer: AnswerPaths


class Each(_Model):
    """Where things are in each listed key (JMESPath). `label`: the first that rotator wrote.

    `carried`: what a key has that its successor is to have, too, by names of their own.
    """

    in_: str = Field(alias="in")
    id: str
    label: tuple[str, ...] = ()
    hint: str = ""
    created: str = ""
    expires: str = ""
    last_used: str = ""
    active: str = ""
    owner: str = ""
    owner_label: str = ""
    carried: dict[str, str] = {}


class Pages(_Model):
    """`cursor` + `last` + `more`, or `offset` + `size` until a page is short."""

    cursor: str = ""
    last: str = ""
    more: str = ""
    offset: str = ""
    size: int = Field(default=100, ge=1)


class Listing(_Requesting):
    pages: Pages | None = None
    each: Each


class Switch(_Requesting):
    pass


class Revoke(_Requesting):
    """`when`: a setting that must be given, or `owned`: the key's owner was made by rotator for it
    alone.

    `gone`: what is answered for a key that does not exist; believed if the list, or the key itself,
    says the same.
    """

    when: str = ""
    gone: tuple[Refusal, ...] = ()


class ProbeEntry(_Requesting):
    refused: tuple[Refusal, ...] = (401,)
    identity: dict[str, str] = {}


class LastUsed(_Model):
    """That the list tells when a key was last used, and by how many seconds too early it may tell
    it.
    """

    granularity: Seconds


class SettingEntry(_Model):
    help: str = ""
    secret: bool = False
    required: bool = True
    default: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _required(cls, value: Any) -> Any:
        return {"required": "default" not in value, **value} if isinstance(value, dict) else value


class Api(_Model):
    base: str | None
    auth: Auth


class CatalogEntry(_Model):
    name: str
    console: str = ""
    docs: str = ""
    env: tuple[str, ...] = ()
    pattern: str = ""
    overlap: Literal["many"] = "many"
    quota: int = Field(default=0, ge=0)
    list_lag: Seconds = 30.0
    max_lifetime: Seconds = 0.0  # of a key, as documented; 0 where nothing is
    propagation: Seconds = 0.0  # until a new key is known everywhere, as documented or measured
    # Until an old one is refused everywhere; as long, where it is not said
    revocation: Seconds | None = None
    recovery: Literal["label", "difference"] = "label"
    settings: dict[str, SettingEntry]
    api: Api
    create: tuple[Create, ...]
    list_: Listing | None = Field(default=None, alias="list")
    last_used: LastUsed | None = None
    deactivate: Switch | None = None
    reactivate: Switch | None = None
    revoke: tuple[Revoke, ...]
    probe: ProbeEntry

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
