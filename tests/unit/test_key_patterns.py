"""What a key looks like: twenty that are ones and twenty that nearly are, for each pattern that is
shipped, and of a user's own file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.clients.patterns import may_match_blanks
from rotator.integrations.catalog.entry import entry_at
from rotator.integrations.catalog.made import provider_class
from rotator.integrations.catalog.shipped import key_patterns, shipped
from rotator.playbook import catalog
from rotator.reference import Reference
from rotator.secret import Redactor, Secret, redact
from rotator.shown import tidy
from tests.patterns import Examples

PATTERNS = {
    name: one.pattern for name, path in shipped().items() if (one := entry_at(path)).pattern
}
MANY = 20
OWN = """\
name: Ours
console: https://ours.example/keys
pattern: "own_(?:live|test)_[a-f0-9]{24}"
api: {base: null}
create: operator
revoke: operator
probe: {request: {GET: /me, auth: {bearer: key}}}
"""


def _looks_right(name: str, text: str) -> bool:
    entry = entry_at(shipped()[name])
    settings = {
        key: Reference("env", "UNUSED") if one.secret else "unused"
        for key, one in entry.settings.items()
        if one.required
    }
    made = provider_class(name, entry)(base_url="http://unused.invalid", **settings)
    return not made.looks_right(Secret(text))


def test_each_pattern_is_known_to_the_redactor() -> None:
    """`key_patterns` reads them from the files' texts, without their grammar."""
    assert len(PATTERNS) >= 12 and sorted(key_patterns()) == sorted(PATTERNS.values())


@pytest.mark.parametrize("name", PATTERNS)
def test_true_keys_look_right_and_are_blanked_out(name: str) -> None:
    blanks = Redactor(PATTERNS.values())
    for seed in range(MANY):
        key = Examples(PATTERNS[name], seed).one()
        assert _looks_right(name, key), key
        for line in (f"401 for {key}", f"error: {key}: refused", f'{{"key": "{key}"}}', key):
            assert key not in blanks(line) and "***" in blanks(line), line


@pytest.mark.parametrize("name", PATTERNS)
def test_near_misses_are_no_keys_and_stay_legible(name: str) -> None:
    blanks = Redactor([PATTERNS[name]])
    for seed in range(MANY):
        miss = Examples(PATTERNS[name], seed).near_miss()
        assert not _looks_right(name, miss), miss
        assert blanks(f"see {miss} there") == f"see {miss} there"


def test_keys_of_a_users_own_file_are_blanked_out_of_every_line(tmp_path: Path) -> None:
    """From the moment that the file is loaded, in whatever quotes its pattern stands."""
    path = tmp_path / "providers" / "ours.yaml"
    path.parent.mkdir()
    path.write_text(OWN)
    entry = catalog.load(path)
    for seed in range(MANY):
        examples = Examples(entry.pattern, seed)
        key, miss = examples.one(), examples.near_miss()
        assert key not in tidy(f"the provider said {key}") and key not in redact(f"key={key}")
        assert Redactor([entry.pattern])(miss) == miss


@pytest.mark.parametrize(
    "pattern",
    [
        "mem-.*",
        'mem-[^"]{8}',
        r"mem-[\s-]+",
        r"mem-\D+",
        r"mem-[^\d]+",
        r"mem-\W",
        "mem-[!-~ ]+",
        "mem-[ -~]+",
        "mem-[^x]",
        "mem-(?:[a-z]|.)+",
        "(?>mem-.)",
        "mem-(.)?",
        "(a)?mem-(?(1).|b)",
        "mem-.*?",
        "mem-.++",
    ],
)
def test_a_pattern_that_matches_across_blanks_hides_the_words_after_a_key(pattern: str) -> None:
    assert may_match_blanks(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *PATTERNS.values(),
        r"mem-\S+",
        r"mem-[^\s]+",
        r"mem-[^ \t]+",
        r"mem-\w{8}",
        r"\bmem-[!-~]+$",
        "-----BEGIN PRIVATE KEY-----",
        "(a)?mem-(?(1)c)",
        "mem-(?=.)[a-z]",
        "[",
    ],
)
def test_a_pattern_whose_match_ends_with_the_key_hides_nothing_else(pattern: str) -> None:
    assert not may_match_blanks(pattern)
