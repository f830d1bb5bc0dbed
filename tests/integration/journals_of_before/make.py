"""Make the journals of before, by the code of before: the commit right before the integrations
moved into one folder each (d77fff7).

    git worktree add /tmp/before d77fff7
    PYTHONSAFEPATH=1 PYTHONPATH=/tmp/before python tests/integration/journals_of_before/make.py

Each situation is made by a process of its own that runs the code of that worktree: on the memory
plugins, by a clock that jumps over waits, with keys that open nothing. A killed one gets SIGKILL
right before or right after one transaction of the journal. What is left of the journal, of the
files beside it and of the world goes to situations.json.xz; test_journals_of_before.py carries it
on. Run it again only for more situations of that commit: what today's code makes is no journal of
before.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import lzma
import os
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

SITUATIONS = Path(__file__).with_name("situations.json.xz")
NAME = "one"
PLAYBOOK = """
generate: {{uses: memory, issuer: one, can_deactivate: true{provider}}}
store: [{{uses: memory, cell: one}}]
restart: [{{uses: memory, consumers: [one], evidence: read}}]
revoke: {{{revoke}}}
limits: {{pass_interval: 1s, step: 20s}}
{more}
"""
WAITS = {"grace": "1h", "quiet": "30m", "soak": "10m", "watch": "20m"}
HAND = """
generate: {uses: operator, pattern: 'mem-.*'}
store: [{uses: memory, cell: one}]
restart: [{uses: memory, consumers: [one], evidence: read}]
verify: [{uses: memory, issuer: one}]
revoke: {grace: 0s, quiet: 0s, soak: 0s, watch: 0s}
limits: {pass_interval: 1s, step: 20s}
"""

# The same with programs, and a .env file; consumers run with a copy of it.
PROGRAMS = """
generate:
  uses: command
  generate: [FOLDER/python, -IS, FOLDER/keys.py, generate]
  list: [FOLDER/python, -IS, FOLDER/keys.py, list]
  revoke: [FOLDER/python, -IS, FOLDER/keys.py, revoke]
  probe: [FOLDER/python, -IS, FOLDER/keys.py, probe]
store: [{uses: dotenv, path: FOLDER/.env, key: KEY}]
restart:
  - uses: command
    run: [FOLDER/python, -IS, FOLDER/keys.py, restart]
    ready: [FOLDER/python, -IS, FOLDER/keys.py, ready]
evidence: answers
revoke: {grace: 1h, quiet: 0s, watch: 20m}
limits: {pass_interval: 1s, step: 20s, list_lag: 0s}
"""
SCRIPT = """
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
issued, store, runs = folder / 'keys.json', folder / '.env', folder / 'runs'
keys = json.loads(issued.read_text())
match sys.argv[1]:
    case 'generate':
        i = f'k{len(keys)}'
        keys[i] = dict(label=os.environ['ROTATOR_LABEL'], value=f'no-secret-{i}-{"n" * 24}', alive=True)
        issued.write_text(json.dumps(keys))
        print(json.dumps(dict(key=keys[i]['value'], id=i)))
    case 'list':
        alive = {i: k for i, k in keys.items() if k['alive']}
        hints = {i: k['value'][:14] + '…' + k['value'][-4:] for i, k in alive.items()}
        print(json.dumps([dict(id=i, label=k['label'], hint=hints[i]) for i, k in alive.items()]))
    case 'revoke':
        keys[os.environ['ROTATOR_KEY_ID']]['alive'] = False
        issued.write_text(json.dumps(keys))
    case 'probe':
        key = sys.stdin.read()
        sys.exit(0 if any(k['value'] == key and k['alive'] for k in keys.values()) else 77)
    case 'restart':
        if (folder / 'broken').exists() and 'k0' not in store.read_text():
            sys.exit(1)
        runs.write_text(store.read_text())
    case 'ready':
        sys.exit(0 if runs.read_text() == store.read_text() else 75)
"""


class Clock:
    """Waits are jumped over; two things never happen at one instant."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        self.at += 0.001
        return self.at

    def boot(self) -> tuple[str, float]:
        return "the boot of before", self.at - 1_799_000_000.0

    def wait(self, seconds: float) -> None:
        self.at += max(0.0, seconds)


