"""The parts of a playbook, joined: what a store must know of the provider and of who reads it, and
a restarter of the stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rotator.errors import RotatorError
from rotator.model import BESIDE
from rotator.playbook.mistakes import nearest
from rotator.playbook.playbook import weaker
from rotator.playbook.schema import Shape
from rotator.playbook.store_names import told_apart
from rotator.playbook.yaml import Path_
from rotator.plugin import (
    Address,
    Addressed,
    Beside,
    KeyFields,
    ReadBy,
    Several,
    WithEntry,
    has,
)

# A plugin, and what its entry says besides the plugin's settings.
Entry = tuple[Any, dict[str, Any]]
Wrong = Callable[[Path_, str, str], None]


def refuse_less_evidence(restarters: Sequence[Entry], shape: Shape, wrong: Wrong) -> None:
    """A restarter that shows less than the playbook wants of each consumer."""
    for index, (restarter, extra) in enumerate(restarters):
        if weaker(restarter.evidence, shape.evidence) and not extra.get("allow_unhealthy"):
            wrong(
                ("restart", index),
                f"this restarter can only show '{restarter.evidence}', the playbook wants"
                f" '{shape.evidence}'",
                f"say `evidence: {restarter.evidence}`",
            )


def joined(
    stores: Sequence[Entry], restarters: Sequence[Entry], provider: Any, wrong: Wrong
) -> tuple[list[Entry], list[Entry]]:
    """Stores and restarters as they work together; `wrong` gets each mistake. What a store's entry
    says has the number of it, too (`entry`).
    """
    fitted = [
        (_fitted(store, provider, index, wrong), extra)
        for index, (store, extra) in enumerate(stores)
    ]
    single = [
        (one.with_entry(**extra) if has(one, WithEntry) else one, {**extra, "entry": index})
        for index, (store, extra) in enumerate(fitted)
        for one in each(store)
    ]
    addresses = [store.writes for store, _ in single if has(store, Addressed)]
    beside = [
        (_beside(restarter, addresses, index, wrong), extra)
        for index, (restarter, extra) in enumerate(restarters)
    ]
    readers = [restarter for restarter, _ in beside]
    read = [
        (store.read_by(readers) if has(store, ReadBy) else store, extra) for store, extra in single
    ]
    return read, beside


def named(stores: Sequence[Entry], wrong: Wrong) -> list[str]:
    """By what the journal knows each store; one that stands there twice is a mistake."""
    names = told_apart([store for store, _ in stores])
    for at, name in enumerate(names):
        if name in names[:at]:
            wrong(("store", stores[at][1]["entry"]), f"{name} stands here twice", "keep one")
    return names


def _beside(restarter: Any, addresses: Sequence[Address], index: int, wrong: Wrong) -> Any:
    """The restarter, with what the stores write where it must know that."""
    try:
        return restarter.beside(addresses) if has(restarter, Beside) else restarter
    except RotatorError as error:
        wrong(("restart", index), error.message, error.hint)
        return restarter


def _fitted(store: Any, provider: Any, index: int, wrong: Wrong) -> Any:
    """The store with its `keys` in the provider's order, if they are what a key of this
    provider consists of.
    """
    keys, fields = store.keys if has(store, KeyFields) else None, tuple(provider.fields)
    where: Path_ = ("store", index, "keys")
    if keys is None:
        if fields != ("key",):
            named = ", ".join(f"NAME: {field}" for field in fields)
            wrong(
                where[:-1],
                "this provider's keys are more than one text",
                f"say `keys: {{{named}}}`",
            )
        return store
    for name, field in keys.items():
        if field not in (*fields, *BESIDE):
            known = sorted({*fields, *BESIDE})
            wrong(
                (*where, name),
                f"a key of this provider has no '{field}'",
                nearest(field, known),
            )
    missing = [field for field in fields if field not in keys.values()]
    if missing:
        wrong(where, f"'{missing[0]}' is missing in keys", f"add `NAME: {missing[0]}`")
    order = {field: place for place, field in enumerate(fields)}
    return replace(
        store, keys=dict(sorted(keys.items(), key=lambda item: order.get(item[1], len(order))))
    )


def each(store: Any) -> Sequence[Any]:
    """The stores that an entry means."""
    return store.each() if has(store, Several) else [store]
