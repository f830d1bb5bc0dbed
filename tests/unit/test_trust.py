"""Whose word it is when a file names a program that would run as us: by owner and mode, as ssh and
git decide it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator import settings, trust
from rotator.errors import ConfigError
from rotator.playbook.directory import Directory
from tests.unit.test_playbooks import somebody

MALLORY = 12345
ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of another user, and mounts"
)
PLAIN = "generate: {uses: operator}\nstore: {uses: file, path: /srv/key, create: true}\n"
PROGRAMS = {
    "a restarter": PLAIN + "restart: {uses: command, run: [/bin/true]}\nevidence: none\n",
    "a provider": PLAIN.replace("{uses: operator}", "{uses: command, generate: [make-a-key]}"),
    "a store": PLAIN.replace("uses: file, path: /srv/key", "uses: command, write: [/bin/true]"),
    "a probe": PLAIN + "verify: {uses: command, run: [/bin/true]}\n",
    "a reference": PLAIN.replace(
        "uses: operator", "uses: openrouter, management_key: {command: [/bin/true]}"
    ),
    "ssh's ProxyCommand": PLAIN.replace(
        "path: /srv/key", "path: /srv/key, host: web, ssh_config: ./ssh"
    ),
    "a login of kubectl": PLAIN.replace(
        "uses: file, path: /srv/key", "uses: kubernetes, secret: a, key: K, kubeconfig: ./kube"
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with playbooks and settings that are ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "_ETC", tmp_path / "etc" / "rotator.toml")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "one.yaml").write_text(PROGRAMS["a restarter"])
    (tmp_path / "rotator.toml").write_text('key_command = "true"\n')
    return tmp_path


def of_mallory(path: Path) -> None:
    os.chown(path, MALLORY, MALLORY, follow_symlinks=False)


def its_groups(path: Path) -> None:
    os.chown(path, 0, MALLORY)
    path.chmod(0o775)


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another's": (of_mallory, "belongs to uid 12345, not to root"),
    "everyone's": (lambda path: path.chmod(0o777), "may be written by everyone"),
    "a group's": (its_groups, "may be written by its group, gid 12345"),
}


def told(folder: Path) -> list[str]:
    return [mistake.text for mistake in settings.load({}).directory.load().mistakes]


def test_what_is_ours_is_obeyed(folder: Path) -> None:
    assert settings.load({}).key_command == "true" and not told(folder)


@ROOT
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", ["rotator.toml", "."])
def test_settings_that_are_just_there_must_be_ours_or_roots(
    folder: Path, which: str, way: str
) -> None:
    """`rotator status` in a directory of somebody else's would run his key_command."""
    WAYS[way][0](folder / which)
    with pytest.raises(ConfigError, match=f"is not read: it .*{WAYS[way][1]}") as error:
        settings.load({})
    assert "ROTATOR_CONFIG=" in error.value.hint
    with pytest.raises(
        ConfigError, match=f"names a program in key_command, and it .*{WAYS[way][1]}"
    ):
        settings.load({"ROTATOR_CONFIG": "rotator.toml"})
    (folder / "rotator.toml").write_text('log_level = "info"\n')
    assert settings.load({"ROTATOR_CONFIG": "rotator.toml"}).log_level == "info", (
        "a path that is named is read"
    )


@ROOT
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", ["", "one.yaml", "providers", "providers/acme.yaml"])
def test_playbooks_that_are_just_there_must_be_ours_or_roots(
    folder: Path, which: str, way: str
) -> None:
    """One of the same name as ours would rotate our key by his word; a catalog file, send our admin
    key to his host.
    """
    (folder / "playbooks" / "providers").mkdir()
    (folder / "playbooks" / "providers" / "acme.yaml").write_text("name: Acme\n")
    WAYS[way][0](folder / "playbooks" / which)
    (folder / "rotator.toml").unlink()
    found = settings.load({}).directory.load()
    assert not found.playbooks and len(found.mistakes) == 1
    assert "is not read: it" in found.mistakes[0].text and WAYS[way][1] in found.mistakes[0].text
    assert "ROTATOR_PLAYBOOKS" in found.mistakes[0].hint


@ROOT
@pytest.mark.parametrize("case", PROGRAMS)
def test_a_playbook_of_anothers_is_read_where_it_is_named_but_names_no_program(
    folder: Path, case: str
) -> None:
    path = folder / "playbooks" / "one.yaml"
    path.write_text(PROGRAMS[case])
    assert not Directory((path.parent,)).load().mistakes
    of_mallory(path)
    found = Directory((path.parent,)).load()
    assert (
        not found.playbooks
        and "a program is named here, and the file belongs to uid 12345" in found.mistakes[0].text
    )
    assert found.mistakes[0].line > 0 and Directory((path.parent,), trusted=True).load().playbooks
    path.write_text(PLAIN)
    assert Directory((path.parent,)).load().playbooks


@ROOT
def test_root_says_in_etc_that_programs_run_whoever_named_them(folder: Path) -> None:
    for path in (folder / "rotator.toml", folder / "playbooks", folder / "playbooks" / "one.yaml"):
        of_mallory(path)
    (folder / "etc").mkdir()
    etc = folder / "etc" / "rotator.toml"
    etc.write_text("trust = true\n")
    assert settings.load({}).key_command == "true" and settings.load({}).directory.load().playbooks
    of_mallory(etc)
    with pytest.raises(ConfigError, match="is not read"):
        settings.load({})