class Maker:
    """One world of the code of before: a folder, a service, and what is broken in it."""

    def __init__(self, folder: Path, kill_at: str) -> None:
        self.folder, self.kill_at = folder, kill_at
        self.memory: Any = import_module("rotator.memory")
        self.provider: Any = import_module("rotator.providers.memory").MemoryProvider
        self.store: Any = import_module("rotator.stores.memory").MemoryStore
        self.restarter: Any = import_module("rotator.restarters.memory").MemoryRestarter
        self.errors: Any = import_module("rotator.errors")
        self.orders: Any = import_module("rotator.orders")
        self.order: Any = import_module("rotator.core.order").Order
        self.pauses: Any = import_module("rotator.journal.pauses")
        service: Any = import_module("rotator.service")
        self.request: Any = service.Request
        self.clock = Clock()
        self.memory.WORLD.now = self.clock.now
        (folder / "playbooks").mkdir(parents=True)
        self.issuer = self.memory.WORLD.issuer(NAME)
        self.first = self.issuer.create("by hand")
        cell = self.memory.WORLD.cell(NAME)
        cell.values = {"key": import_module("rotator.secret").Secret(self.first.value)}
        cell.version = 1
        self.memory.WORLD.consumers[NAME] = self.memory.Consumer(NAME)
        self.memory.WORLD.start(NAME)
        self.playbook()
        settings: Any = import_module("rotator.settings").Settings
        url = f"sqlite:///{folder / 'journal.db'}"
        self.settings = settings(folder, playbooks=(folder / "playbooks",), database_url=url)
        self.service = service.Service(self.settings, "test", clock=self.clock)
        self.service.actor = replace(self.service.actor, who="somebody", where="before")

    def playbook(self, provider: str = "", more: str = "", **revoke: str) -> None:
        waits = ", ".join(f"{name}: {value}" for name, value in {**WAITS, **revoke}.items())
        self.write(PLAYBOOK.format(provider=provider, revoke=waits, more=more))

    def programs(self) -> None:
        """A playbook whose provider and restarter are programs, with a .env file as its store."""
        (self.folder / "python").symlink_to(sys.executable)
        self.write(PROGRAMS.replace("FOLDER", str(self.folder)))
        self.first.value = f"no-secret-k0-{'n' * 24}"
        first = {"label": "by hand", "value": self.first.value, "alive": True}
        (self.folder / "keys.py").write_text(SCRIPT)
        (self.folder / "keys.json").write_text(json.dumps({"k0": first}))
        for name in (".env", "runs"):
            (self.folder / name).write_text(f"KEY={self.first.value}\n")

    def write(self, text: str) -> None:
        (self.folder / "playbooks" / f"{NAME}.yaml").write_text(text)

    def rotate(self, **request: Any) -> Any:
        return self.service.rotate(NAME, self.request(**request))

    def due(self, **request: Any) -> None:
        self.service.due(self.request(**request))

    def give(self, order: str, **request: Any) -> None:
        self.orders.order(self.service, NAME, self.order[order], self.request(**request))

    def fail(self, plugin: Any, method: str, error: str, when: Any = None) -> None:
        """From now on this method raises, whenever `when(plugin, *arguments)` says so."""
        real = getattr(plugin, method)

        def fails(this: Any, *arguments: Any, **more: Any) -> Any:
            if when is None or when(this, *arguments):
                raise getattr(self.errors, error)(f"{method} fails")
            return real(this, *arguments, **more)

        setattr(plugin, method, fails)

    def is_first(self, _: Any, asked: Any, *__: Any) -> bool:
        """Whether a credential, or that of a change, is the key that was in force at first."""
        credential = getattr(asked, "credential", asked)
        return bool(credential.primary.reveal() == self.first.value)

    def is_new(self, this: Any, asked: Any, *more: Any) -> bool:
        return not self.is_first(this, asked, *more)

    def dump(self) -> None:
        """What is in the world, for the next process."""
        world = self.memory.WORLD
        issuer, cell, consumer = self.issuer, world.cell(NAME), world.consumers.get(NAME)
        keys = {
            key_id: {
                "label": key.record.label,
                "hint": key.record.hint,
                "created_at": key.record.created_at,
                "last_used_at": key.record.last_used_at,
                "value": key.value,
                "state": key.state,
                "slot": key.slot,
            }
            for key_id, key in issuer.keys.items()
        }
        note = cell.note and {
            one: getattr(cell.note, one) for one in ("key_id", "installation", "rotation", "at")
        }
        data = {
            "at": self.clock.at,
            "first": self.first.value,
            "overlap": str(issuer.overlap),
            "keys": keys,
            "cell": {
                "value": next(iter(cell.values.values())).reveal(),
                "version": cell.version,
                "written_at": cell.written_at,
                "note": note,
            },
            "consumer": consumer and {"holds": consumer.holds, "started_at": consumer.started_at},
        }
        (self.folder / "world.json").write_text(json.dumps(data))

    def kill_there(self) -> None:
        """As tests/acceptance/killer does; the world of a killed process is kept, too."""
        database: Any = import_module("rotator.journal.database").Database
        performer: Any = import_module("rotator.engine.perform").Performer
        debt: Any = import_module("rotator.core.state").Debt
        real_write, real_perform = database.write, performer.perform
        phase = ["start"]
        passed = (self.folder / "places").open("a")

        def reach(moment: str) -> None:
            place = f"{moment} {phase[0]}"
            print(place, file=passed, flush=True)
            if place == self.kill_at:
                self.dump()
                os.kill(os.getpid(), signal.SIGKILL)

        @contextlib.contextmanager
        def write(this: Any) -> Iterator[Any]:
            reach("before")
            with real_write(this) as connection:
                yield connection
            reach("after")

        def perform(this: Any, call: Any) -> Any:
            performed = real_perform(this, call)
            phase[0] = f"{'debt ' * isinstance(this.unit, debt)}{this.unit.phase}"
            return performed

        database.write, performer.perform = write, perform


