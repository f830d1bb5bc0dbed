"""The real engine and journal, in-memory plugins, a virtual clock and a seeded schedule of faults.

python -m tests.simulation.simulator SEED [--rotations N] [--trace]      replays one seed
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

import rotator.integrations.memory.probe
import rotator.integrations.memory.provider
import rotator.integrations.memory.restarter
import rotator.integrations.memory.store
from rotator.core.action import WaitUntil
from rotator.core.order import Order
from rotator.core.state import Outcome, Phase
from rotator.errors import OutcomeUnknown, Rejected, RotatorError, TransientError
from rotator.integrations.builtin.provider_probe import ProviderProbe
from rotator.integrations.memory import world as memory
from rotator.journal.database import Database
from rotator.model import Overlap, Progress, Recovery
from rotator.playbook.directory import Loaded
from rotator.playbook.load import Loader
from rotator.playbook.playbook import ConsumerEntry, Playbook, StoreEntry
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import Document
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases import orders
from rotator.usecases.service import Report, Request, Service


class Crash(BaseException):
    """The process dies here."""


class Broken(AssertionError):
    """A promise was broken."""


@dataclass
class VirtualClock:
    at: float = 1_800_000_000.0
    jumped: float = 0.0

    def now(self) -> float:
        self.at += 0.001  # two things never happen at one instant
        return self.at

    def boot(self) -> tuple[str, float]:
        return "simulated", self.at - self.jumped

    def wait(self, seconds: float) -> None:
        self.at += max(0.0, seconds)


LIST_LAG = 30
KINDS = [
    (Overlap.MANY, Recovery.LABEL),
    (Overlap.MANY, Recovery.LABEL),
    (Overlap.MANY, Recovery.DIFFERENCE),
    (Overlap.MANY, Recovery.NONE),
    (Overlap.TWO_SLOTS, Recovery.REREAD),
    (Overlap.NONE, Recovery.REREAD),
]


@dataclass
class World:
    """One playbook's neighbourhood, and its bad luck."""

    name: str
    rng: random.Random
    clock: VirtualClock
    overlap: Overlap
    recovery: Recovery
    fault_rate: float
    crashed: bool = False
    bad_keys: bool = False
    meddled: bool = False
    died: bool = False  # the provider killed a key in force
    restored: bool = False  # the journal is older than the world
    backup: Path | None = None
    take_backup: Callable[[World], None] = lambda world: None
    faults: int = 0
    lagging_since: float = 0.0
    rolling_until: float = 0.0  # when the consumers that were restarted last are ready
    trace: list[str] = field(default_factory=list)

    @property
    def issuer(self) -> memory.Issuer:
        return memory.WORLD.issuer(self.name, self.overlap)

    def strikes(self, what: str, rate: float = 1.0) -> bool:
        if self.faults <= 0 or self.rng.random() >= self.fault_rate * rate:
            return False
        self.faults -= 1
        self.trace.append(f"fault: {what}")
        return True

    def around(self, what: str, act: Any, *, unknown: bool = False) -> Any:
        """Do it, with whatever may go wrong before and after."""
        self.trace.append(what)
        if self.strikes("a backup of the journal is taken", 0.3):
            self.take_backup(self)
        if self.strikes("the key in force dies", 0.1):
            self.kill_the_key_in_force()
        if self.strikes(f"crash before {what}"):
            raise Crash
        if self.strikes(f"{what} fails for now"):
            raise TransientError(f"{what} failed")
        done = act()
        if self.strikes(f"crash after {what}"):
            raise Crash
        if unknown and self.strikes(f"{what}'s answer is lost"):
            raise OutcomeUnknown(f"{what} timed out")
        return done

    def unused(self, credential: Any, doing: str) -> None:
        value = (
            credential.primary.reveal()
            if credential.values
            else self.issuer.keys[credential.id].value
        )
        users = [
            name for name, consumer in memory.WORLD.consumers.items() if consumer.holds == value
        ]
        users += [
            name
            for name, cell in memory.WORLD.cells.items()
            if cell.values and value in [v.reveal() for v in cell.values.values()]
        ]
        if users and self.issuer.by_value(value).state == "live":
            raise Broken(f"promise 1: {doing} {credential.id} while {users} hold it")

    def kill_the_key_in_force(self) -> None:
        """A leak scanner, a colleague, its expiry: what the first store holds is refused from now
        on.
        """
        cell = memory.WORLD.cells[f"{self.name}-s0"]
        found = (
            self.issuer.by_value(next(iter(cell.values.values())).reveal()) if cell.values else None
        )
        if found is not None and found.state == "live":
            found.state, self.died = "dead", True

    def meddle(self) -> None:
        """Somebody restarts a consumer, or puts an old or a strange value into a store."""
        mine = [name for name in memory.WORLD.consumers if name.startswith(self.name + "-")]
        if mine and self.rng.random() < 0.05:
            memory.WORLD.start(self.rng.choice(mine))
        if self.strikes("a stranger writes a store", 0.3):
            cell = memory.WORLD.cells[
                self.rng.choice([n for n in memory.WORLD.cells if n.startswith(self.name + "-")])
            ]
            live = [key.value for key in self.issuer.keys.values() if key.state == "live"]
            cell.values, cell.version = (
                {"key": Secret(self.rng.choice([*live, "mem-strange-value"]))},
                cell.version + 1,
            )
            cell.written_at = self.clock.now()
            self.meddled = True


