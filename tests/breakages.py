"""The product broken on purpose, one promise at a time: a test must notice each.

python -m tests.breakages            tries all, one after the other (`make breakages`)
python -m tests.breakages WORD …     those whose name has one of the words

Mutants (tests/mutants.py) change the core; these change what stands around it, where a promise is
kept by one line. That each of them can still be made is itself a test
(tests/unit/test_breakages.py): the list does not grow stale.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", ".git", ".venv", ".*_cache", "build", "mutants", "dist"
)


@dataclass(frozen=True)
class Breakage:
    """In `file`, `right` becomes `wrong`; `tests` must notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]

    def made(self, root: Path) -> str:
        """The file's text with it.

        Raises LookupError where it cannot be made in exactly one place.
        """
        text = (root / self.file).read_text()
        if text.count(self.right) != 1:
            raise LookupError(
                f"{self.name}: {self.file} has it {text.count(self.right)} times: {self.right!r}"
            )
        return text.replace(self.right, self.wrong)


BREAKAGES = (
    Breakage(
        "an act is not written down before it is done",
        "rotator/engine/writing.py",
        "if intend and isinstance(action, Call)",
        "if False and isinstance(action, Call)",
        ("tests/simulation",),
    ),
    Breakage(
        "a holder that lost its lease still writes the journal",
        "rotator/journal/leases.py",
        "if present is None or not fence.admits(present, lease.fence):",
        "if present is None:",
        ("tests/integration/test_corners.py",),
    ),
    Breakage(
        "what is sent after the lease is over is sent all the same",
        "rotator/clients/http_connection.py",
        "            deadline.check()\n            self.sent = True",
        "            self.sent = True",
        ("tests/hostile/test_ends.py",),
    ),
    Breakage(
        "a create whose answer was lost is taken for one that failed",
        "rotator/engine/performed.py",
        "if isinstance(error, OutcomeUnknown) and call.op in UNREPEATABLE:",
        "if isinstance(error, OutcomeUnknown) and call.op is Op.WRITE:",
        ("tests/integration/test_beliefs.py", "tests/simulation"),
    ),
    Breakage(
        "keys in force are swept, as if nothing accounted for them",
        "rotator/engine/orphans.py",
        "accounted = {key.id for key in (*in_force, *debts)}",
        "accounted = {key.id for key in debts}",
        (
            "tests/integration/test_beliefs.py",
            "tests/integration/test_corners.py",
            "tests/simulation",
        ),
    ),
    Breakage(
        "a key is destroyed although the provider's list does not show the one in force",
        "rotator/engine/orphans.py",
        "if found and (hidden",
        "if False and (hidden",
        ("tests/integration/test_beliefs.py",),
    ),
    Breakage(
        "an old key dies without anybody looking who holds it",
        "rotator/engine/facts.py",
        "    if evidence is Evidence.NONE:\n",
        "    if True:\n",
        ("tests/integration/test_corners.py", "tests/simulation"),
    ),
    Breakage(
        "the new key is not compared with the old one",
        "rotator/engine/rotation_calls.py",
        "    if other:\n",
        "    if False:\n",
        ("tests/integration/test_corners.py",),
    ),
    Breakage(
        "a key counts as dead that was never refused",
        "rotator/engine/debt_calls.py",
        "    return job.done(Proof.REFUSED if refused else Proof.NONE)",
        "    return job.done(Proof.REFUSED)",
        ("tests/integration/test_corners.py", "tests/integration/test_rotation.py"),
    ),
    Breakage(
        "a file is written in place, and may be half there",
        "rotator/clients/files.py",
        "                os.rename(beside, spot.name, src_dir_fd=spot.directory,"
        " dst_dir_fd=spot.directory)",
        "                path.write_bytes(content)",
        (
            "tests/hostile/test_disk.py",
            "tests/hostile/test_files.py",
            "tests/hostile/test_awkward_files.py",
            "tests/contract/test_stores.py",
        ),
    ),
    Breakage(
        "a file that somebody else has changed is written over",
        "rotator/clients/files.py",
        '                if (present.version if present else "") != expect:',
        "                if False:",
        ("tests/contract/test_stores.py",),
    ),
    Breakage(
        "a replaced file loses its owner, ACL and attributes",
        "rotator/clients/files.py",
        "            _dress(spot, file.fileno())\n        os.fsync",
        "            os.fchmod(file.fileno(), status.st_mode & 0o7777)\n        os.fsync",
        ("tests/hostile/test_awkward_files.py",),
    ),
    Breakage(
        "AWS encrypts a parameter with its default key, as it is told none",
        "rotator/integrations/aws/ssm.py",
        "        kept = {name: described[name] for name in _KEPT if described.get(name)}",
        "        kept: dict[str, str] = {}",
        ("tests/contract/test_stores.py",),
    ),
    Breakage(
        "a link of another user's leads to any file",
        "rotator/clients/spot.py",
        "        if strangers and not (",
        "        if False and not (",
        ("tests/hostile/test_links.py",),
    ),
    Breakage(
        "a process is signalled again that already runs with the new key",
        "rotator/integrations/process/restarter.py",
        "        if self._runs_with_it(found, change):\n            return",
        "        if False:\n            return",
        ("tests/contract/test_restarters.py",),
    ),
    Breakage(
        "the redactor lets everything through",
        "rotator/secret.py",
        "        squeezed = spelling.plain(text)\n",
        "        return text\n        squeezed = spelling.plain(text)\n",
        ("tests/unit/test_secret.py",),
    ),
    Breakage(
        "programs inherit rotator's credentials",
        "rotator/environment.py",
        "    kept = set(withheld())",
        "    kept: set[str] = set()",
        ("tests/integration/test_programs.py",),
    ),
    Breakage(
        "a program's children live on after its time-out",
        "rotator/clients/watcher.py",
        "    os.killpg(child, signal.SIGKILL)",
        "    os.kill(child, signal.SIGKILL)",
        ("tests/integration/test_programs.py",),
    ),
    Breakage(
        "a playbook that others may write is obeyed",
        "rotator/trust.py",
        "        if not _ours(status.st_uid):\n            return",
        "        if False:\n            return",
        ("tests/unit/test_trust.py", "tests/integration/test_folders.py"),
    ),
    Breakage(
        "the key goes along with a redirect",
        "rotator/clients/http_connection.py",
        "follow_redirects=False",
        "follow_redirects=True",
        ("tests/hostile/test_answers.py", "tests/contract/test_probes.py"),
    ),
    Breakage(
        "an audit record that was changed verifies",
        "rotator/audit/verify.py",
        "        if not right:\n",
        "        if False:\n",
        ("tests/unit/test_audit.py",),
    ),
    Breakage(
        "a cut tail of the audit log verifies",
        "rotator/audit/verify.py",
        "            if self._hashes.get((chain, seq)) != head:",
        "            if False:",
        ("tests/unit/test_audit.py",),
    ),
    Breakage(
        "a checkpoint that somebody else signed is believed",
        "rotator/audit/verify.py",
        "        elif not any(\n            checkpoint.signed_by(",
        "        elif False and not any(\n            checkpoint.signed_by(",
        ("tests/unit/test_audit.py", "tests/integration/test_commands.py"),
    ),
    Breakage(
        "a seal opens for another playbook's key",
        "rotator/journal/sealing.py",
        "encrypt(nonce, text.reveal().encode(), context.encode())",
        'encrypt(nonce, text.reveal().encode(), b"")',
        ("tests/unit/test_journal.py",),
    ),
    Breakage(
        "seals stay that no step needs any more",
        "rotator/engine/writing.py",
        "            credentials.erase_all_but(self.connection, self.playbook, needed)",
        "            pass",
        ("tests/unit/test_journal.py", "tests/integration/test_ways_out.py", "tests/simulation"),
    ),
)