def test_nobody_else_says_so(folder: Path) -> None:
    (folder / "rotator.toml").write_text("trust = true\n")
    with pytest.raises(ConfigError, match="`trust` counts in .* alone"):
        settings.load({})
    (folder / "rotator.toml").unlink()
    (folder / "etc").mkdir()
    (folder / "etc" / "rotator.toml").write_text("trust = 1\n")
    with pytest.raises(ConfigError, match="trust is true or false"):
        settings.load({})


@ROOT
def test_sudo_does_not_make_the_callers_files_roots(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may run rotator alone by sudo could run everything with it."""
    monkeypatch.setenv("SUDO_UID", str(MALLORY))
    of_mallory(folder / "rotator.toml")
    with pytest.raises(ConfigError, match="not to root"):
        settings.load({})


@ROOT
def test_what_is_roots_is_obeyed_by_others(tmp_path: Path) -> None:
    """As an administrator puts it down for a service's user."""
    (tmp_path / "one.yaml").write_text(PLAIN)
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        path.chmod(0o755)
    with somebody():
        assert trust.foreign(tmp_path / "one.yaml") == ""


def test_a_umask_of_002_is_usual_where_each_user_has_a_group(folder: Path) -> None:
    before = os.umask(0o002)
    try:
        (folder / "shared").mkdir()
        (folder / "shared" / "one.yaml").write_text(PLAIN)
    finally:
        os.umask(before)
    path = folder / "shared" / "one.yaml"
    assert path.stat().st_mode & 0o020 and path.parent.stat().st_mode & 0o020
    if trust._own_group(path.stat()):
        assert trust.foreign(path) == ""
    else:  # a group of several, as `users` is
        assert "its group" in trust.foreign(path)


@ROOT
def test_a_group_without_a_name_is_a_pods_own_where_that_is_said(folder: Path) -> None:
    path = folder / "playbooks" / "one.yaml"
    its_groups(path)
    assert "gid 12345" in trust.foreign(path)
    assert trust.foreign(path, unnamed_groups=False) == ""
    path.chmod(0o666)
    assert "everyone" in trust.foreign(path, unnamed_groups=False)


def test_in_a_directory_like_tmp_each_may_only_replace_his_own(folder: Path) -> None:
    (folder / "playbooks").chmod(0o1777)
    assert not told(folder)
    (folder / "playbooks").chmod(0o777)
    assert "may be written by everyone" in told(folder)[0]


@ROOT
def test_roots_links_are_followed_and_no_others(folder: Path) -> None:
    (folder / "current").symlink_to("playbooks")
    path = folder / "current" / "one.yaml"
    assert trust.foreign(path) == ""
    of_mallory(folder / "current")
    assert "is reached by" in trust.foreign(path) and "belongs to uid 12345" in trust.foreign(path)
    (folder / "loop").symlink_to("loop")
    assert "cannot be looked at" in trust.foreign(folder / "loop")
    assert trust.foreign(folder / "none" / "one.yaml") == ""


def mounted(folder: Path, how: str, code: str) -> str:
    """What a program says that sees a mount at `folder`/m; the machine does not."""
    (folder / "m").mkdir(exist_ok=True)
    program = f"import sys; from pathlib import Path; m = Path({str(folder / 'm')!r})\n{code}"
    script = f'cd {folder}; {how} && exec {sys.executable} -c "$PROGRAM"'
    made = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(
        made, capture_output=True, text=True, env={**os.environ, "PROGRAM": program}
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip("mounts cannot be made here")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@ROOT
def test_a_mounted_configmap_is_obeyed(folder: Path) -> None:
    """Its directory has the mode 0777 and a group of fsGroup; nobody can write there, as it is
    mounted so.
    """
    how = (
        "mount -t tmpfs none m && chgrp 10001 m && chmod 2777 m && mkdir -m 2755 m/..2026 && ln -s"
        " ..2026 m/..data && ln -s ..data/one.yaml m/one.yaml && cp playbooks/one.yaml m/..2026/ &&"
        " chgrp 10001 m/..2026/one.yaml && chmod 0644 m/..2026/one.yaml && %s"
    )
    code = (
        "from rotator.playbook.directory import Directory; print(Directory((m,)).load().mistakes)"
    )
    assert mounted(folder, how % "mount -o remount,ro m", code) == "[]"
    assert "may be written by everyone" in mounted(folder, how % "true", code)


@ROOT
def test_of_a_bind_mount_the_owner_counts(folder: Path) -> None:
    """A checkout of a person's in a container: who owns it can change it outside, however it is
    mounted.
    """
    of_mallory(folder / "playbooks" / "one.yaml")
    how = "mount --bind playbooks m && mount -o remount,bind,ro m"
    code = (
        "from rotator.playbook.directory import Directory; print(Directory((m,),"
        " trusted=%s).load().mistakes)"
    )
    assert "a program is named here" in mounted(folder, how, code % "False")
    assert mounted(folder, how, code % "True") == "[]"
