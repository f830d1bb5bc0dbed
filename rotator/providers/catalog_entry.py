"""A provider as data: the shape of a catalog file, checked when it is loaded."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from rotator.errors import ConfigError

HEADER = "header:"  # begins an identity that is a header of the answer, not a JMESPath
OWNED = "owned"  # of a revocation: the key's owner was made by rotator for this key alone


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(_Model):
    """`bearer: NAME` or `header: H, value: NAME`; NAME is a secret setting, or `key` for the probed key."""

    bearer: str = ""
    header: str = ""
    value: str = ""


class RequestTemplate(_Model):
    """`{POST: /path, json: …, query: …, auth: …}`: one method with its path."""

    method: str
    path: str
    json_body: Any = None
    query: dict[str, str] = {}
    auth: Auth | None = None

    @classmethod
    def of(cls, value: Any) -> RequestTemplate:
        if isinstance(value, RequestTemplate):
            return value
        methods = [name for name in value if name.isupper()]
        if len(methods) != 1:
            raise ValueError("a request has exactly one method, for instance {GET: /models}")
        rest = {name: found for name, found in value.items() if name != methods[0]}
        if "json" in rest:
            rest["json_body"] = rest.pop("json")
        return cls(method=methods[0], path=value[methods[0]], **rest)


class _Requesting(_Model):
    when: str = ""  # a setting that must be given, or `owned`: the key's owner was made by rotator for it alone
    request: RequestTemplate

    @field_validator("request", mode="before")
    @classmethod
    def _request(cls, value: Any) -> Any:
        return RequestTemplate.of(value)


class AnswerPaths(_Model):
    """Where things are in the answer to a create (JMESPath)."""

    secret: str
    id: str = ""
    hint: str = ""
    created: str = ""
    expires: str = ""


class Create(_Requesting):
    answer: AnswerPaths


class Each(_Model):
    """Where things are in each listed key (JMESPath). `label`: the first that rotator wrote."""

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


class Pages(_Model):
    """`cursor` + `last` + `more`, or `offset` + `size` until a page is short."""

    cursor: str = ""
    last: str = ""
    more: str = ""
    offset: str = ""
    size: int = 100


class Listing(_Requesting):
    pages: Pages | None = None
    each: Each


class Switch(_Requesting):
    pass


class Revoke(_Requesting):
    gone: tuple[int, ...] = ()


class ProbeEntry(_Requesting):
    refused: tuple[int, ...] = (401,)
    identity: dict[str, str] = {}


class LastUsed(_Model):
    """That the list tells when a key was last used, and by how many seconds too early it may tell it."""

    granularity: Seconds


class SettingEntry(_Model):
    help: str = ""
    secret: bool = False
    required: bool = True
    default: Any = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> SettingEntry:
        return cls(required="default" not in value, **value)


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
    quota: int = 0
    list_lag: Seconds = 30.0
    propagation: Seconds = 0.0  # until a new key is known everywhere, as documented or measured
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

    @field_validator("settings", mode="before")
    @classmethod
    def _settings(cls, value: Any) -> Any:
        return {name: SettingEntry.of(entry) for name, entry in value.items()}

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        re.compile(value)
        return value


def load_entry(path: Path) -> CatalogEntry:
    """A catalog file. Raises ConfigError naming the file and why it cannot be read, or its first mistake."""
    try:
        return CatalogEntry.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "a text file, readable here") from error
    except (ValueError, yaml.YAMLError, re.error, TypeError) as error:
        first = str(error).split("\n\n")[0].replace("\n", " ")
        raise ConfigError(
            f"{path} is not a provider: {first}", "compare it with the shipped ones: `rotator plugins`"
        ) from error


def catalog() -> Path:
    """The directory of the catalog files that come with rotator."""
    return Path(str(resources.files("rotator.providers") / "catalog"))


@lru_cache
def shipped() -> dict[str, Path]:
    """The catalog files that come with rotator, by provider name."""
    return {path.stem: path for path in sorted(catalog().glob("*.yaml"))}


@lru_cache
def entry_at(path: Path) -> CatalogEntry:
    return load_entry(path)


def key_patterns() -> list[str]:
    """Patterns of all shipped providers' keys, for the redactor. Reads text only: nothing heavy is imported."""
    found = []
    for path in shipped().values():
        match = re.search(r"^pattern: '(.*)'$", path.read_text(encoding="utf-8"), re.M)
        if match:
            found.append(match[1])
    return found
