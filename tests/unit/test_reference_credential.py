"""{credential: NAME} is what systemd gives to the unit that runs rotator."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator import environment
from rotator.errors import NotFound
from rotator.reference import Reference


def test_it_is_read_from_the_units_own_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai-admin").write_text("sk-admin-of-the-unit\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (
        Reference.parse({"credential": "openai-admin"}).resolve().reveal() == "sk-admin-of-the-unit"
    )
    assert "CREDENTIALS_DIRECTORY" not in environment.inherited({}), (
        "no program that it starts is told where they are"
    )


def test_one_that_the_unit_does_not_have_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(NotFound, match="has no credential openai-admin") as refused:
        Reference.parse({"credential": "openai-admin"}).resolve()
    assert "LoadCredential=openai-admin:" in refused.value.hint


def test_by_hand_there_is_none_and_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(NotFound, match="systemd did not start this") as refused:
        Reference.parse({"credential": "openai-admin"}).resolve()
    assert "rotator-by-hand" in refused.value.hint


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", ".."])
def test_a_name_leads_out_of_the_directory_nowhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ValueError, match="a name"):
        Reference.parse({"credential": name})
