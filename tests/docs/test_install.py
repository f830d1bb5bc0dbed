"""The install page, done as it stands on a systemd of its own: what it says is refused, and what
lets it work.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.contract.test_systemd import DOCS as SYSTEMD_PAGE
from tests.docs.test_docs import BLOCK, DOCS, blocks, commands
from tests.servers.installed import Host, host  # noqa: F401  (a fixture)
from tests.servers.issuers import ADMIN
from tests.servers.systemd import Systemd

PAGE = DOCS / "install.md"
_FILES = {
    Path(found[1]): body
    for _, body in BLOCK.findall(PAGE.read_text())
    if (found := re.match(r"(?:#|//) (/.+)\n", body))
}
_PLAYBOOK, _CREDENTIAL = Path("/etc/rotator/playbooks/openai-prod.yaml"), "here.conf"


def test_the_page_leads_to_a_unit_that_rotates(host: Host) -> None:  # noqa: F811
    old = host.key_by_hand()
    host.install()
    host.write(Path("/srv/app.env"), f"PORT=80\nOPENAI_API_KEY={old}\n")
    host.server.unit(
        "app.service", "/bin/sleep 1000", EnvironmentFile="/etc/app/app.env", User="app"
    )

    lines = commands(PAGE)
    by_hand = lines.index("systemctl daemon-reload")
    for line in lines[:by_hand]:
        if line.startswith(("python3 -m venv", "/opt/rotator/bin/pip")):
            continue
        host.must(f"cd /srv/checkout && {line}", f"{ADMIN}\n" if "openai-admin" in line else "")
    host.must("systemctl start app.service")
    host.write(
        _PLAYBOOK,
        _FILES[_PLAYBOOK].replace("  project:", f"  base_url: {host.issuer}/v1\n  project:"),
    )

    # What the table says, before each of its lines is in a drop-in.
    look = "systemctl daemon-reload && rotator-by-hand rotate openai-prod --dry-run"
    done = host.run(look)
    assert done.returncode == 6 and "the unit has no credential openai-admin" in done.stdout, done
    for path in _FILES:
        if path.name == _CREDENTIAL:
            host.write(path, _FILES[path])
    done = host.run(look)
    assert done.returncode == 6 and "its file system is read-only for rotator" in done.stdout, done
    assert (
        "ReadWritePaths=/etc/app" in done.stdout
        and "sudo does nothing where new privileges" in done.stdout
    ), done
    assert host.run("systemctl start rotator.service").returncode == 1, "the unit says the same"
    assert host.live == [old], "nothing was made"

    for path, body in _FILES.items():
        if path not in (_PLAYBOOK,) and path.name != _CREDENTIAL:
            host.write(path, body, "440" if path.parent.name == "sudoers.d" else "644")
    daemon = lines.index(
        "cp deploy/systemd/rotatord.service deploy/systemd/rotator-failed@.service /etc/systemd/system/"
    )
    for line in lines[by_hand : daemon - 1]:
        done = host.run(line)
        assert done.returncode == 0, (
            f"{line}: {done.stdout}{done.stderr}{host.run('journalctl -u rotator -n 30').stdout}"
        )
    held = host.must("cat /etc/app/app.env")
    assert held.startswith("PORT=80\nOPENAI_API_KEY=sk-svcacct-") and old not in held
    new = held.split("OPENAI_API_KEY=")[1].strip()
    assert sorted(host.live) == sorted([old, new]), "the old key has its grace"
    assert host.server.environment("app.service")["OPENAI_API_KEY"] == new
    assert host.must("stat -c '%U:%G %a' /etc/app/app.env").strip() == "rotator:app 640"
    assert host.must("stat -c '%U %a' /var/lib/rotator").strip() == "rotator 700"
    assert host.must("systemctl is-active rotator.timer").strip() == "active"
    assert host.run("rotator-by-hand rotator revoke openai-prod").returncode == 0 and host.live == [
        new
    ]
    assert host.run("rotator-by-hand rotate nope").returncode == 2, "the exit code is rotate's own"
    assert host.run("rotator-by-hand sh").returncode == 2

    host.must(f"sed -i 's/, sudo: true//' {_PLAYBOOK}")
    for line in lines[daemon:]:
        done = host.run(f"cd /srv/checkout && {line}")
        assert done.returncode == 0, (
            f"{line}: {done.stdout}{done.stderr}{host.run('journalctl -u rotatord -n 30').stdout}"
        )
    assert host.must("systemctl is-active rotatord.service").strip() == "active"
    assert host.run("systemctl is-active rotator.timer").stdout.strip() == "inactive"
    assert host.run("rotator-by-hand rotate openai-prod").returncode == 0, "polkit lets it"
    held = host.must("cat /etc/app/app.env").split("OPENAI_API_KEY=")[1].strip()
    assert held != new and host.server.environment("app.service")["OPENAI_API_KEY"] == held


def test_the_rules_for_sudo_are_those_of_the_systemd_page() -> None:
    """A test runs with exactly those of the other page; these are the same for one unit on this
    machine.
    """
    there = SYSTEMD_PAGE.read_text()
    for line in _FILES[Path("/etc/sudoers.d/rotator")].splitlines()[1:]:
        assert line.split("^")[0] in there


def test_a_users_timer_is_right(systemd: Systemd) -> None:
    """By systemd's own check; and it begins the service of its name."""
    folder = systemd.shared / "of-a-user"
    folder.mkdir()
    for body in blocks(DOCS / "run-it.md", "ini"):
        named = re.match(r"# ~/.config/systemd/user/(\S+)\n", body)
        assert named, body
        (folder / named[1]).write_text(body.replace("/opt/rotator/bin/rotate", "/bin/true"))
    assert {path.name for path in folder.iterdir()} == {"rotate.service", "rotate.timer"}
    folder.joinpath("run").mkdir()
    home = ("env", "HOME=/root", "XDG_RUNTIME_DIR=/srv/shared/of-a-user/run")
    argv = [
        *home,
        "systemd-analyze",
        "--user",
        "verify",
        "--man=no",
        "/srv/shared/of-a-user/rotate.timer",
    ]
    done = subprocess.run(systemd.inside(*argv), capture_output=True, text=True)
    assert done.returncode == 0 and "rotate" not in done.stderr, done.stderr
