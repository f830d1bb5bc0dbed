"""What a reference gives is a secret in UTF-8, or it is refused by the reference's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.errors import PermanentError
from rotator.reference import Reference

SECRET = "sk-admin-8f3k2m9x7q"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SECRET.encode("utf-16"), "begins as UTF-16"),
        (SECRET.encode("utf-16-le"), "every other byte is a NUL"),
        (SECRET.encode("utf-32"), "begins as UTF-32"),
        ("sk-ключ-0123456789".encode("cp1251"), "0xea in line 1"),
        (b"sk-admin\0", "NUL bytes"),
        (b"op://Dev/OpenAI/credential\n", "1Password"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3031\n", "Ansible Vault"),
        (b"encrypted:BG7x9k==", "dotenvx"),
        (b"your-admin-key-here\n", "a placeholder"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "admin"
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=words) as raised:
        Reference.parse({"file": str(path)}).resolve()
    assert (
        str(path) in raised.value.message
        and raised.value.hint
        and "0123456789" not in raised.value.message
    )


@pytest.mark.parametrize(
    "content", [f"{SECRET}\r\n", f"\ufeff{SECRET}\r\n", f"{SECRET}", f"\n{SECRET}\n\n"]
)
def test_the_mark_of_utf8_and_lines_ends_are_no_part_of_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "admin"
    path.write_bytes(content.encode())
    assert Reference.parse({"file": str(path)}).resolve().reveal() == SECRET


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("\udcea\udcebsk-0123", "is not UTF-8"),
        ("${OPENAI_ADMIN_KEY}", "a variable"),
        ("op://Dev/x/y", "1Password"),
        ("changeme", "a placeholder"),
    ],
)
def test_a_variable_that_holds_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("ADMIN_OF_TESTS", value)
    with pytest.raises(PermanentError, match=words) as raised:
        Reference.parse({"env": "ADMIN_OF_TESTS"}).resolve()
    assert "ADMIN_OF_TESTS" in raised.value.message
