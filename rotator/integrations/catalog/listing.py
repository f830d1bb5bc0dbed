"""A provider's list of its keys: its pages, and what a listed key says of itself.

Where things are in it, the catalog file says (`list:`; docs/catalog.md). Half a list is an error,
never an answer: it would say that keys are gone.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rotator import deadline
from rotator.clients import reading
from rotator.errors import PermanentError
from rotator.integrations.catalog.entry import Each, Listing, Pages
from rotator.integrations.catalog.templates import fields_of
from rotator.model import Finding, KeyRecord, Label, Level
from rotator.secret import redact, without_keys

_MOST_PAGES = 1000


def pages(
    listing: Listing, send: Callable[[Mapping[str, str], str], Any], address: str = ""
) -> Iterator[Any]:
    """Every listed item over all pages. `send(query, next)` asks for one page and gives its JSON.

    `next` is the whole address of a page that another one named, '' for the listing's own.

    Raises PermanentError where the end cannot be reached: half a list would tell that keys are
    gone.
    """
    paging = listing.pages
    query: dict[str, str] = {}
    following = ""
    if paging is not None and paging.number:
        query = {paging.number: str(paging.first)}
    ids: set[str] = set()
    cursors: set[str] = set()
    seen = 0
    in_time = deadline.listing("the listing of keys")
    for asked in range(_MOST_PAGES):
        in_time()
        data = send(query, following)
        items = _items(listing, data)
        page = {reading.key_id(reading.pick(listing.each.id, item)) for item in items}
        counted = paging.offset or paging.number if paging is not None else ""
        if counted and page and page <= ids:
            raise PermanentError(
                "the listing of keys does not get on: a page repeats the keys of those before",
                f"does the API know `{counted}`? (pages)",
            )
        yield from items
        ids |= page
        seen += len(items)
        if paging is None:
            return
        if paging.cursor or paging.next:
            cursor = _next(paging, data, cursors)
            if cursor is None:
                return
            query = {paging.cursor: cursor} if paging.cursor else {}
            following = "" if paging.cursor else _same_host(address, cursor)
        elif len(items) < paging.size:
            return
        elif paging.number:
            query = {paging.number: str(paging.first + asked + 1)}
        else:
            query = {paging.offset: str(seen)}
    raise PermanentError(
        f"the listing of keys cannot be read to its end: it has more than {_MOST_PAGES} pages"
    )


def _same_host(address: str, following: str) -> str:
    """The next page's address. Raises PermanentError for one elsewhere: no key goes there."""
    try:
        found = urllib.parse.urljoin(address, following)
        here, there = (urllib.parse.urlsplit(one) for one in (address, found))
    except ValueError as error:
        raise PermanentError(f"the next page of the listing is no address: {error}") from error
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise PermanentError(
            "the listing goes on at another host; nothing was sent there",
            "is base_url the address that the API itself names?",
        )
    return found


_SHAPE = "is the catalog file right? Else a proxy is in between, or the API is a newer one"


def _items(listing: Listing, data: Any) -> list[Any]:
    items = reading.pick(listing.each.in_, data)
    if not isinstance(items, list):  # never an empty list: it would mean that a key is gone
        raise PermanentError(
            f"the listing of keys has another shape than expected: no list at `{listing.each.in_}`"
            f" (list.each.in), {fields_of(data)}",
            _SHAPE,
        )
    ids = [reading.text(reading.pick(listing.each.id, item)) for item in items]
    if not all(ids):
        item = items[ids.index("")]
        raise PermanentError(
            "the listing of keys has another shape than expected: a key without an id at"
            f" `{listing.each.id}` (list.each.id), {fields_of(item)}",
            _SHAPE,
        )
    for one in ids:
        if reason := reading.unfit(one):
            raise PermanentError(f"the listing shows a key whose id cannot be one: it is {reason}")
    return items


def _next(paging: Pages, data: Any, cursors: set[str]) -> str | None:
    """The cursor of the next page, None at the end.

    Raises PermanentError for one that stands still.
    """
    where = paging.last or paging.next
    more = reading.pick(paging.more or where, data)
    if not more or (isinstance(more, str) and more.lower() == "false"):
        return None
    cursor = reading.text(reading.pick(where, data))
    if not cursor or cursor in cursors:
        raise PermanentError(
            "the listing of keys does not get on: it says that there is more, "
            + ("but not where" if not cursor else "and begins again"),
            f"is `{where}` where the next page's cursor stands? (pages)",
        )
    cursors.add(cursor)
    return cursor


# --- what a listed key says ---
def records(each: Each, items: Sequence[Any]) -> list[KeyRecord]:
    return reading.distinct(_record(each, item) for item in items)


def _record(each: Each, item: Any) -> KeyRecord:
    names = [reading.told(reading.pick(path, item)) for path in each.label]
    label = next(
        (name for name in names if Label.parse(name)),
        next((name for name in names if name), ""),
    )
    return KeyRecord(
        id=_id(each, item),
        label=label,
        hint=reading.told(reading.pick(each.hint, item)),
        created_at=reading.moment(reading.pick(each.created, item)),
        expires_at=reading.moment(reading.pick(each.expires, item)),
        last_used_at=reading.last_use(reading.pick(each.last_used, item)),
        active=reading.flag(reading.pick(each.active, reading.plain(item))),
        carried={name: reading.pick(path, item) for name, path in each.carried.items()},
    )


def _id(each: Each, item: Any) -> str:
    return reading.key_id(reading.pick(each.id, item))


def ids(each: Each, items: Sequence[Any]) -> set[str]:
    return {_id(each, item) for item in items}


def owner(each: Each, items: Sequence[Any], key_id: str) -> str:
    """The account that rotator made for this key alone, or ''."""

    def owner_of(item: Any) -> str:
        return reading.key_id(reading.pick(each.owner, item))

    mine = next((item for item in items if _id(each, item) == key_id), None)
    account = owner_of(mine)
    label = reading.told(reading.pick(each.owner_label, mine))
    if mine is None or not account or Label.parse(label) is None:
        return ""
    shared = ids(each, [item for item in items if owner_of(item) == account])
    return account if len(shared) == 1 else ""


def odd_dates(each: Each, items: Sequence[Any]) -> Iterator[Finding]:
    """Dates of the list in a form that nobody understands, and a last use that it does not have."""
    dates = {"created": each.created, "expires": each.expires, "last_used": each.last_used}
    for name, path in dates.items():
        odd = [date for item in items if reading.no_date(date := reading.pick(path, item))]
        if odd:
            shown = without_keys(redact(reading.told(odd[0]) or type(odd[0]).__name__))[:40]
            hint = (
                "an unknown last use counts as now: no key becomes quiet"
                if name == "last_used"
                else ""
            )
            yield Finding(Level.WARNING, f"`{path}` (list.each.{name}) is no date: {shown}", hint)
    if each.last_used and items and not any(reading.has(each.last_used, item) for item in items):
        words = (
            f"no listed key has `{each.last_used}` (list.each.last_used): each counts as never used"
        )
        yield Finding(Level.WARNING, words, "is it the right name?")