class Wrapped:
    """A plugin with bad luck. Everything that is not named here goes through."""

    def __init__(self, plugin: Any, world: World) -> None:
        self._plugin = plugin
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plugin, name)


class UnluckyProvider(Wrapped):
    def generate(self, label: Any, like: Any) -> Any:
        world = self._world
        world.meddle()
        made = world.around("create", lambda: self._plugin.generate(label, like), unknown=True)
        if world.strikes("the listing lags"):
            world.issuer.hidden.add(made.id)
            world.lagging_since = world.clock.at
        listed = world.recovery in (Recovery.LABEL, Recovery.DIFFERENCE)
        if listed and world.strikes("the create answers another id", 0.2):
            return replace(
                made, id=world.rng.choice([f"keys/{made.id}", next(iter(world.issuer.keys)), ""])
            )
        return made

    def inventory(self) -> Any:
        """Labels find a key whenever it shows; recovery by difference rests on the lag that was
        declared.
        """
        if (
            self._world.recovery is Recovery.DIFFERENCE
            and self._world.clock.at - self._world.lagging_since >= LIST_LAG
        ):
            self._world.issuer.hidden.clear()
        found = self._world.around("list", self._plugin.inventory)
        if self._world.rng.random() < 0.5:
            self._world.issuer.hidden.clear()
        return found

    def revoke(self, credential: Any) -> None:
        self._world.unused(credential, "revoking")
        self._world.around("revoke", lambda: self._plugin.revoke(credential), unknown=True)

    def deactivate(self, credential: Any) -> None:
        self._world.unused(credential, "deactivating")
        self._world.around("deactivate", lambda: self._plugin.deactivate(credential), unknown=True)

    def probe(self, credential: Any) -> Any:
        world = self._world
        if world.bad_keys and credential.id and credential.id == list(world.issuer.keys)[-1]:
            raise Rejected("this one is refused")
        if world.strikes("the provider flaps", 0.3):
            raise Rejected("refused for a moment")
        return world.around("probe", lambda: self._plugin.probe(credential))


class UnluckyStore(Wrapped):
    def write(self, credential: Any, expect: str, note: Any) -> str:
        self._world.meddle()
        value = credential.primary.reveal()
        world = self._world
        if not world.issuer.accepts(value) and not (world.meddled or world.died or world.restored):
            raise Broken("promise 1: a dead key is written to a store")
        return self._world.around(
            "write", lambda: self._plugin.write(credential, expect, note), unknown=True
        )


class UnluckyRestarter(Wrapped):
    def restart(self, change: Any) -> None:
        self._world.meddle()
        self._world.around("restart", lambda: self._plugin.restart(change))
        self._world.rolling_until = self._world.clock.at + self._world.rng.choice((0, 0, 0, 4))

    def progress(self, change: Any) -> Progress:
        found: Progress = self._plugin.progress(change)
        if self._world.clock.at < self._world.rolling_until:
            return replace(found, current=0, converged=False, again=0.5)
        return found


