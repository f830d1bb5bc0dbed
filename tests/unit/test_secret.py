"""A secret's text has one exit, and the redactor knows every secret alive."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import traceback
import urllib.parse
from pathlib import Path

import pytest

from rotator.errors import PermanentError
from rotator.providers.catalog_entry import key_patterns
from rotator.reference import Reference
from rotator.secret import Redactor, Secret, hint_of, redact

TEXT = "sk-live-canary/0123456789+abc="


def test_it_prints_as_stars() -> None:
    secret = Secret(TEXT)
    assert str(secret) == "***" and TEXT not in repr([secret, {"k": secret}])
    assert secret.reveal() == TEXT


@pytest.mark.parametrize("leak", [lambda s: f"{s}", lambda s: "{}".format(s), pickle.dumps, json.dumps, copy.deepcopy])  # noqa: UP032
def test_formatting_pickling_and_json_are_refused(leak) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError):
        leak(Secret(TEXT))


def test_living_secrets_are_redacted_in_every_usual_encoding() -> None:
    secret = Secret(TEXT)
    forms = [TEXT, urllib.parse.quote(TEXT, safe=""), base64.b64encode(TEXT.encode()).decode(), json.dumps(TEXT)]
    assert all("canary" not in redact(f"x {form} y") and "***" in redact(form) for form in forms)
    del secret


def test_a_secret_with_half_a_character_breaks_no_redaction() -> None:
    """A lone surrogate has no UTF-8; it must not take every later message with it."""
    secret = Secret("half\ud800-of-a-secret")
    assert redact("half\ud800-of-a-secret is here") == "*** is here" and secret


def test_a_reference_to_what_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"key-\xff")
    with pytest.raises(PermanentError, match="is not UTF-8"):
        Reference("file", str(tmp_path / "key")).resolve()


def test_a_traceback_is_redacted() -> None:
    secret = Secret(TEXT)
    try:
        raise ValueError(f"echo: {secret.reveal()}")
    except ValueError as error:
        assert TEXT not in redact("".join(traceback.format_exception(error)))


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-AbCdEfGhIjKlMnOpQrStUvWx",
        "sk-or-v1-" + "0a" * 32,
        "dkr_abcdefghijklmnop12",
    ],
)
def test_keys_of_the_catalog_are_redacted_although_nobody_holds_them(key: str) -> None:
    assert Redactor(key_patterns())(f"said {key}!") == "said ***!"


def test_a_bearer_token_is_redacted_whatever_it_is() -> None:
    assert redact("Authorization: Bearer abcdefgh12345") == "Authorization: Bearer ***"


def test_a_hint_shows_little_and_nothing_of_a_short_key() -> None:
    assert hint_of("sk-svcacct-abcdefghijklmnop") == "sk-svc…mnop" and hint_of("short-key") == "…"
