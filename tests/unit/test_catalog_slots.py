"""A catalog file of a credential with two slots: each slip in it is told with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rotator.errors import ConfigError
from rotator.model import Overlap, Recovery
from rotator.playbook import catalog
from rotator.playbook.json_schema import catalog_schema
from rotator.playbook.mistakes import PlaybookMistakes
from rotator.reference import Reference

GOOD = """\
name: Ours
settings:
  account: {help: The account}
  user: {default: null, help: Who asks}
  password: {secret: true, required: false, help: The password}
  token: {secret: true, required: false, help: A token}
api:
  base: https://ours.example
  auth: {bearer: access_token}
  hosts: {endpoint: null}
  token:
    request: {POST: '/token/{user}', json: {password: {secret: password}}}
    token: access_token
    lives: expires_in
    given: token
slots:
  names: {first: keys.first, second: keys.second}
  read: {request: {GET: '/accounts/{account}/keys'}}
  regenerate: {request: {POST: '/accounts/{account}/keys', json: {which: '{slot}'}}}
preflight:
  - request: {GET: '/accounts/{account}'}
    when: closed
    text: the account is closed
probe: {request: {GET: /me, host: endpoint, auth: {bearer: key}}}
"""
WRONG: Mapping[str, tuple[str, str, int, str, str]] = {
    "a slot with a slip": ("'{slot}'", "'{slto}'", 19, "{slto} stands for nothing", "slot"),
    "no slot": ("json: {which: '{slot}'}", "json: {}", 19, "which slot is meant", "{slot}"),
    "a slot elsewhere": ("GET: '/accounts/{account}/keys'", "GET: '/{slot}'", 18, "not known", "r"),
    "a path that is none": ("keys.second", "'keys.'", 17, "is no JMESPath", ""),
    "one slot": (", second: keys.second", "", 17, "there are two slots, and 1 are named", ""),
    "made anew by a question": ("POST: '/accounts", "GET: '/accounts", 19, "by GET", "twice"),
    "a create besides": ("slots:\n", "create: operator\nslots:\n", 16, "`create` beside", "leave"),
    "what speaks against it is no path": ("when: closed", "when: 'a b'", 22, "no JMESPath", ""),
    "a token of nobody": ("given: token", "given: tokn", 15, "setting 'tokn' with", "token"),
    "a token that must be given": (
        "token: {secret: true, required: false,",
        "token: {secret: true,",
        15,
        "no secret setting 'token' with default null",
        "password",
    ),
    "what fetches a token, with a slip": ("{secret: password}", "{secret: pasword}", 12, "pas", ""),
    "nothing that fetches a token": ("    given: token\n", "", 12, "need not be given", ""),
    "no probe": (
        "probe: {request: {GET: /me, host: endpoint, auth: {bearer: key}}}",
        "",
        1,
        "prob",
        "",
    ),
}


def _load(folder: Path, text: str) -> Any:
    (folder / "ours.yaml").write_text(text)
    return catalog.provider(folder / "ours.yaml")


def test_a_file_of_slots_is_a_provider(tmp_path: Path) -> None:
    made = _load(tmp_path, GOOD)
    ours = made(account="a b", endpoint_url="https://e.example", token=Reference("env", "T"))
    assert (ours.overlap, ours.recovery) == (Overlap.TWO_SLOTS, Recovery.REREAD)
    assert (ours.supplied, ours.destroys, ours.can_list, ours.exclusive) == (
        False,
        True,
        False,
        False,
    )
    assert ours.credential_at == "https://ours.example/accounts/a%20b/keys"
    jsonschema.validate(yaml.safe_load(GOOD), catalog_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace("slots:", "slotz:")), catalog_schema())


def test_who_gives_no_token_gives_what_fetches_one(tmp_path: Path) -> None:
    made = _load(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="Ours needs user and password"):
        made(account="a", endpoint_url="https://e.example")
    given = {"user": "u", "password": Reference("env", "P")}
    assert made(account="a", endpoint_url="https://e.example", **given)


@pytest.mark.parametrize("case", WRONG)
def test_a_slip_is_told_with_its_place_and_the_way_out(case: str, tmp_path: Path) -> None:
    before, after, line, text, hint = WRONG[case]
    assert before in GOOD
    with pytest.raises(PlaybookMistakes) as told:
        _load(tmp_path, GOOD.replace(before, after, 1))
    found = [(one.line, one.column, one.text, one.hint) for one in told.value.mistakes]
    assert any(one[0] == line and text in one[2] and hint in one[3] for one in found), found
    assert all(one[1] > 0 for one in found) and len(found) <= 3, found