def build(world: World) -> Playbook:
    """The playbook of a world, with unlucky plugins."""
    stores = world.rng.choice((1, 1, 2))
    consumers = world.rng.choice((0, 1, 1, 2))
    can_deactivate = world.recovery is Recovery.DIFFERENCE or world.rng.random() < 0.4
    data: dict[str, Any] = {
        "generate": {
            "uses": "memory",
            "issuer": world.name,
            "overlap": str(world.overlap),
            "recovery": str(world.recovery),
            "can_deactivate": can_deactivate,
            "can_list": world.recovery is not Recovery.NONE,
            "propagation": world.rng.choice((0, 0, 8)),
        },
        "store": [{"uses": "memory", "cell": f"{world.name}-s{i}"} for i in range(stores)],
        "restart": [
            {
                "uses": "memory",
                "consumers": [f"{world.name}-c{i}"],
                "evidence": world.rng.choice(["read", "started"]),
            }
            for i in range(consumers)
        ],
        "evidence": "started",
        "allow_downtime": True,
        "revoke": {
            "grace": world.rng.choice(["0s", "1h"]),
            "quiet": "0s",
            "soak": world.rng.choice(["0s", "5m"]),
            "watch": "0s",
        },
        "limits": {"list_lag": f"{LIST_LAG}s", "step": "5m"},
    }
    mistakes: list[Any] = []
    playbook = Loader(Registry(), Document("simulated", data, {}), mistakes).load(world.name)[0]
    first = world.issuer.create("first")
    for i in range(stores):
        cell = memory.WORLD.cell(f"{world.name}-s{i}")
        cell.values, cell.version, cell.note = {"key": Secret(first.value)}, 1, None
    for i in range(consumers):
        memory.WORLD.consumers[f"{world.name}-c{i}"] = memory.Consumer(
            f"{world.name}-s{i % stores}"
        )
        memory.WORLD.start(f"{world.name}-c{i}")
    provider: Any = UnluckyProvider(playbook.provider, world)
    return replace(
        playbook,
        provider=provider,
        probes=(ProviderProbe(provider=provider),),
        stores=tuple(
            StoreEntry(e.name, UnluckyStore(e.store, world), e.follows, entry=e.entry)
            for e in playbook.stores
        ),
        consumers=tuple(
            ConsumerEntry(e.name, UnluckyRestarter(e.restarter, world)) for e in playbook.consumers
        ),
    )


def _inhabit(world: memory.World) -> None:
    """All in-memory plugins live in this world from now on."""
    for module in (
        memory,
        rotator.integrations.memory.provider,
        rotator.integrations.memory.store,
        rotator.integrations.memory.restarter,
        rotator.integrations.memory.probe,
    ):
        module.WORLD = world


