"""Request templates and answers of catalog providers: filling in, authentication, paging,
translating statuses.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from rotator import deadline
from rotator.clients import http, http_status, reading
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
    QuotaExceeded,
    Unreadable,
)
from rotator.integrations.catalog.entry import Auth, CatalogEntry, Listing, Pages, RequestTemplate
from rotator.secret import Secret, redact

FIELD = re.compile(r"\{(\w+(?:\.\w+)?)\}")
_MOST_PAGES = 1000
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


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with {names} filled in; a JSON field whose only content is an absent value is
    left out.
    """
    if isinstance(template, str):
        whole = FIELD.fullmatch(template)
        if whole:
            return values.get(whole[1])
        return FIELD.sub(lambda found: _or_nothing(values.get(found[1])), template)
    if isinstance(template, Mapping):
        filled = {name: fill(value, values) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not None}
    return [fill(value, values) for value in template] if isinstance(template, list) else template


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


def _or_nothing(value: Any) -> str:
    return "" if value is None else str(value)


def build(
    template: RequestTemplate,
    base: str,
    auth: Auth,
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
    return http.Request(
        template.method,
        base.rstrip("/")
        + FIELD.sub(lambda found: _part(found[1], values.get(found[1])), template.path),
        headers(template.auth or auth, tidy),
        query,
        fill(template.json_body, values),
        tuple(tidy.values()),
        makes_key,
    )


def _part(name: str, value: Any) -> str:
    part = _or_nothing(value)
    if reason := reading.unfit(part):
        raise PermanentError(
            f"the {name} cannot be part of an address: it is {reason}",
            "nothing was sent; where does it come from?",
        )
    return urllib.parse.quote(part, safe="")


def headers(auth: Auth, secrets: Mapping[str, Secret]) -> dict[str, str]:
    name = auth.bearer or auth.value
    if not name:
        return {}
    value = secrets[name].reveal()
    if reason := reading.no_header(value):
        raise ConfigError(
            f"{name} cannot stand in a header: {reason}",
            f"put the right one where {name} refers to",
        )
    return {"authorization": f"Bearer {value}"} if auth.bearer else {auth.header: value}


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
        found = answer.json()
    except PermanentError:
        return ""
    return json.dumps(found.get("error", found) if isinstance(found, dict) else found)[:5000]


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


def secret_in(entry: CatalogEntry, path: str, answer: http.Answer) -> tuple[Secret, Any]:
    """The new key in the answer to a create, and all of the answer.

    Raises Unreadable, which shows names only.
    """
    where = f"{entry.name} answered a create ({answer.status})"
    try:
        data = answer.json() if answer.body.strip() else None
    except PermanentError as error:
        html = "html" in answer.headers.get("content-type", "").lower()
        what = "a page of HTML" if html else f"{len(answer.body)} bytes that are not JSON"
        raise Unreadable(f"{where} with {what}", "is a proxy's login page in between?") from error
    found = reading.pick(path, data)
    if not isinstance(found, str):
        what = f"{_kind(found)} at `{path}`" if found is not None else f"nothing at `{path}`"
        raise Unreadable(
            f"{where} without a key: {what} (answer.secret); {_fields(data)}",
            "correct answer.secret in the catalog file, or is this another version of the API?",
        )
    secret = Secret(found)  # known to the redactor before anything else is said
    if reason := reading.no_header(found):
        raise Unreadable(
            f"{where} with a key that cannot be one: {reason} (answer.secret: `{path}`)"
        )
    return secret, data


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        dict: "an object",
        list: "a list",
    }
    return kinds.get(type(value), "something else")


def _fields(data: Any) -> str:
    """Names only, and only what looks like a name: values may be the key."""
    if not isinstance(data, dict):
        return "the answer is empty" if data is None else f"the answer is {_kind(data)}"
    names = [redact(name) for name in data if len(name) <= 40 and _NAME.fullmatch(name)]
    return f"its fields are {', '.join(names[:20])}" if names else "it has no fields"


def pages(listing: Listing, send: Callable[[Mapping[str, str]], Any]) -> Iterator[Any]:
    """Every listed item over all pages. `send(query)` asks for one page and gives its JSON.

    Raises PermanentError where the end cannot be reached: half a list would tell that keys are
    gone.
    """
    paging = listing.pages
    query: dict[str, str] = {}
    ids: set[str] = set()
    cursors: set[str] = set()
    seen = 0
    in_time = deadline.listing("the listing of keys")
    for _ in range(_MOST_PAGES):
        in_time()
        data = send(query)
        items = _items(listing, data)
        page = {reading.key_id(reading.pick(listing.each.id, item)) for item in items}
        if paging is not None and paging.offset and page and page <= ids:
            raise PermanentError(
                "the listing of keys does not get on: a page repeats the keys of those before",
                f"does the API know `{paging.offset}`? (pages.offset)",
            )
        yield from items
        ids |= page
        seen += len(items)
        if paging is None:
            return
        if paging.cursor:
            cursor = _next(paging, data, cursors)
            if cursor is None:
                return
            query = {paging.cursor: cursor}
        elif len(items) < paging.size:
            return
        else:
            query = {paging.offset: str(seen)}
    raise PermanentError(
        f"the listing of keys cannot be read to its end: it has more than {_MOST_PAGES} pages"
    )


_SHAPE = "is the catalog file right? Else a proxy is in between, or the API is a newer one"


def _items(listing: Listing, data: Any) -> list[Any]:
    items = reading.pick(listing.each.in_, data)
    if not isinstance(items, list):  # never an empty list: it would mean that a key is gone
        raise PermanentError(
            f"the listing of keys has another shape than expected: no list at `{listing.each.in_}`"
            f" (list.each.in), {_fields(data)}",
            _SHAPE,
        )
    found = [reading.text(reading.pick(listing.each.id, item)) for item in items]
    if not all(found):
        item = items[found.index("")]
        raise PermanentError(
            "the listing of keys has another shape than expected: a key without an id at"
            f" `{listing.each.id}` (list.each.id), {_fields(item)}",
            _SHAPE,
        )
    for one in found:
        if reason := reading.unfit(one):
            raise PermanentError(f"the listing shows a key whose id cannot be one: it is {reason}")
    return items


def _next(paging: Pages, data: Any, cursors: set[str]) -> str | None:
    """The cursor of the next page, None at the end.

    Raises PermanentError for one that stands still.
    """
    more = reading.pick(paging.more, data)
    if not more or (isinstance(more, str) and more.lower() == "false"):
        return None
    cursor = reading.text(reading.pick(paging.last, data))
    if not cursor or cursor in cursors:
        raise PermanentError(
            "the listing of keys does not get on: it says that there is more, "
            + ("but not where" if not cursor else "and begins again"),
            f"is `{paging.last}` where the next page's cursor stands? (pages.last)",
        )
    cursors.add(cursor)
    return cursor
