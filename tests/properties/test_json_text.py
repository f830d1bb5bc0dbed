"""Any object that JSON can write, in any layout: the new value is read back, and all else is as it
was.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from rotator.clients import json_text

_TEXTS = some.text(max_size=8)
_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | _TEXTS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=4,
)


@given(
    some.dictionaries(_TEXTS, _VALUES, max_size=4),
    _TEXTS,
    some.sampled_from([None, 2, "\t"]),
    some.booleans(),
)
def test_any_object_holds_the_new_value_and_all_else(
    held: dict[str, Any], key: str, indent: int | str | None, wide: bool
) -> None:
    held.pop("KEY", None)
    text = json.dumps(held, indent=indent, ensure_ascii=wide)
    for given_ in (text, json.dumps({"KEY": "old", **held}, indent=indent, ensure_ascii=wide)):
        written = json_text.put(given_, "KEY", key)
        assert json.loads(written) == {**held, "KEY": key} and json_text.get(written, "KEY") == key
    assert json.loads(json_text.without(json_text.put(text, "KEY", key), ["KEY"])) == held