class Simulation:
    """Many worlds on one journal."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self._world_before = memory.WORLD
        self._settings = Settings(home=folder, playbooks=(folder / "none",))
        self._playbooks: dict[str, Playbook] = {}
        self._world: World | None = None
        self._service = self._fresh()

    def _fresh(self) -> Service:
        service = Service(self._settings, "simulation", clock=self.clock, renewing=False)
        service.playbooks = lambda: Loaded(self._playbooks, files=1)  # type: ignore[method-assign]
        service.keeper  # noqa: B018  (opens the journal before faults begin)
        unlucky(service.journal.database, self)
        give_back = service.keeper.give_back

        def unless_crashed(held: Any) -> None:
            """A dead process gives nothing back."""
            if sys.exc_info()[0] is not Crash:
                give_back(held)

        service.keeper.give_back = unless_crashed  # type: ignore[method-assign]
        return service

    def close(self) -> None:
        self._service.close()
        _inhabit(self._world_before)

    def strikes(self, what: str, rate: float) -> bool:
        return self._world is not None and self._world.strikes(what, rate)

    def run(self, seed: int, rotations: int = 2) -> World:
        """One world with this seed: some rotations, then peace; then it must be in order."""
        rng = random.Random(seed)
        overlap, recovery = rng.choice(KINDS)
        world = World(
            f"w{seed}", rng, self.clock, overlap, recovery, rng.choice((0.02, 0.08, 0.2, 0.35))
        )
        _inhabit(memory.World(now=self.clock.now))
        self._playbooks = {world.name: build(world)}
        world.faults = rng.choice((0, 1, 2, 4, 8))
        world.take_backup = self._back_up
        self._world = world
        try:
            for _ in range(rotations):
                world.bad_keys = rng.random() < 0.1
                self._until_settled(world, Request(compromised=rng.random() < 0.1))
                if rng.random() < 0.15:
                    self._regret(world)
                self._late_events(world)
            world.faults, world.bad_keys = 0, False
            self._peace(world)
            self._judge(world)
        except Broken as broken:
            trace = "\n  ".join(world.trace[-60:])
            raise Broken(
                f"seed {seed}: {broken}\n  replay: python -m tests.simulation.simulator {seed}"
                f" --trace\n  {trace}"
            ) from None
        return world

    def _late_events(self, world: World) -> None:
        self.clock.at += world.rng.choice((1, 60, 4000, 90_000))
        if world.strikes("the clock jumps"):
            jump = world.rng.choice((-3600.0, 2_600_000.0))
            self.clock.at += jump
            self.clock.jumped += jump
        if world.backup is not None and world.rng.random() < 0.5:
            self._restore(world)

    def _back_up(self, world: World) -> None:
        world.backup = self._settings.home / "backup.db"
        source, target = (
            sqlite3.connect(self._settings.home / name) for name in ("journal.db", "backup.db")
        )
        source.backup(target)
        source.close()
        target.close()

    def _restore(self, world: World) -> None:
        """The journal as it was; whatever is unfinished in it goes on, as a clock would carry it
        on.
        """
        assert world.backup is not None
        world.trace.append("— the journal from before —")
        self._service.close_after_crash()  # type: ignore[attr-defined]
        for end in ("", "-wal", "-shm"):
            (self._settings.home / f"journal.db{end}").unlink(missing_ok=True)
        shutil.copy(world.backup, self._settings.home / "journal.db")
        world.backup, world.restored = None, True
        self._service = self._fresh()
        self._until_settled(world, Request(only_if_due=True))

    def _regret(self, world: World) -> None:
        """A person wants the previous key back; whatever becomes of it, the next run carries on."""
        world.trace.append("a person says undo")
        try:
            orders.order(self._service, world.name, Order.UNDO, Request())
        except Crash:
            self._restarted(world)
        except RotatorError as error:
            world.trace.append(f"= {error.message}")
        self._until_settled(world, Request(only_if_due=True))

    def _restarted(self, world: World) -> None:
        world.trace.append("— a new process —")
        self._service.close_after_crash()  # type: ignore[attr-defined]
        self._service = self._fresh()

    def _until_settled(self, world: World, request: Request) -> Report | None:
        """Run, and run again after each crash, as a CronJob would."""
        report = None
        for _ in range(12):
            try:
                report = self._service.rotate(world.name, request)
            except Crash:
                self._restarted(world)
                request = Request()
                continue
            world.trace.append(
                f"= {report.rotation and (str(report.rotation.phase), report.rotation.outcome)}"
                f" {report.error and report.error.message}"
                f" {[(str(d.phase), d.attention) for d in report.debts]}"
            )
            if report.error is None:
                return report
            request = Request()
            self.clock.at += 30
        return report

    def _peace(self, world: World) -> None:
        """No more faults: debts are paid, orphans swept."""
        for _ in range(6):
            self.clock.at += 90_000
            with self._service.session(world.name) as session:
                session.advance()
                session.reconcile()
                for _ in range(60):
                    action = session.advance()
                    if not isinstance(action, WaitUntil) or action.at - self.clock.at > 90_000:
                        break
                    self.clock.at = max(self.clock.at, action.at)
                world.trace.append(
                    f"peace: {action} {session.case.rotation.phase} "
                    f"{[(str(d.phase), d.cause, d.attention) for d in session.case.debts if d.open]}"
                )

    def _judge(self, world: World) -> None:
        with self._service.session(world.name) as session:
            rotation, debts = session.case.rotation, session.case.debts
        assert rotation is not None
        attention = (
            rotation.phase is Phase.STUCK or rotation.possible_orphan or any(d.open for d in debts)
        )
        live = {
            key.record.id: key.value for key in world.issuer.keys.values() if key.state == "live"
        }
        stored = {
            v.reveal() for cell in memory.WORLD.cells.values() for v in (cell.values or {}).values()
        }
        # Where a create kills the key in force, and its own key is refused, a person is asked, and
        # may give up: no store can hold a living one, and somebody is told.
        told = rotation.phase is Phase.STUCK or (
            rotation.outcome is Outcome.ABANDONED and any(d.attention for d in debts)
        )
        given_up = world.overlap is Overlap.NONE and told
        killed = world.died or world.meddled or given_up
        if world.restored and not killed and not stored <= set(live.values()):
            raise Broken("promise 1: after an old journal was restored the stores hold a dead key")
        if attention or world.meddled or world.restored:
            return
        if world.died and rotation.outcome is not Outcome.VERIFIED:
            return
        if rotation.phase is not Phase.ENDED:
            raise Broken(f"the rotation does not end: {rotation.phase}, {rotation.problem}")
        if world.died and stored.isdisjoint(live.values()):
            return  # it died after the last rotation
        if len(stored) != 1 or stored != set(live.values()):
            unlabelled = world.recovery in (Recovery.DIFFERENCE, Recovery.NONE) and stored <= set(
                live.values()
            )
            if not unlabelled or rotation.outcome is Outcome.VERIFIED and not self._named(world):
                raise Broken(f"promise 2: stores hold {stored}, live are {live}")
        held = {consumer.holds for consumer in memory.WORLD.consumers.values()}
        if held - set(live.values()):
            raise Broken("promise 1: a consumer runs with a dead key")
        self._no_seals(world)

    def _named(self, world: World) -> bool:
        with self._service.journal.database.read() as connection:
            found = connection.execute(
                text(
                    "SELECT count(*) FROM rotations WHERE playbook = :p AND state LIKE"
                    " '%possible_orphan%'"
                ),
                {"p": world.name},
            ).scalar()
        return bool(found)

    def _no_seals(self, world: World) -> None:
        with self._service.journal.database.read() as connection:
            sealed = connection.execute(
                text("SELECT count(*) FROM credentials WHERE playbook = :p AND sealed IS NOT NULL"),
                {"p": world.name},
            ).scalar()
        if sealed:
            raise Broken(f"promise 3: {sealed} seals outlive their use")


def unlucky(database: Database, simulation: Simulation) -> None:
    """Commits that the process does not survive, and leases that are lost."""
    begin = database.write

    @contextlib.contextmanager
    def write() -> Iterator[Any]:
        if simulation.strikes("crash before a commit", 0.5):
            raise Crash
        with begin() as connection:
            if simulation.strikes("the lease is lost", 0.2):
                connection.execute(text("UPDATE leases SET fence = fence + 1"))
            yield connection
        if simulation.strikes("crash after a commit", 0.5):
            raise Crash

    database.write = write  # type: ignore[method-assign]


def _close_after_crash(self: Service) -> None:
    """What the kernel does for a dead process: its locks fall, its lease stays."""
    for held in self.keeper._held.values():
        held.lock.release()
    self.keeper._held.clear()
    if self._journal is not None:
        self._journal.database.close()


Service.close_after_crash = _close_after_crash  # type: ignore[attr-defined]


def main() -> None:
    seed = int(sys.argv[1])
    count = int(sys.argv[sys.argv.index("--rotations") + 1]) if "--rotations" in sys.argv else 2
    folder = Path(tempfile.mkdtemp(prefix="rotator-simulation-"))
    simulation = Simulation(folder)
    try:
        world = simulation.run(seed, count)
        if "--trace" in sys.argv:
            print("\n".join(world.trace))
        print(f"seed {seed}: no broken promise")
    finally:
        simulation.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
