"""`rotator doctor` looks at the folders that hold keys, as the guides' checklist says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.setup import checklist
from rotator.setup.checklist import Item
from tests.integration.test_commands import Said, run  # noqa: F401  (a fixture)
from tests.patterns import Examples

GROQ = r"gsk_[A-Za-z0-9]{52}"
OPENAI = r"sk-(?:proj-)?[A-Za-z0-9_-]{20,}"
KEY = Examples(GROQ, 3).one()


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree in order: the key in an ignored file of its owner, a placeholder in the example."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text(".env\n")
    (folder / ".env").write_text(f"GROQ_API_KEY={KEY}\n")
    (folder / ".env").chmod(0o600)
    (folder / ".env.example").write_text("GROQ_API_KEY=your-key-here\nOPENAI_API_KEY=sk-...\n")
    (folder / "main.py").write_text("task-list-with-many-words = 'sk-learn-is-a-library'\n")
    git(folder, "add", ".")
    return folder


def wrong(folder: Path) -> list[Item]:
    return [one for one in checklist.checklist([folder], [GROQ, OPENAI]) if not one.ok]


def test_nothing_is_said_of_a_folder_in_order(tree: Path) -> None:
    assert wrong(tree) == []
    subjects = [one.subject for one in checklist.checklist([tree, tree], [GROQ, OPENAI])]
    assert subjects == [f"{tree}/.env", f"{tree}/.env", f"{tree}/.env.example", str(tree)]


def test_an_env_file_that_git_would_take(tree: Path) -> None:
    (tree / ".gitignore").unlink()
    (found,) = wrong(tree)
    assert found.text == "git would take it" and found.hint == "add .env to .gitignore"


def test_an_env_file_that_everybody_may_read(tree: Path) -> None:
    (tree / ".env").chmod(0o604)
    (found,) = wrong(tree)
    assert found.text == "its mode is 0604" and "chmod o=" in found.hint
    (tree / ".env").chmod(0o640)
    assert wrong(tree) == [], "a group of its own may"


def test_an_example_with_a_real_key(tree: Path) -> None:
    (tree / ".env.example").write_text(f"NAME=x\nGROQ_API_KEY={KEY}\n")
    found, in_git = wrong(tree)
    assert found.subject == f"{tree}/.env.example"
    assert "GROQ_API_KEY looks like a real key" in found.text and KEY not in found.text
    assert in_git.subject == str(tree) and ".env.example:2" in in_git.text


def test_a_key_in_a_file_of_git(tree: Path) -> None:
    """With its place, and never the key; what git does not have is not looked at."""
    (tree / "notes.txt").write_text(f"one\ntwo, the key is {KEY}\n")
    assert wrong(tree) == []
    git(tree, "add", "notes.txt")
    (found,) = wrong(tree)
    assert f"notes.txt:2 ({KEY[:6]}…{KEY[-4:]})" in found.text and KEY not in found.text
    assert "rotate that key" in found.hint


def test_what_is_no_text_is_passed_over(tree: Path) -> None:
    (tree / "blob").write_bytes(b"\0" + KEY.encode())
    (tree / "link").symlink_to(tree / ".env")
    git(tree, "add", "-f", "blob", "link")
    assert wrong(tree) == []


def test_a_folder_that_is_called_so_is_no_file_of_keys(tree: Path) -> None:
    (tree / ".env").unlink()
    (tree / ".env").mkdir(mode=0o755)
    (tree / ".gitignore").unlink()
    assert wrong(tree) == []


def test_the_clock_is_compared_with_who_was_asked() -> None:
    assert list(checklist.clocks({})) == []
    (well,) = checklist.clocks({"a.example": 2.0, "b.example": -5.2})
    assert well.ok and well.text == "5 s ahead of b.example"
    (ill,) = checklist.clocks({"a.example": 400.0, "b.example": -5.0})
    assert not ill.ok and ill.text == "400 s behind a.example" and "timedatectl" in ill.hint


def test_doctor_shows_the_list(run: Callable[..., Said], home: Path, tree: Path) -> None:  # noqa: F811
    """Of the folders that the playbooks' stores are in."""
    (tree / ".gitignore").unlink()
    (home / "playbooks" / "groq.yaml").write_text(
        f"generate: {{uses: operator}}\nstore: {{uses: dotenv, path: {tree}/.env, key: GROQ_API_KEY}}\n"
    )
    said = run("doctor")
    assert said.code == 1 and f"✗ {tree}/.env: git would take it" in said.out
    assert f"✓ {tree}: no key in 3 files of git" in said.out and KEY not in said.out


def test_a_tree_that_git_does_not_open_is_not_called_clean(tree: Path) -> None:
    """Another user's, for instance, where doctor runs as root: it said `no key in -1 files`."""
    (tree / "notes.txt").write_text(f"the key is {KEY}\n")
    git(tree, "add", "notes.txt")
    (tree / ".git" / "config").write_text("[core\n")
    found = [one for one in wrong(tree) if one.subject == str(tree)]
    assert len(found) == 1 and found[0].text.startswith("git cannot be asked: ")
