"""Request templates and answers of catalog providers: filling in, authentication, translating
statuses; the key in an answer to a create.

Source: RFC 9110, 15 (statuses), RFC 6585; each provider's own documentation is named in its
file (`docs:`).
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from rotator.clients import http, http_status, reading
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
    QuotaExceeded,
    Unreadable,
    Unsupported,
)
from rotator.integrations.catalog.entry import HEADER, KEY, Api, CatalogEntry
from rotator.integrations.catalog.request import Auth, Headers, RequestTemplate, secret_named
from rotator.secret import Secret, redact

FIELD = re.compile(r"\{(\w+(?:\.\w+)?)\}")
_IN_PATH = re.compile(r"\{(\+?)(\w+)\}")
_NAME = re.compile(
    r"_?(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,4})(?:_?(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,4}))*+"
)  # words, no key
# A limit on keys, not on requests a minute.
_FULL = re.compile(
    r"(?<!rate[ _-])(?<![a-z])limits?(?![a-z])|quota|maximum|too many (?!requests)", re.I
)
_UNPAID = re.compile(
    r"insufficient[ _](quota|credits?|balance|funds)|out of credits?|credit balance|check your [a-z"
    r" ]*billing",
    re.I,
)
# A create that is answered so was refused before the work: who asks, what is asked for, and how
# often, are looked at first (RFC 9110 and 6585; 422 is what frameworks answer to a body that does
# not validate). 400, 409 and 3xx are not here: gateways answer so for a server behind them that had
# done the work, and 409 is also "there is one already".
REFUSALS = frozenset(
    {401, 402, 403, 404, 405, 406, 407, 410, 411, 413, 414, 415, 417, 421, 422, 426, 428, 429, 431}
)


def fill(
    template: Any, values: Mapping[str, Any], secrets: Mapping[str, Secret] | None = None
) -> Any:
    """The template with {names} filled in; a JSON field whose only content is an absent value is
    left out.

    Raises Unsupported for a secret of a body that nobody knows.
    """
    if secrets is not None and (named := secret_named(template)):
        return _known(named, secrets).reveal()
    if isinstance(template, str):
        whole = FIELD.fullmatch(template)
        if whole:
            return values.get(whole[1])
        if any(values.get(name) is None for name in FIELD.findall(template) if "." in name):
            return None  # the old key has none: `{expires.seconds}s` is no text without it
        return FIELD.sub(lambda placeholder: _or_nothing(values.get(placeholder[1])), template)
    if isinstance(template, Mapping):
        filled = {name: fill(value, values, secrets) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not None}
    if isinstance(template, list):
        return [fill(value, values, secrets) for value in template]
    return template


def _known(name: str, secrets: Mapping[str, Secret]) -> Secret:
    if name not in secrets:
        what = "value of this key" if name == KEY else f"value of {name}"
        raise Unsupported(
            f"the {what} is not known here", "it is asked for by its value, not its id"
        )
    return secrets[name]


def placeholders(template: Any) -> set[str]:
    """The names in braces in all of it."""
    if isinstance(template, str):
        return set(FIELD.findall(template))
    inside = (
        template.values()
        if isinstance(template, Mapping)
        else template
        if isinstance(template, list)
        else ()
    )
    return set().union(*map(placeholders, inside))


def needed(request: RequestTemplate) -> set[str]:
    """Every name in it: settings, placeholders and secrets."""
    path = request.path.replace("{+", "{")
    parts = [path, request.query, request.json_body, request.form]
    return placeholders(parts) | request.secrets


def _or_nothing(value: Any) -> str:
    return "" if value is None else str(value)


def build(
    template: RequestTemplate,
    base: str,
    api: Api,
    secrets: Mapping[str, Secret],
    values: Mapping[str, Any],
    makes_key: bool = False,
) -> http.Request:
    """A request with its authentication; values in the path are quoted.

    Raises PermanentError for a value that would lead to another address, ConfigError for a secret
    that is no header.
    """
    query = {name: str(value) for name, value in fill(template.query, values).items()}
    # Without what stands around it: so does every recipient read it (RFC 9110, 5.5).
    tidy = {name: Secret(secret.reveal().strip(" \t\r\n")) for name, secret in secrets.items()}
    form = fill(template.form, values, tidy)
    return http.Request(
        template.method,
        base.rstrip("/") + path_of(template, values),
        {
            **_further({**api.headers, **template.headers}, tidy),
            **headers(template.auth or api.auth or Auth(), tidy, values),
        },
        query,
        fill(template.json_body, values, tidy),
        {name: _in_form(value) for name, value in form.items()} if form is not None else None,
        tuple(tidy.values()),
        makes_key,
    )


def path_of(template: RequestTemplate, values: Mapping[str, Any]) -> str:
    """Its path with the values in it, quoted. Raises PermanentError."""
    return _IN_PATH.sub(
        lambda placeholder: _part(
            placeholder[2], values.get(placeholder[2]), whole=not placeholder[1]
        ),
        template.path,
    )


def _in_form(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _part(name: str, value: Any, whole: bool = True) -> str:
    """`whole`: it is one part of the path; else each of its parts between slashes is one."""
    part = _or_nothing(value)
    for one in [part] if whole else part.split("/"):
        if reason := reading.unfit(one):
            raise PermanentError(
                f"the {name} cannot be part of an address: it is {reason}",
                "nothing was sent; where does it come from?",
            )
    return urllib.parse.quote(part, safe="" if whole else "/")


def headers(auth: Auth, secrets: Mapping[str, Secret], values: Mapping[str, Any]) -> dict[str, str]:
    """Who asks, as a header."""
    if auth.basic:
        user, password = (
            str(values[name]) if values.get(name) is not None else _for_header(name, secrets)
            for name in auth.basic
        )
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"authorization": f"Basic {pair}"}
    if auth.bearer:
        return {"authorization": f"Bearer {_for_header(auth.bearer, secrets)}"}
    return {auth.header: f"{auth.prefix}{_for_header(auth.value, secrets)}"} if auth.value else {}


def _further(given: Headers, secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {
        name: _for_header(value.secret, secrets) if value.secret else value.text
        for name, value in given.items()
        if not value.secret or value.secret in secrets  # a probe knows the key alone
    }


def _for_header(name: str, secrets: Mapping[str, Secret]) -> str:
    value = _known(name, secrets).reveal()
    if reason := reading.no_header(value):
        raise ConfigError(
            f"{name} cannot stand in a header: {reason}",
            f"put the right one where {name} refers to",
        )
    return value


def check(
    entry: CatalogEntry, request: http.Request, answer: http.Answer, credential: str
) -> http.Answer:
    """The answer if it is a good one; else the error that its status means.

    `credential` names who asked.
    """
    who = entry.name
    if answer.status < 300:
        return answer
    shown, said = _shown(entry, request, answer), _said(answer)
    words = f"{who} answered {answer.status} to {request.method} {_path(request.url)}: {shown}"
    if answer.status == 402 or (answer.status in (400, 403, 429) and _UNPAID.search(said)):
        raise PermanentError(words, f"the account has no credit left: {entry.console}")
    http_status.passing(answer, request, who, shown)
    if answer.status in (400, 403, 409, 422) and _FULL.search(said):
        raise QuotaExceeded(words, f"delete a key that nobody needs: {entry.console}")
    match answer.status:
        case 401:
            raise AccessDenied(f"{who} refuses {credential} (401): {shown}", "is it still valid?")
        case 403:
            raise AccessDenied(words, f"{credential} lacks a permission; see {entry.docs}")
        case 404:
            raise NotFound(words, "are the project and the address right?")
        case 409:
            raise Conflict(words)
        case _:
            raise PermanentError(words)


def check_create(
    entry: CatalogEntry, request: http.Request, answer: http.Answer, credential: str
) -> http.Answer:
    """As `check`, for a request that makes a key: what is no clear refusal may have made one
    (Unreadable).

    A quota that is full is a refusal, whatever its status.
    """
    try:
        return check(entry, request, answer, credential)
    except QuotaExceeded:
        raise
    except PermanentError as error:
        if answer.status in REFUSALS:
            raise
        raise Unreadable(
            error.message, error.hint or "a key that it made all the same is looked for"
        ) from error


def _said(answer: http.Answer) -> str:
    """All that a JSON error says, its codes too; a page of a proxy says nothing about keys."""
    try:
        body = answer.json()
    except PermanentError:
        return ""
    return json.dumps(body.get("error", body) if isinstance(body, dict) else body)[:5000]


def _shown(entry: CatalogEntry, request: http.Request, answer: http.Answer) -> str:
    """An error's words without what may be a key that nobody knows; none of them where one may just
    have been made.
    """
    if request.makes_key:
        return f"{_phrase(answer.status)} (its words are not shown: the new key may stand in them)"
    return re.sub(entry.pattern, "***", answer.guarded) if entry.pattern else answer.guarded


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "a status that HTTP does not know"


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def data_of(answer: http.Answer) -> Any:
    """All of an answer, None where it is no JSON or there is none."""
    try:
        return answer.json() if answer.body.strip() else None
    except PermanentError:
        return None


def secret_in(
    entry: CatalogEntry, path: str, answer: http.Answer, said: str = "answer.secret"
) -> Secret:
    """The new key in an answer. `said` is the word of the file that has the path.

    Raises Unreadable, which shows names only.
    """
    where = f"{entry.name} answered a create ({answer.status})"
    try:
        data = answer.json() if answer.body.strip() else None
    except PermanentError as error:
        html = "html" in answer.headers.get("content-type", "").lower()
        what = "a page of HTML" if html else f"{len(answer.body)} bytes that are not JSON"
        raise Unreadable(f"{where} with {what}", "is a proxy's login page in between?") from error
    key = reading.pick(path, data)
    if not isinstance(key, str):
        what = f"{_kind(key)} at `{path}`" if key is not None else f"nothing at `{path}`"
        raise Unreadable(
            f"{where} without a key: {what} ({said}); {fields_of(data)}",
            f"correct {said} in the catalog file, or is this another version of the API?",
        )
    secret = Secret(key)  # known to the redactor before anything else is said
    if reason := reading.no_header(key):
        raise Unreadable(f"{where} with a key that cannot be one: {reason} ({said}: `{path}`)")
    return secret


def identity(path: str, answer: http.Answer) -> str:
    """A fact of whom a key belongs to; '' where the answer does not tell it."""
    if path.startswith(HEADER):
        return answer.headers.get(path.removeprefix(HEADER).lower(), "")
    try:
        fact = reading.pick(path, answer.json())
    except PermanentError:
        return ""
    return "" if fact is None else str(fact)


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        dict: "an object",
        list: "a list",
    }
    return kinds.get(type(value), "something else")


def fields_of(data: Any) -> str:
    """Names only, and only what looks like a name: values may be the key."""
    if not isinstance(data, dict):
        return "the answer is empty" if data is None else f"the answer is {_kind(data)}"
    names = [redact(name) for name in data if len(name) <= 40 and _NAME.fullmatch(name)]
    return f"its fields are {', '.join(names[:20])}" if names else "it has no fields"
