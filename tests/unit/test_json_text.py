"""JSON is changed in its text: what nobody asked for stays as it was written."""

from __future__ import annotations

import pytest

from rotator.clients import json_text
from rotator.clients.json_text import NoText

LAID_OUT = """{
    "port" : 1.10, "big": 123456789012345678901234567890, "e": 1E400,
    "KEY":"old",   "z": {"KEY": "not ours"},
    "a": [1 , 2],  "twice": 1, "twice": 2, "sign": "\\u00e9\\/"
}
"""


def test_only_the_value_changes() -> None:
    assert json_text.get(LAID_OUT, "KEY") == "old"
    assert json_text.put(LAID_OUT, "KEY", 'n"ew') == LAID_OUT.replace('"old"', '"n\\"ew"')


def test_a_field_under_another_spelling_is_the_same_field() -> None:
    assert json_text.get('{"K\\u0045Y": "old"}', "KEY") == "old"
    assert json_text.put('{"K\\u0045Y": "old"}', "KEY", "new") == '{"K\\u0045Y": "new"}'


def test_a_field_that_is_there_twice_is_changed_twice() -> None:
    """Which one counts depends on who reads."""
    text = '{"KEY": "old", "b": 1, "KEY": "old"}'
    assert json_text.get(text, "KEY") == "old"
    assert json_text.put(text, "KEY", "new") == text.replace("old", "new")
    with pytest.raises(NoText, match="2 times, with different values"):
        json_text.get('{"KEY": "old", "KEY": "older"}', "KEY")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{"KEY": "new"}'),
        ("{}", '{"KEY": "new"}'),
        (" { } ", ' {"KEY": "new" } '),
        ('{"a":1}', '{"a":1,"KEY":"new"}'),
        ('{"a": 1}\n', '{"a": 1, "KEY": "new"}\n'),
        ('{"a":1, "b":[","]}', '{"a":1, "b":[","], "KEY":"new"}'),
        ('{\n  "a": 1\n}', '{\n  "a": 1,\n  "KEY": "new"\n}'),
        ('{\n\t"a": 1,\n\t"b": "{,"\n}\n', '{\n\t"a": 1,\n\t"b": "{,",\n\t"KEY": "new"\n}\n'),
        ('{"KEY": null}', '{"KEY": "new"}'),
    ],
)
def test_a_new_field_is_laid_out_as_the_others(before: str, after: str) -> None:
    assert json_text.get(before, "KEY") == ""
    assert json_text.put(before, "KEY", "new") == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not JSON", "is not JSON"),
        ('{"a": 1} x', "is not JSON"),
        ('\ufeff{"a": 1}', "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('"KEY"', "is not a JSON object"),
        ('{"KEY": 12345678}', "a number in the field KEY"),
        ('{"KEY": 1e400}', "a number"),
        ('{"KEY": true}', "true or false"),
        ('{"KEY": {"value": "x"}}', "an object"),
        ('{"KEY": ["x"]}', "a list"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_object_with_a_text_is_said(text: str, words: str) -> None:
    with pytest.raises(NoText, match=words):
        json_text.get(text, "KEY")


def test_members_are_taken_out_with_one_comma() -> None:
    for text, left in [
        ('{"a":1,"KEY":"x","b":2}', '{"a":1,"b":2}'),
        ('{"KEY":"x","b":2.50}\n', '{"b":2.50}\n'),
        ('{"a":1, "KEY":"x" }', '{"a":1 }'),
        ('{"KEY":"x","KEY":"y"}', "{}"),
        ("{}", "{}"),
    ]:
        assert json_text.without(text, ["KEY"]) == left
    text = '{"KEY":"no","data":{"a":1.0,"KEY":"x"},"n":1}'
    assert json_text.without(text, ["KEY"], "data") == '{"KEY":"no","data":{"a":1.0},"n":1}'
    assert json_text.without(text, ["KEY"], "stringData") == text


def test_an_object_inside_is_had_as_it_is_written() -> None:
    assert (
        json_text.part('{"data": {"data": {"n": 1.10} , "x": 1}}', "data", "data") == '{"n": 1.10}'
    )
    assert (
        json_text.part('{"data": {"data": null}}', "data", "data")
        == json_text.part("{}", "data")
        == ""
    )