def unnoticed(breakage: Breakage, folder: Path) -> bool:
    """Whether its tests pass all the same, in a copy of the project in `folder`."""
    shutil.copytree(ROOT, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
    (folder / breakage.file).write_text(breakage.made(folder))
    environment = {**os.environ, "ROTATOR_SIMULATED": "150", "PYTHONPATH": str(folder)}
    environment.pop("ROTATOR_FULL", None)
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *breakage.tests]
    argv += ["--ignore", "tests/unit/test_breakages.py"]  # which says that nothing is broken
    ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode not in (0, 1):
        raise RuntimeError(
            f"{breakage.name}: pytest ended with {ended.returncode}\n{ended.stdout[-2000:]}"
        )
    failed = next(
        (line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), ""
    )
    print(
        f"{'NOT NOTICED' if not ended.returncode else 'noticed'}: {breakage.name}  {failed[:120]}",
        flush=True,
    )
    return not ended.returncode


def main() -> int:
    words = sys.argv[1:]
    chosen = [one for one in BREAKAGES if not words or any(word in one.name for word in words)]

    def tried(breakage: Breakage) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            return unnoticed(breakage, Path(folder))

    passed = sum(map(tried, chosen))
    print(f"{len(chosen)} breakages, {passed} not noticed")
    return int(bool(passed))


if __name__ == "__main__":
    sys.exit(main())
