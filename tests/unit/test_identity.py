"""Which of the provider's keys is it: only random characters tell, and only one answer is sure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.clients.patterns import literal_prefix
from rotator.core.identity import Match, Refusal, agreement, identify
from rotator.model import KeyRecord

OPENAI = "sk-(?:proj-|svcacct-|service-|admin-)?[A-Za-z0-9_-]{20,}"
VALUE = "sk-svcacct-Abcdefghijklmnopqrstuvwxyzx2Lk"
LITERAL = "sk-svcacct-"
NOW = 1_800_000_000.0
OURS = KeyRecord("key_ours", hint="sk-svc...x2Lk", created_at=NOW - 9999)

HINTS = {
    "sk-svc...x2Lk": 4,
    "sk-svcacct-Abcd…x2Lk": 8,
    "sk-***x2Lk": 4,
    "sk-svc****x2Lk": 4,
    "sk-svcacct-Abcd": 4,
    "x2Lk": 4,
    "sk-...Lk": 2,
    "sk-***": 0,
    "sk-svc...": 0,
    "sk-svc...****": 0,
    "sk-svcacct-": 0,
    "***": 0,
    "": 0,
    "sk-svcacct-Ab...ghij...x2Lk": 6,
    "sk-svcacct-Ab...jihg...x2Lk": None,
    "sk-svc...Ac4A": None,
    "sk-proj...x2Lk": None,
    "dkr_abcd": None,
    VALUE + "..." + VALUE[-4:]: None,
}


@pytest.mark.parametrize(("hint", "characters"), HINTS.items())
def test_a_hint_tells_as_much_as_its_random_characters(hint: str, characters: int | None) -> None:
    assert agreement(replace(OURS, hint=hint), VALUE, LITERAL) == characters


def test_a_hint_of_the_keys_id_tells_nothing_of_its_value() -> None:
    """As AWS names keys: by the access key's id, not by its secret."""
    assert (
        agreement(
            KeyRecord("AKIAIOSFODNN7EXAMPLE", hint="AKIAIO…MPLE"), "wJalrXUtnFEMI/K7MDENG", ""
        )
        == 0
    )


def test_the_one_entry_that_agrees_in_four_random_characters_is_the_key() -> None:
    other = KeyRecord("key_other", hint="sk-svc...Ac4A")
    assert identify([other, OURS, OURS], VALUE, LITERAL, NOW, True) == Match(OURS), (
        "a key that is listed twice is one"
    )


@pytest.mark.parametrize("hint", ["sk-...Lk", "sk-***", "sk-svc...", "***", "sk-svc...****", ""])
def test_a_mask_that_tells_little_identifies_nobody(hint: str) -> None:
    """It may be a colleague's key, the only one that the project shows."""
    colleague = replace(OURS, hint=hint)
    assert identify([colleague], VALUE, LITERAL, NOW, True) == Refusal(
        "the provider's list shows too little of its keys to be sure", (colleague,)
    )


def test_two_entries_that_agree_are_not_chosen_from() -> None:
    twin = replace(OURS, id="key_twin", active=False)
    found = identify([OURS, twin], VALUE, LITERAL, NOW, True)
    assert isinstance(found, Refusal) and found.candidates == (OURS, twin)


def test_a_list_without_it_says_so() -> None:
    stranger = KeyRecord("key_other", hint="sk-svc...Ac4A")
    for records in ([], [stranger]):
        assert identify(records, VALUE, LITERAL, NOW, True) == Refusal(
            "the provider lists no key that could be it"
        )


CONTRADICTIONS = {
    "has expired": replace(OURS, expires_at=NOW - 86_400),
    "is inactive": replace(OURS, active=False),
    "was made later than now": replace(OURS, created_at=NOW + 86_400),
}


@pytest.mark.parametrize(("why", "record"), CONTRADICTIONS.items())
def test_an_entry_whose_dates_or_state_contradict_is_another_key(
    why: str, record: KeyRecord
) -> None:
    found = identify([record], VALUE, LITERAL, NOW, True)
    assert isinstance(found, Refusal) and why in found.why and found.candidates == (record,)


def test_an_entry_of_another_playbook_or_an_unknown_rotation_is_not_taken() -> None:
    found = identify([OURS], VALUE, LITERAL, NOW, True, foreign={"key_ours"})
    assert isinstance(found, Refusal) and "does not know" in found.why


def test_a_key_that_its_provider_refuses_may_be_expired_or_inactive() -> None:
    """That is why it is refused; and a clock that is a minute behind contradicts nothing."""
    for record in (replace(OURS, expires_at=NOW - 86_400), replace(OURS, active=False)):
        assert identify([record], VALUE, LITERAL, NOW, False) == Match(record)
    assert identify([replace(OURS, created_at=NOW + 60)], VALUE, LITERAL, NOW, True)


PREFIXES = [
    (OPENAI, VALUE, "sk-svcacct-"),
    (OPENAI, "sk-proj-Abcdefghijklmnopqrstuvw", "sk-proj-"),
    (OPENAI, "sk-Abcdefghijklmnopqrstuvwxyz", "sk-"),
    (OPENAI, "another kind of key", ""),
    ("sk-or-v1-[0-9a-f]{64}", "sk-or-v1-0123", "sk-or-v1-"),
    ("^(?:AKIA|ASIA)[A-Z0-9]{16}$", "ASIAIOSFODNN7EXAMPLE", "ASIA"),
    ("(sk|rk)_(test|live)_[a-z]+", "rk_live_abcdef", "rk_live_"),
    ("gh[pousr]_[A-Za-z0-9]{36}", "ghs_abcdef", "ghs_"),
    ("0{3}[0-9a-f]+", "000abc", "000"),
    (".*", "anything", ""),
]


@pytest.mark.parametrize(("pattern", "value", "prefix"), PREFIXES)
def test_what_all_keys_begin_with_is_read_from_their_pattern(
    pattern: str, value: str, prefix: str
) -> None:
    assert literal_prefix(pattern, value) == prefix


def test_an_active_key_that_its_provider_refuses_is_another_one() -> None:
    """A mask that shows what all keys of a team begin with, and a value of another project."""
    assert isinstance(identify([OURS], VALUE, LITERAL, NOW, False), Refusal)
