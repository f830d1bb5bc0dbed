"""`for_each` and `pool`: a playbook filled in once for each entry, or each key of a pool."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rotator.playbook.yaml import Path_

_PLACE = re.compile(r"\{(\w+)\}")
_MOST_FILLED = 20_000_000  # bytes, of all playbooks that one file makes
_MEMBER = "{member}"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_MOST_KEYS = 1_000  # of a pool: before each rotation the others are looked at
_PART = 50  # what a part takes besides its letters, in bytes


def filled(
    name: str, data: dict[str, Any], variants: list[Any], wrong: Callable[[Path_, str, str], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The playbooks by name, each with its entry's values filled in; `wrong` gets each mistake."""
    if not variants:
        wrong(
            ("for_each",),
            "for_each has no entry: no playbook comes of this file",
            "`- {name: eu, …}`",
        )
    rest = {key: value for key, value in data.items() if key != "for_each"}
    if filled_size(rest, variants) > _MOST_FILLED:
        text = f"for_each would make more than {_MOST_FILLED // 1_000_000} MB of playbooks"
        wrong(("for_each",), text, "fewer entries, or a shorter playbook around them")
        return
    for index, variant in enumerate(variants):
        if not isinstance(variant, dict) or "name" not in variant:
            wrong(("for_each", index), "each entry of for_each has a `name`", "`- {name: eu, …}`")
            continue
        values = {key: str(value) for key, value in variant.items()}
        try:
            playbook = fill(rest, values)
        except KeyError as error:
            missing = error.args[0]
            text = f"{{{missing}}} stands in the playbook, not in this entry"
            wrong(("for_each", index), text, f"add `{missing}: …` to it")
            continue
        yield f"{name}-{variant['name']}", playbook


def pooled(
    name: str, data: dict[str, Any], wrong: Callable[[Path_, str, str], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The playbooks of a pool, by name, each for one of its keys. They are named by their keys, so
    that none gets another's history where the list gets longer or shorter. Their rotations never
    overlap; `wrong` gets each mistake.
    """
    keys = data["pool"]
    if "for_each" in data:
        wrong(("pool",), "a playbook has `pool` or `for_each`, not both", "a file for each pool")
        return
    if not isinstance(keys, list) or not keys:
        text = "a pool is a list of its keys"
        wrong(("pool",), text, "`pool: [OPENAI_API_KEY, OPENAI_API_KEY_1]`")
        return
    rest = {key: value for key, value in data.items() if key != "pool"}
    if (
        len(keys) > _MOST_KEYS
        or filled_size(rest, [{"member": key} for key in keys]) > _MOST_FILLED
    ):
        text = f"more than {_MOST_KEYS} keys, or {_MOST_FILLED // 1_000_000} MB of playbooks"
        wrong(("pool",), text, "several pools")
        return
    if (where := _for_all(rest.get("store"))) is not None:
        text = f"every store of a pool says {_MEMBER}: all keys would be one in this place"
        wrong(where, text, f"for instance `key: '{_MEMBER}'`")
        return
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            wrong(
                ("pool", index), f"{key!r} cannot be a key's name", "for instance OPENAI_API_KEY_1"
            )
            continue
        member = key.lower()
        if member in seen:
            wrong(("pool", index), f"{key} is in the pool twice", "each key once")
            continue
        seen.add(member)
        try:
            playbook = fill(rest, {"member": key})
        except KeyError as error:
            other = f"{{{error.args[0]}}}"
            text = f"{other} stands in the playbook, and a pool fills in {_MEMBER} alone"
            where = next((path for path, part in _places(rest, ()) if other in part), ("pool",))
            wrong(where, text, "`for_each` has values of your own")
            return
        yield member_name(name, key), {"group": name, **playbook}


def member_name(pool: str, key: str) -> str:
    """The playbook of one of a pool's keys."""
    return f"{pool}-{key.lower()}"


def _for_all(value: Any) -> Path_ | None:
    """The store that would have one place for all keys of a pool."""
    for index, store in enumerate(value) if isinstance(value, list) else [(-1, value)]:
        texts = [part for part in _parts(store) if isinstance(part, str)]
        if isinstance(store, dict) and not any(_MEMBER in part for part in texts):
            return ("store",) if index < 0 else ("store", index)
    return None


def _places(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    """Each text, and where it stands."""
    if isinstance(value, str):
        yield path, value
    below: Any = enumerate(value) if isinstance(value, list) else ()
    for key, part in value.items() if isinstance(value, dict) else below:
        yield from _places(part, (*path, key))


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """`{name}` filled in from a for_each entry; only its own names: `{key}` of a probe stays.

    Raises KeyError.
    """
    if isinstance(value, str):
        return _PLACE.sub(lambda found: _one(found, values), value)
    if isinstance(value, dict):
        return {key: fill(found, values) for key, found in value.items()}
    return [fill(found, values) for found in value] if isinstance(value, list) else value


def _one(found: re.Match[str], values: Mapping[str, str]) -> str:
    return found[0] if found[1] == "key" and "key" not in values else values[found[1]]


def filled_size(value: Any, variants: Sequence[Any]) -> int:
    """About how many bytes all of them would take, told without making them: 1 MB of YAML can say
    billions.
    """
    parts = letters = 0
    places: Counter[str] = Counter()
    for part in _parts(value):
        parts += 1
        if isinstance(part, str):
            letters += len(part)
            places.update(found[1] for found in _PLACE.finditer(part))
    each = parts * _PART + letters
    named = (variant for variant in variants if isinstance(variant, dict))
    return each * len(variants) + sum(
        places[name] * len(str(given))
        for variant in named
        for name, given in variant.items()
        if places[name]
    )


def _parts(value: Any) -> Iterator[Any]:
    yield value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in below:
        yield from _parts(part)