# --- what waits by itself: a name, how it is made, how it is carried on, what is in force then ---


def _forward(made: Maker) -> None:
    made.rotate(wait=True)


def _lost(made: Maker) -> None:
    """The first create's answer is lost: its key is found by its label and destroyed."""
    real, count = made.provider.generate, itertools.count()

    def loses(this: Any, *arguments: Any) -> Any:
        found = real(this, *arguments)
        if next(count) == 0:
            raise made.errors.OutcomeUnknown("the answer is lost")
        return found

    made.provider.generate = loses
    made.rotate(wait=True)


def _reread(made: Maker) -> None:
    made.playbook(provider=", overlap: two slots, recovery: reread")
    made.issuer.overlap = type(made.issuer.overlap)("two slots")
    _lost(made)


def _difference(made: Maker) -> None:
    made.playbook(provider=", recovery: difference")
    _lost(made)


def _undone(made: Maker) -> None:
    made.fail(made.restarter, "restart", "PermanentError", made.is_new)
    made.rotate(wait=True)


def _back(made: Maker) -> None:
    """A person goes back to a key that is deactivated already."""
    made.playbook(grace="0s", quiet="0s", soak="1h")
    made.rotate()
    made.give("UNDO", wait=True)


def _grace(made: Maker) -> None:
    made.rotate()


def _quiet(made: Maker) -> None:
    made.playbook(grace="0s", quiet="1h")
    made.issuer.use(made.first.value)
    made.rotate()


def _soak(made: Maker) -> None:
    made.playbook(grace="0s", quiet="0s", soak="1h")
    made.rotate()


def _watch(made: Maker) -> None:
    made.playbook(grace="0s", quiet="0s", soak="0s", watch="1h")
    made.rotate()
    made.clock.wait(60)
    made.due()


def _held(made: Maker) -> None:
    """When its grace is over, a consumer shows the old key."""
    made.rotate()
    made.memory.WORLD.consumers[NAME].holds = made.first.value
    made.clock.wait(4 * 3600)
    made.due()


def _given_back(made: Maker) -> None:
    """Deactivated, and a probe fails since: it is active again, and a person is asked."""
    _soak(made)
    made.fail(made.provider, "probe", "PermanentError")
    made.due(wait=True)
    made.clock.wait(600)
    made.due(wait=True)


def _not_revoked(made: Maker) -> None:
    made.playbook(grace="0s", quiet="0s", soak="0s", watch="0s")
    made.fail(made.provider, "revoke", "PermanentError")
    made.rotate(wait=True)


def _still_accepted(made: Maker) -> None:
    """Revoked, and its provider still takes it."""
    made.playbook(grace="0s", quiet="0s", soak="0s", watch="0s")
    made.provider.revoke = lambda this, credential: None
    made.rotate()


def _leaked(made: Maker) -> None:
    made.rotate(compromised=True, reason="it was in a log")


def _stuck(where: str, method: str, error: str = "PermanentError", **request: Any) -> Any:
    """A compromised key is never gone back to: what fails for the new one waits for a person."""

    def make(made: Maker) -> None:
        plugin = getattr(made, where)
        made.fail(plugin, method, error, None if method == "progress" else made.is_new)
        made.rotate(compromised=True, **request)
        _wait_for_a_question(made)

    return make


def _wait_for_a_question(made: Maker) -> None:
    for _ in range(20):
        made.clock.wait(30)
        made.due()


def _stuck_in_write(made: Maker) -> None:
    made.fail(made.store, "write", "PermanentError")
    made.rotate(compromised=True)


