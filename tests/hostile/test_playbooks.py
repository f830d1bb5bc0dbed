"""Some four hundred ways to write a playbook wrong: each is told with place and hint, never with a
traceback.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.playbook.directory import Directory, Loaded

GOOD = yaml.safe_load("""
description: d
owner: o@example.com
tags: [a]
schedule: {every: 30d}
max_age: 90d
generate: {uses: openai, project: proj_1, admin_key: {env: ADMIN}}
store: [{uses: dotenv, path: /tmp/x/.env, key: K}, {uses: file, path: /tmp/x/f}]
restart: [{uses: process, pid_file: /run/x.pid, signal: HUP}]
evidence: started
verify: [{uses: provider}, {uses: http, url: "https://x.example/", expect: {status: 200}}]
revoke: {grace: 1h, quiet: 1h, soak: 0s, watch: 1h}
limits: {step: 5m, passes: 3}
allow_downtime: false
""")
WRONG: dict[str, Any] = {
    "a number": 7,
    "a list": [[1]],
    "a mapping": {"x": {"y": 1}},
    "nothing": None,
    "an empty text": "",
    "true": True,
    "a negative number": -3,
    "some text": "2026-01-01x",
}
# Where one of these is right after all.
RIGHT = {
    ("description", "an empty text"),
    ("description", "some text"),
    ("owner", "an empty text"),
    ("owner", "some text"),
    ("tags.0", "an empty text"),
    ("tags.0", "some text"),
    ("schedule", "nothing"),
    ("max_age", "nothing"),
    ("generate.project", "some text"),
    ("generate.admin_key.env", "some text"),
    ("store.0.path", "some text"),
    ("store.1.path", "some text"),
    ("restart.0.pid_file", "some text"),
    ("limits.passes", "a number"),
    ("allow_downtime", "true"),
}
SYNTAX = {
    "a tab": "generate:\n\t- x",
    "an open quote": 'description: "no end',
    "an open bracket": "store: [a, b",
    "an open brace": "generate: {uses: openai",
    "two documents": "a: 1\n---\nb: 2",
    "a stray colon": "a: b: c",
    "a wrong indent": "a:\n    b: 1\n  c: 2",
    "an unknown tag": "a: !python/object:os.system x",
    "an unknown alias": "a: *nowhere",
    "a percent": "%nonsense\n---\na: 1",
    "a control character": "a: \x01",
    "a list at the top": "- a\n- b",
    "a text at the top": "hello",
    "a number at the top": "42",
    "nothing at all": "",
    "only a comment": "# nothing",
    "a date that is none": "generate: {uses: openai, project: 2026-13-45}",
    "a key that is a list": "? [a, b]\n: c",
    "nested too deeply": "[" * 5_000,
    "aliases that multiply": "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)),
    "an alias of itself": "a: &a [*a]",
    "two megabytes": "a: " + "x" * 2_000_000,
}


def load(folder: Path, text: str | bytes) -> Loaded:
    (folder / "one.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Directory((folder,)).load()


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in inner:
        yield from paths(child, (*path, key))


def changed(path: tuple[str | int, ...], value: Any) -> Any:
    data = copy.deepcopy(GOOD)
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is typo:
        place[str(path[-1])[:-1] + "zz"] = place.pop(path[-1])
    else:
        place[path[-1]] = value
    return data


def typo() -> None:
    """Stands for a key spelled wrong."""


def check(found: Loaded) -> None:
    assert found.mistakes and not found.playbooks
    for mistake in found.mistakes:
        assert mistake.text and mistake.hint and mistake.line >= 1 and mistake.column >= 1, mistake
        assert "Traceback" not in mistake.text and "pydantic" not in mistake.text + mistake.hint


def test_the_good_one_is_good(tmp_path: Path) -> None:
    assert not load(tmp_path, yaml.safe_dump(GOOD)).mistakes


def test_every_key_spelled_or_filled_wrong_is_told_with_place_and_hint(tmp_path: Path) -> None:
    """Each key of a whole playbook: misspelled, and with eight values that do not fit."""
    told = 0
    for path in paths(GOOD):
        named = ".".join(map(str, path))
        for kind, value in {
            **WRONG,
            **({"a typo": typo} if isinstance(path[-1], str) else {}),
        }.items():
            if (named, kind) in RIGHT:
                continue
            check(load(tmp_path, yaml.safe_dump(changed(path, value), sort_keys=False)))
            told += 1
    assert told > 300


@pytest.mark.parametrize("kind", SYNTAX)
def test_what_is_no_playbook_at_all_is_told(kind: str, tmp_path: Path) -> None:
    check(load(tmp_path, SYNTAX[kind]))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00a", b"a: \xe9", b"\x00" * 100], ids=["UTF-16", "Latin-1", "zeros"]
)
def test_what_is_no_text_is_told(content: bytes, tmp_path: Path) -> None:
    check(load(tmp_path, content))
