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
from rotator.integrations.catalog.shipped import key_patterns
from rotator.reference import Reference
from rotator.secret import Redactor, Secret, hint_of, last_line, redact

TEXT = "sk-live-canary/0123456789+abc="


def test_it_prints_as_stars() -> None:
    secret = Secret(TEXT)
    assert str(secret) == "***" and TEXT not in repr([secret, {"k": secret}])
    assert secret.reveal() == TEXT


@pytest.mark.parametrize(
    "leak", [lambda s: f"{s}", lambda s: f"{s}", pickle.dumps, json.dumps, copy.deepcopy]
)  # noqa: UP032
def test_formatting_pickling_and_json_are_refused(leak) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError):
        leak(Secret(TEXT))


def test_living_secrets_are_redacted_in_every_usual_encoding() -> None:
    secret = Secret(TEXT)
    forms = [
        TEXT,
        urllib.parse.quote(TEXT, safe=""),
        base64.b64encode(TEXT.encode()).decode(),
        json.dumps(TEXT),
    ]
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
        "sk-proj-Q7wZk2Rt9Yb4Nc8Vm3Xd6Lp",
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


_KEY = "sk-live/Canary+0123456789=="
_HALF = len(_KEY) // 2
SPELLED = {
    "hex": _KEY.encode().hex(),
    "hex in capitals": _KEY.encode().hex().upper(),
    "hex in pairs": _KEY.encode().hex(":"),
    "escaped bytes": "".join(f"\\x{byte:02x}" for byte in _KEY.encode()),
    "small hex in a URL": urllib.parse.quote(_KEY, safe="").lower(),
    "a URL in a URL": urllib.parse.quote(urllib.parse.quote(_KEY, safe=""), safe=""),
    "entities by name and number": _KEY.replace("/", "&sol;")
    .replace("+", "&#43;")
    .replace("=", "&#x3D;"),
    "all entities": "".join(f"&#{ord(char)};" for char in _KEY),
    "escaped as Unicode": "".join(f"\\u{ord(char):04x}" for char in _KEY),
    "JSON in JSON": json.dumps(json.dumps({"k": _KEY.replace("/", "\\/")})),
    "small letters": _KEY.lower(),
    "two lines": f"{_KEY[:_HALF]}\n    {_KEY[_HALF:]}",
    "two lines of JSON": json.dumps(f"{_KEY[:_HALF]}\n{_KEY[_HALF:]}"),
    "two texts": f'"{_KEY[:_HALF]}" + "{_KEY[_HALF:]}"',
    "quotes of a shell": f"'{_KEY[:5]}'{_KEY[5:]}",
    "parts with dots": ".".join(_KEY[at : at + 5] for at in range(0, len(_KEY), 5)),
    "parts of a path": "/".join(_KEY[at : at + 4] for at in range(0, len(_KEY), 4)),
    "signs around each": "".join(f"[{char}]" for char in _KEY),
    "dashes of a writer": " \u2013 ".join(_KEY[at : at + 6] for at in range(0, len(_KEY), 6)),
    "letters with marks": "\u0301".join(_KEY),
    "backwards": _KEY[::-1],
    "spaces that are not seen": "\u200b".join(_KEY),
    "base64 of a header": base64.b64encode(f"user:{_KEY}".encode()).decode(),
    "base64 in the middle": base64.b64encode(f'{{"key": "{_KEY}", "more": 1}}'.encode()).decode(),
    "base64 in lines": base64.encodebytes(f"{'x' * 50}{_KEY}{'y' * 50}".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"??>>{_KEY}".encode()).decode(),
}


@pytest.mark.parametrize("case", SPELLED)
def test_a_secret_is_found_however_it_is_spelled(case: str) -> None:
    """Between words that stay; and so it is again when there are many secrets."""
    alive, said = [Secret(_KEY)], redact(f"before {SPELLED[case]} behind")
    assert "***" in said and SPELLED[case][3:-3] not in said and "anary" not in said
    assert said.startswith("before ") and said.endswith(" behind")
    alive += [Secret(f"another-secret-of-these-{number}") for number in range(100)]
    assert redact(f"before {SPELLED[case]} behind") == said


@pytest.mark.parametrize(
    "unit",
    ["\\", "%", "%25", "&", "&amp;", "&#", "\\u00", "a", "sk-live/Canary+0123456789== ", "Bearer "],
)
def test_the_redactor_takes_time_in_proportion(unit: str) -> None:
    """A megabyte of what it looks at most closely: a second is thirty times what it takes."""
    import time

    alive, text = Secret(_KEY), unit * (1_000_000 // len(unit)) + _KEY
    begun = time.process_time()
    assert _KEY not in redact(text) and alive
    assert time.process_time() - begun < 6


@pytest.mark.parametrize("piece", [lambda key: key[-20:], lambda key: f"x{key[-22:]}"])
def test_a_piece_that_is_as_good_as_a_key_is_found(piece) -> None:  # type: ignore[no-untyped-def]
    """The end, from a program that prints only so much of it.

    The beginning may be an id: `ID.SECRET`.
    """
    alive = Secret("Zq7Canary-0123456789-abcdefghij-KLMNOPQRST-end")
    said = redact(f"before {piece(alive.reveal())} behind")
    assert said.startswith("before ") and said.endswith(" behind") and "***" in said
    assert not any(part in said for part in ("KLMN", "QRST"))
    assert redact("the key Zq7Canary-0123456789") == "the key Zq7Canary-0123456789"


def test_a_key_over_the_last_lines_is_not_the_last_line() -> None:
    alive = Secret(_KEY)
    encoded = base64.encodebytes(f"{'x' * 50}{alive.reveal()}".encode()).decode()
    assert last_line(["beginning", *encoded.splitlines()]).startswith("eHh4") and "***" in redact(
        encoded
    )
    assert encoded.split()[-1][:12] not in last_line(["beginning", *encoded.splitlines()])
    assert last_line([_KEY[:20], _KEY[20:]]) == "***=="


def test_a_pattern_that_ordinary_words_meet_is_not_taken() -> None:
    redactor = Redactor()
    redactor.add_patterns(["[a-z]+", ".*", "Zq7[A-Za-z0-9]+", "[A-Za-z0-9]{20,}"])
    assert (
        redactor("the key Zq7abcdef of 01KBZ7Q9V5T2N8M4X6C3R1H0GF stays")
        == "the key *** of 01KBZ7Q9V5T2N8M4X6C3R1H0GF stays"
    )