def _stuck_in_look(made: Maker) -> None:
    """The consumer shows the old key after each of its restarts."""
    real = made.memory.WORLD.start

    def starts(name: str) -> Any:
        found = real(name)
        found.holds = made.first.value
        return found

    made.memory.WORLD.start = starts
    made.rotate(compromised=True)
    _wait_for_a_question(made)


def _stuck_in_recover(made: Maker) -> None:
    made.fail(made.provider, "generate", "OutcomeUnknown")
    made.provider.inventory = _sees_nothing_after(made)
    made.rotate()
    _wait_for_a_question(made)


def _sees_nothing_after(made: Maker) -> Any:
    real = made.provider.inventory
    made.fail(made.provider, "inventory", "PermanentError")
    broken, asked = made.provider.inventory, itertools.count()

    def lists(this: Any) -> Any:
        return real(this) if next(asked) == 0 else broken(this)

    return lists


def _stuck_going_back(plugin: str, method: str) -> Any:
    """The new key fails at its restart, and the way back fails for good."""

    def make(made: Maker) -> None:
        made.fail(made.restarter, "restart", "PermanentError", made.is_new)
        made.fail(getattr(made, plugin), method, "PermanentError", made.is_first)
        made.rotate(wait=False)
        _wait_for_a_question(made)

    return make


def _stuck_in_undo_verify(made: Maker) -> None:
    """The previous key works nowhere any more once all went back to it."""
    made.fail(made.restarter, "restart", "PermanentError", made.is_new)
    made.fail(made.provider, "probe", "PermanentError", _first_beside_another(made))
    made.rotate()
    _wait_for_a_question(made)


def _first_beside_another(made: Maker) -> Any:
    def refuses(this: Any, credential: Any) -> bool:
        return len(made.issuer.keys) > 1 and made.is_first(this, credential)

    return refuses


def _stuck_in_undo_look(made: Maker) -> None:
    """The new key is still shown when all went back."""
    made.fail(made.provider, "probe", "PermanentError", _only_after_a_start(made))
    real = made.memory.WORLD.start

    def starts(name: str) -> Any:
        found = real(name)
        if len(made.issuer.keys) > 1:
            found.holds = list(made.issuer.keys.values())[-1].value
        return found

    made.memory.WORLD.start = starts
    made.rotate()
    _wait_for_a_question(made)


def _only_after_a_start(made: Maker) -> Any:
    def refuses(this: Any, credential: Any) -> bool:
        started = made.memory.WORLD.consumers[NAME].starts > 1
        return started and made.is_new(this, credential)

    return refuses


def _paused(made: Maker) -> None:
    """A pause holds the debt."""
    made.rotate()
    with made.service.journal.database.write() as connection:
        until, now = made.clock.at + 90_000, made.clock.at
        pause = made.pauses.Pause(f"playbook {NAME}", until, "a holiday", "somebody", now)
        made.pauses.begin(connection, pause)


def _programs(made: Maker) -> None:
    made.programs()
    made.rotate()


def _programs_to_the_end(made: Maker) -> None:
    _programs(made)
    made.clock.wait(4 * 3600)
    made.due(wait=True)


def _programs_undone(made: Maker) -> None:
    made.programs()
    (made.folder / "broken").touch()
    made.rotate(wait=True)


def _programs_stuck(made: Maker) -> None:
    made.programs()
    (made.folder / "broken").touch()
    made.rotate(compromised=True)
    _wait_for_a_question(made)


def _supply(made: Maker) -> None:
    made.write(HAND)
    made.rotate()


def _supplied(made: Maker) -> None:
    """Its new key is in force; a person is to destroy the old one."""
    _supply(made)
    secret: Any = import_module("rotator.secret").Secret
    value = secret(made.issuer.create("by hand").value)
    made.orders.supply(made.service, NAME, value, "", made.request())


