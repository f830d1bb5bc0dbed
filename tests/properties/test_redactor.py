"""Whatever a secret looks like and wherever it is echoed: it does not come out."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse

from hypothesis import given
from hypothesis import strategies as st

from rotator.secret import Redactor, Secret
from rotator.vocabulary import Vocabulary

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=80)
AROUND = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cs",)), max_size=40
)
FORMS = st.sampled_from(
    [
        lambda text: text,
        lambda text: urllib.parse.quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: repr(text)[1:-1],
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: f"Bearer {text}",
        lambda text: json.dumps({"error": f"key {text} is unknown"}),
    ]
)


@given(text=SECRETS, form=FORMS, before=AROUND, after=AROUND)
def test_a_secret_is_not_in_what_comes_out(text: str, form, before: str, after: str) -> None:  # type: ignore[no-untyped-def]
    secret = Secret(text)
    redacted = Redactor()(before + form(text) + after)
    assert secret.reveal() not in redacted or text in "***" + before + after + "***"
    assert form(text) not in redacted or form(text) in before + after


@given(
    texts=st.lists(SECRETS, min_size=10, max_size=30, unique=True),
    form=FORMS,
    before=AROUND,
    after=AROUND,
)
def test_of_many_secrets_each_is_found(texts: list[str], form, before: str, after: str) -> None:  # type: ignore[no-untyped-def]
    """Wherever it begins: with many, they are looked for by windows of their tails."""
    alive = [Secret(text) for text in texts]
    for secret in alive:
        redacted = Redactor()(before + form(secret.reveal()) + after)
        assert form(secret.reveal()) not in redacted or form(secret.reveal()) in before + after


def test_a_secret_that_is_just_being_taken_in_is_waited_for() -> None:
    """One thread takes it in; another that looks meanwhile does not miss it."""
    begun, go_on, vocabulary = threading.Event(), threading.Event(), Vocabulary()

    class Slow:
        def forms(self) -> frozenset[bytes]:
            begun.set()
            go_on.wait(10)
            return frozenset({b"a-slow-secret-value"})

    slow = Slow()
    vocabulary.add(slow)
    first = threading.Thread(target=lambda: vocabulary.any_in(b"x"))
    first.start()
    begun.wait(10)
    found: list[bool] = []
    second = threading.Thread(
        target=lambda: found.append(vocabulary.any_in(b"it is a-slow-secret-value"))
    )
    second.start()
    second.join(0.2)
    go_on.set()
    first.join()
    second.join()
    assert found == [True]


ANY = st.text(
    st.characters(max_codepoint=0x1FFFF), max_size=40
)  # half characters, too: other encodings end so
HALF = st.sampled_from(
    ["", "\udcff", "\ud800", "%ed%a0%80", "\\ud800", "&#xD800;", "&#9999999;", "\0", "\x1b[0m"]
)


@given(text=ANY, secret=ANY, half=HALF)
def test_no_text_and_no_secret_makes_it_fail(text: str, secret: str, half: str) -> None:
    """Of a file in another encoding, of a program's output cut in the middle: what is said of it
    must come out.
    """
    alive = [Secret(secret + half), Secret(half + secret), Secret(text[:9])]
    redacted = Redactor([r"sk-[A-Za-z0-9]{8,}"])(text + half + secret + half)
    assert isinstance(redacted, str) and len(alive) == 3
    longest = secret + half
    assert len(longest.strip()) < 12 or longest not in redacted or longest in "***" + text + "***"


def test_of_the_dead_nothing_is_kept() -> None:
    """A text that was a secret's is a text like any other once the secret is gone."""
    alive = [Secret(f"a-secret-value-number-{number:04d}") for number in range(50)]
    redactor = Redactor()
    assert redactor("x a-secret-value-number-0007 y") == "x *** y"
    del alive
    assert redactor("x a-secret-value-number-0007 y") == "x a-secret-value-number-0007 y"


@given(text=AROUND)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    redactor = Redactor([r"sk-[A-Za-z0-9]{8,}"])
    once = redactor(text)
    assert redactor(once) == once


@given(text=st.text(st.characters(categories=("Lu", "Ll", "Nd", "Zs")), max_size=60))
def test_words_without_a_secret_stay(text: str) -> None:
    words = text.lower().replace("bearer", "").replace("basic", "").replace("token", "")
    assert Redactor()(words) == words
