"""Request templates and answers of catalog providers: filling in, paging, reading out, translating statuses."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import jmespath

from rotator.clients import http
from rotator.errors import AccessDenied, Conflict, NotFound, PermanentError, QuotaExceeded, Unsupported
from rotator.providers.catalog_entry import Auth, CatalogEntry, Listing, RequestTemplate
from rotator.secret import Secret

_FIELD = re.compile(r"\{(\w+)\}")
_MOST_PAGES = 1000


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with {names} filled in; a JSON field whose only content is an absent value is left out."""
    if isinstance(template, str):
        whole = _FIELD.fullmatch(template)
        if whole:
            return values.get(whole[1])
        return _FIELD.sub(lambda found: str(values.get(found[1], "")), template)
    if isinstance(template, Mapping):
        filled = {name: fill(value, values) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not None}
    return [fill(value, values) for value in template] if isinstance(template, list) else template


def build(
    template: RequestTemplate, base: str, auth: Auth, secrets: Mapping[str, Secret], values: Mapping[str, Any]
) -> http.Request:
    """A request with its authentication; values in the path are quoted."""
    quoted = {name: urllib.parse.quote(str(value), safe="") for name, value in values.items() if value is not None}
    path = _FIELD.sub(lambda found: quoted.get(found[1], ""), template.path)
    query = {name: str(value) for name, value in fill(template.query, values).items()}
    return http.Request(
        template.method,
        base.rstrip("/") + path,
        headers(template.auth or auth, secrets),
        query,
        fill(template.json_body, values),
    )


def headers(auth: Auth, secrets: Mapping[str, Secret]) -> dict[str, str]:
    if auth.bearer:
        return {"authorization": f"Bearer {secrets[auth.bearer].reveal()}"}
    return {auth.header: secrets[auth.value].reveal()} if auth.header else {}


def check(entry: CatalogEntry, request: http.Request, answer: http.Answer, credential: str) -> http.Answer:
    """The answer if it is a good one; else the error that its status means. `credential` names who asked."""
    who = entry.name
    http.passing(answer, request, who)
    if answer.status < 300:
        return answer
    words = f"{who} answered {answer.status} to {request.method} {httpx_path(request.url)}: {answer.text}"
    match answer.status:
        case 401:
            raise AccessDenied(f"{who} refuses {credential} (401): {answer.text}", "is it still valid?")
        case 403:
            raise AccessDenied(words, f"{credential} lacks a permission; see {entry.docs}")
        case 404:
            raise NotFound(words, "are the project and the address right?")
        case 402 | 409:
            raise Conflict(words)
        case _ if re.search(r"limit|quota|maximum", answer.text, re.I):
            raise QuotaExceeded(words, f"delete a key that nobody needs: {entry.console}")
        case _:
            raise PermanentError(words)


def httpx_path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def pick(path: str, data: Any) -> Any:
    """What a JMESPath finds; None for an empty path."""
    return jmespath.search(path, data) if path else None


def text(path: str, data: Any) -> str:
    found = pick(path, data)
    return "" if found is None else str(found)


def moment(value: Any) -> float | None:
    """Unix seconds from a number or an ISO text (naive = UTC)."""
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return float(value)
    found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def pages(listing: Listing, send: Any) -> Iterator[Any]:
    """Every listed item over all pages. `send(query)` asks for one page and gives its JSON."""
    paging = listing.pages
    query: dict[str, str] = {}
    seen = 0
    for _ in range(_MOST_PAGES):
        data = send(query)
        items = pick(listing.each.in_, data)
        if not isinstance(items, list) or not all(text(listing.each.id, item) for item in items):
            raise PermanentError(  # never an empty list: it would mean that a key is gone
                "the listing of keys has another shape than expected", "is a proxy in between, or the API a newer one?"
            )
        yield from items
        seen += len(items)
        if paging is None or not items:
            return
        if paging.cursor:
            if not pick(paging.more, data):
                return
            query = {paging.cursor: text(paging.last, data)}
        elif len(items) < paging.size:
            return
        else:
            query = {paging.offset: str(seen)}
    raise Unsupported(f"the listing of keys has more than {_MOST_PAGES} pages")