WAITING: dict[str, tuple[Any, str, str]] = {
    "an old key in its grace": (_grace, "due", "new"),
    "an old key in its grace, undone": (_grace, "undo", "first"),
    "an old key in its grace, killed now": (_grace, "revoke", "new"),
    "an old key that is not quiet yet": (_quiet, "due", "new"),
    "a deactivated key in its soak": (_soak, "due", "new"),
    "a deactivated key in its soak, undone": (_soak, "undo", "first"),
    "a revoked key that is watched": (_watch, "due", "new"),
    "an old key that a consumer holds": (_held, "restarted, due", "new"),
    "an old key that was given back": (_given_back, "resume", "new"),
    "an old key that could not be revoked": (_not_revoked, "resume", "new"),
    "a revoked key that is still accepted": (_still_accepted, "resume", "new"),
    "a leaked key": (_leaked, "due", "new"),
    "an old key, paused": (_paused, "resume, due", "new"),
    "stuck in recover": (_stuck_in_recover, "resume", "new"),
    "stuck in write": (_stuck_in_write, "resume", "new"),
    "stuck in restart": (_stuck("restarter", "restart"), "resume", "new"),
    "stuck in converge": (_stuck("restarter", "progress"), "resume", "new"),
    "stuck in verify": (_stuck("provider", "probe", "Rejected"), "resume", "new"),
    "stuck in look": (_stuck_in_look, "resume", "new"),
    "stuck in restore": (_stuck_going_back("store", "write"), "resume", "first"),
    "stuck in undo restart": (_stuck_going_back("restarter", "restart"), "resume", "first"),
    "stuck in undo verify": (_stuck_in_undo_verify, "resume", "first"),
    "stuck in undo look": (_stuck_in_undo_look, "resume", "first"),
    "programs: an old key in its grace": (_programs, "due", "new"),
    "programs: an old key in its grace, undone": (_programs, "undo", "first"),
    "programs: stuck in restart": (_programs_stuck, "mended, resume", "new"),
    "a key that a person is to make": (_supply, "supply, confirm", "new"),
    "a key that a person is to make, undone": (_supply, "undo", "first"),
    "an old key that a person is to destroy": (_supplied, "confirm", "new"),
}

# What is killed at each place that it passes, and what is in force once it was carried on.
KILLED: dict[str, tuple[Any, str]] = {
    "a rotation": (_forward, "new"),
    "a create whose answer is lost": (_lost, "new"),
    "a lost create, two slots": (_reread, "new"),
    "a lost create, by difference": (_difference, "new"),
    "an undone rotation": (_undone, "first"),
    "a way back": (_back, "first"),
}

# With programs and files, which take longer: how it is made, the places, what is in force.
PROGRAM_KILLS: tuple[tuple[Any, tuple[str, ...], str], ...] = (
    (
        _programs_to_the_end,
        (
            "before generate",
            "after generate",
            "before write",
            "after write",
            "before restart",
            "before converge",
            "before look",
            "before debt revoke",
            "after debt revoke",
        ),
        "new",
    ),
    (_programs_undone, ("before restore", "after restore", "before undo restart"), "first"),
)


def _run(make: Any, place: str, folder: Path) -> int:
    """Made in a process of its own; how that ended, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        made = Maker(folder, place)
        made.kill_there()
        make(made)
        made.service.close()
        made.dump()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _kept(folder: Path, way: str, force: str) -> dict[str, Any]:
    """The journal as rows of its tables, its own statements, and the files beside it."""
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as journal:
        dump = list(journal.iterdump())
    names = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    beside = {
        path.name: path.read_text()
        for path in names
        if not path.name.startswith("journal.db") and path.name not in ("places", "world.json")
    }
    return {
        "way": way,
        "folder": str(folder),
        "in force": force,
        "playbook": (folder / "playbooks" / f"{NAME}.yaml").read_text(),
        "journal": dump,
        "beside": beside,
        "world": json.loads((folder / "world.json").read_text()),
    }


def main(wanted: Sequence[str]) -> None:
    """Make all situations, or those that are wanted beside the others that there are."""
    found: dict[str, Any] = json.loads(lzma.decompress(SITUATIONS.read_bytes())) if wanted else {}
    with tempfile.TemporaryDirectory() as text:
        folders = (Path(text) / str(number) for number in itertools.count())
        for name, (make, way, force) in WAITING.items():
            if wanted and name not in wanted:
                continue
            folder = next(folders)
            assert _run(make, "never", folder) == 0, name
            found[name] = _kept(folder, way, force)
        for make, places, force in PROGRAM_KILLS:
            for place in places:
                name = f"programs: killed {place}"
                if not wanted or name in wanted:
                    folder = next(folders)
                    assert _run(make, place, folder) == -signal.SIGKILL, name
                    found[name] = _kept(folder, "go on", force)
        seen: set[str] = set()
        for name, (make, force) in KILLED.items() if not wanted else ():
            folder = next(folders)
            assert _run(make, "never", folder) == 0, name
            passed = dict.fromkeys((folder / "places").read_text().splitlines())
            for place in passed:
                if place not in seen and not place.endswith(" start"):
                    folder = next(folders)
                    assert _run(make, place, folder) == -signal.SIGKILL, (name, place)
                    found[f"{name}, killed {place}"] = _kept(folder, "go on", force)
            seen |= set(passed)
    with lzma.open(SITUATIONS, "wt", preset=9) as file:
        json.dump(found, file, indent=0, sort_keys=True)
    print(f"{len(found)} situations, {SITUATIONS.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
