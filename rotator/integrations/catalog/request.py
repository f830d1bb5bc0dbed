"""A request of a catalog file: its method and path, what it carries, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Model(BaseModel):
    """A part of the grammar."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def word(help: str, default: Any = ..., **more: Any) -> Any:
    """A word of the grammar: what it means is in its schema and its reference page."""
    return Field(default, description=help, **more)


class HeaderValue(Model):
    """What a header holds: a text, or `{secret: NAME}`."""

    text: str = word("What a plain text in its place stands for", "")
    secret: str = word("The secret setting whose value it is", "")

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        secret = {"secret": {"type": "string"}}
        named = {"type": "object", "properties": secret, "required": ["secret"]}
        return {"anyOf": [{"type": "string"}, {**named, "additionalProperties": False}]}


Headers = dict[str, HeaderValue]


class Auth(Model):
    """Who asks: `{bearer: NAME}`, `{header: H, value: NAME}`, or `{basic: [NAME, NAME]}`.

    NAME is a secret setting, or `key` for the key itself.
    """

    bearer: str = word("The secret whose value follows `Bearer` in the header Authorization", "")
    header: str = word("Name of another header", "")
    prefix: str = word("What stands before the value in that header, for instance `Token `", "")
    value: str = word("The secret whose value that header has", "")
    basic: tuple[str, ...] = word(
        "User and password of HTTP Basic: two settings, the second one secret", ()
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of what must be known to ask so."""
        return tuple(name for name in (self.bearer, self.value, *self.basic) if name)


def secret_named(value: Any) -> str:
    """The NAME of `{secret: NAME}` in a body, '' for anything else."""
    if isinstance(value, Mapping) and value.keys() == {"secret"}:
        name = value["secret"]
        return name if isinstance(name, str) else ""
    return ""


def secrets_in(body: Any) -> frozenset[str]:
    """Every NAME of `{secret: NAME}` in a body."""
    if name := secret_named(body):
        return frozenset({name})
    inside = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    return frozenset[str]().union(*map(secrets_in, inside))


class RequestTemplate(Model):
    """One method with its path: `{POST: /path, json: …, query: …, auth: …}`.

    `{name}` in a path, a query or the body is a setting, `{label}`, `{id}`, `{owner}`, `{old.NAME}`
    or `{expires.FORM}`, each where it means something; `{+name}` in a path keeps its slashes.
    `{secret: NAME}` in a body is the value of a secret.
    """

    method: str = word("GET, POST, PUT, PATCH or DELETE: a key of its own, its value is the path")
    path: str = word("The path after `api.base`")
    json_body: Any = word("Body; a field that is an absent setting is left out", None, alias="json")
    form: dict[str, Any] | None = word(
        "Body in the form of HTML forms, where it is not `json`", None
    )
    query: dict[str, str] = word("Query; a field that is an absent setting is left out", {})
    headers: Headers = word("Headers of this request, beside `api.headers`", {})
    auth: Auth | None = word("Who asks, where it is not `api.auth`", None)
    host: str = word("Which of `api.hosts` is asked; else `api.base` is", "")

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets in its body and its own headers."""
        named = frozenset(value.secret for value in self.headers.values() if value.secret)
        return named | secrets_in(self.json_body) | secrets_in(self.form)

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
