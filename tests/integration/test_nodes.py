"""Several nodes at one journal: which of them works on a playbook, by which text of it, and what a
person may order where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from rotator.cli import doctor, overview, shapes
from rotator.core.order import Order
from rotator.core.state import Outcome
from rotator.daemon.log import Log
from rotator.daemon.loop import Loop
from rotator.daemon.metrics import Metrics
from rotator.daemon.reloads import Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.engine.fleet import Fleet
from rotator.errors import RefusedError
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import nodes, standing
from rotator.plugin import capabilities
from rotator.settings import Settings
from rotator.usecases import naming, orders
from rotator.usecases.service import Request, Service
from rotator.views.health import health
from rotator.views.plan import Asked, plan
from rotator.views.status import PlaybookStatus, status, status_of
from tests.integration.conftest import Bench
from tests.integration.test_rotation import patient
from tests.simulation.simulator import VirtualClock

SCHEDULE = "schedule: {every: 30d}"
DAY = 86_400.0
KILL = Request(compromised=True, revoke_first=True)
shared = pytest.mark.parametrize(
    "url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
Node = Callable[..., Service]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    found = VirtualClock(at=1_826_841_600.0)
    monkeypatch.setattr(memory.WORLD, "now", found.now)
    return found


@pytest.fixture
def node(bench: Bench, clock: VirtualClock) -> Iterator[Node]:
    """Makes a process on a node of this name, with the playbooks of that folder."""
    made: list[Service] = []

    def start(name: str, folder: Path | None = None, alive: bool = True) -> Service:
        folder = folder or bench.folder / "playbooks"
        settings = Settings(
            bench.folder / name, playbooks=(folder,), database_url=bench.url, node=name
        )
        if bench.url.startswith("sqlite"):
            settings = replace(settings, home=bench.folder)
        settings.home.mkdir(exist_ok=True)
        service = Service(settings, "test", clock=clock)
        if alive:
            service.fleet.report(service.playbooks(), clock.now())
        made.append(service)
        return service

    yield start
    for service in made:
        service.close()


def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a class of plugins can do is asked once a process; these classes change."""
    monkeypatch.setattr(capabilities, "_HAS", {})


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores and consumers of the world in memory are on the machine where rotator runs."""
    for plugin in (MemoryStore, MemoryRestarter):
        monkeypatch.setattr(plugin, "local", True, raising=False)
    _asked_anew(monkeypatch)


def _due(service: Service) -> list[Outcome | None]:
    reports, _ = service.due(Request())
    return [one.rotation.outcome for one in reports if one.rotation is not None]


def _status(service: Service) -> PlaybookStatus:
    return status_of(service, "one", service.playbooks().playbooks.get("one"))


def _refused(act: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        act()
    return found.value


def _metrics(service: Service) -> str:
    settings = service.settings
    reloads = Reloads(settings, service.directory, service.clock.now, lambda: settings)
    return Metrics(Loop(service, reloads, Log("error", "text"), Supervisor())).text()


def test_a_playbook_runs_where_its_on_says(bench: Bench, node: Node) -> None:
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    before, mine, other = bench.stored, node("web-1"), node("web-2")
    assert _due(other) == [] and bench.stored == before
    report = other.rotate("one")
    assert report.code == 6 and report.error is not None and bench.stored == before
    assert report.error.message == "one runs on web-1, and this is web-2"
    assert "order it there" in report.error.hint
    assert _due(mine) == [Outcome.VERIFIED] and bench.stored != before
    assert mine.rotate("one").code == 0


def test_of_several_nodes_each_may(bench: Bench, node: Node) -> None:
    bench.playbook(more=f"on: [web-1, web-2]\n{SCHEDULE}")
    assert _due(node("web-3")) == []
    assert _due(node("web-2")) == [Outcome.VERIFIED]
    assert node("web-1").rotate("one").code == 0


def test_that_no_daemon_is_seen_where_it_runs_is_told(bench: Bench, node: Node) -> None:
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    other = node("web-2")
    found = _status(other)
    assert found.put_off == "on" and not found.is_due
    assert "due, waits for web-1, where no daemon is seen" in overview.cells(found)
    assert shapes.status(found)["put_off"] == "on" and shapes.status(found)["on"] == ["web-1"]
    assert 'rotator_playbook_without_node{playbook="one"} 1.0' in _metrics(other)
    if not bench.url.startswith("sqlite"):
        node("web-1")
        assert _status(other).is_due
        assert "rotator_playbook_without_node{" not in _metrics(other)


@shared
@pytest.mark.usefixtures("local")
def test_what_is_on_one_machine_waits_while_nobody_says_on_which(bench: Bench, node: Node) -> None:
    bench.playbook(more=SCHEDULE)
    before, one, two = bench.stored, node("web-1"), node("web-2")
    assert _due(one) == _due(two) == [] and bench.stored == before
    report = one.rotate("one")
    assert report.code == 6 and report.error is not None
    assert "several nodes are alive: web-1, web-2" in report.error.message
    assert (
        "store memory one, consumer memory one" in report.error.message
        and "on: web-1" in report.error.hint
    )
    found = _status(two)
    assert found.put_off == "no node" and not found.is_due
    assert "due, names no node (`on:`), and several are alive: web-1, web-2" in overview.cells(
        found
    )
    assert 'rotator_playbook_without_node{playbook="one"} 1.0' in _metrics(two)
    two.fleet.leave()
    assert _status(one).is_due
    assert _due(one) == [Outcome.VERIFIED]


@shared
@pytest.mark.usefixtures("local")
def test_a_node_that_is_seen_no_more_holds_nobody_up(bench: Bench, node: Node) -> None:
    bench.playbook(more=SCHEDULE)
    one, _ = node("web-1"), node("web-2")
    assert _due(one) == []
    with one.journal.database.write() as connection:
        gone = "UPDATE nodes SET seen = seen - :by WHERE name = 'web-2'"
        connection.execute(text(gone), {"by": nodes.ALIVE})
    assert _due(one) == [Outcome.VERIFIED]
    seen = {one.name: one.alive for one in status(one).nodes}
    assert seen == {"web-1": True, "web-2": False}, "it is told for a week"


@shared
@pytest.mark.usefixtures("local")
def test_where_each_node_has_the_same_any_may(bench: Bench, node: Node) -> None:
    bench.playbook(more=f"on: '*'\n{SCHEDULE}")
    node("web-1")
    assert _due(node("web-2")) == [Outcome.VERIFIED]


@shared
@pytest.mark.usefixtures("local")
def test_what_was_begun_on_a_node_goes_on_there_alone(
    bench: Bench, node: Node, clock: VirtualClock
) -> None:
    """Its old key lives in its grace: the other node has another file of that name, in which nobody
    would find it.
    """
    bench.playbook(more=SCHEDULE)
    patient(bench, grace="1d")
    one = node("web-1")
    assert _due(one) == [Outcome.VERIFIED]
    two, living = node("web-2"), bench.live
    clock.at += 2 * DAY
    assert _due(two) == [] and bench.live == living
    one.fleet.leave()
    assert _due(two) == [] and bench.live == living, "nor where the first one is dead"
    refused = _refused(lambda: orders.order(two, "one", Order.REVOKE, Request()))
    assert refused.message.startswith("one was begun on web-1, and this is web-2")
    assert "on: web-2" in refused.hint
    found = _status(two)
    assert found.elsewhere is not None and found.elsewhere.nodes == ("web-1",)
    told = "it does not go on: was begun on web-1, where no daemon is seen"
    assert told in list(overview.details(found))
    node("web-1").due(Request())
    assert bench.live == [bench.stored], "it goes on there although another one is alive"


def test_what_was_begun_on_a_machine_stays_there_when_its_playbook_moves_away(
    bench: Bench, node: Node, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node has another file of that name, in which nobody would find the old key."""
    here = property(lambda self: "one" in getattr(self, "consumers", [getattr(self, "cell", "")]))
    for plugin in (MemoryStore, MemoryRestarter):
        monkeypatch.setattr(plugin, "local", here, raising=False)
    _asked_anew(monkeypatch)
    monkeypatch.setattr(Fleet, "shared", True)
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    patient(bench, grace="1d")
    one, path = node("web-1"), bench.folder / "playbooks" / "one.yaml"
    assert _due(one) == [Outcome.VERIFIED]
    moved = path.read_text().replace("on: web-1\n", "").replace("cell: one", "cell: far")
    path.write_text(moved.replace("consumers: [one]", "consumers: [far]"))
    two, living = node("web-2"), bench.live
    clock.at += 2 * DAY
    one.fleet.report(one.playbooks(), clock.now())
    assert _due(two) == [] and bench.live == living
    refused = _refused(lambda: orders.order(two, "one", Order.REVOKE, Request()))
    assert refused.message.startswith("one was begun on web-1, and this is web-2")
    told = "it does not go on: was begun on web-1, where no daemon is seen"
    without = 'rotator_playbook_without_node{playbook="one"} 1.0'
    assert told not in overview.details(_status(two)) and without not in _metrics(two)
    one.fleet.leave()
    assert told in overview.details(_status(two)) and without in _metrics(two)
    (seen,) = status(two).playbooks
    assert seen.elsewhere is not None and seen.elsewhere.nodes == ("web-1",)
    node("web-1").due(Request())
    assert bench.live == [bench.stored]


@shared
@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "ended"])
def test_a_node_that_is_gone_has_its_files_and_no_other_node_rotates_its_own(
    bench: Bench, node: Node, clock: VirtualClock, silent: bool
) -> None:
    """A file of that path on the other node may hold the very same key: it would be written there,
    and the key would die that the consumers on the first node have.
    """
    bench.playbook(more=SCHEDULE)
    one = node("web-1")
    assert _due(one) == [Outcome.VERIFIED] and bench.live == [bench.stored]
    two, before = node("web-2"), bench.stored
    clock.at += 40 * DAY
    if silent:
        with two.journal.database.write() as connection:
            gone = "UPDATE nodes SET seen = seen - :by WHERE name = 'web-1'"
            connection.execute(text(gone), {"by": nodes.ALIVE})
    else:
        one.fleet.leave()
    assert _due(two) == [] and bench.live == [before] == [bench.stored]
    report = two.rotate("one")
    assert report.error is not None and bench.live == [before]
    assert report.error.message == (
        "one was last rotated on web-1, and this is web-2: it works with what is on one machine"
        " (store memory one, consumer memory one)"
    )
    assert "on: web-2" in report.error.hint
    found = _status(two)
    assert found.put_off == "rotated elsewhere" and not found.is_due
    assert "due, was last rotated on web-1, where no daemon is seen" in overview.cells(found)
    assert 'rotator_playbook_without_node{playbook="one"} 1.0' in _metrics(two)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(f"on: web-2\n{path.read_text()}")
    assert _due(node("web-2")) == [Outcome.VERIFIED] and bench.live == [bench.stored] != [before]


@shared
@pytest.mark.usefixtures("local")
def test_a_rotation_that_came_to_nothing_makes_no_node_its_own(
    bench: Bench, node: Node, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried by hand on a node that has not the right files."""
    bench.playbook(more=SCHEDULE)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(MemoryStore, "read", lambda _: None)
        assert node("laptop", alive=False).rotate("one").code != 0
    clock.at += 2 * DAY
    assert _due(node("web-1")) == [Outcome.VERIFIED]


@shared
@pytest.mark.usefixtures("local")
def test_a_person_moves_what_was_begun_to_another_node(
    bench: Bench, node: Node, clock: VirtualClock
) -> None:
    bench.playbook(more=SCHEDULE)
    patient(bench, grace="1d")
    assert _due(node("web-1")) == [Outcome.VERIFIED]
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(f"on: web-2\n{path.read_text()}")
    clock.at += 2 * DAY
    node("web-2").due(Request())
    assert bench.live == [bench.stored]


@shared
@pytest.mark.usefixtures("local")
def test_what_nodes_of_before_began_is_nobodys(
    bench: Bench, node: Node, clock: VirtualClock
) -> None:
    """Rotations from before nodes had names: whoever is alone goes on with them."""
    bench.playbook(more=SCHEDULE)
    patient(bench, grace="1d")
    one = node("web-1")
    assert _due(one) == [Outcome.VERIFIED]
    with one.journal.database.write() as connection:
        connection.execute(text("UPDATE rotations SET node = NULL"))
    one.fleet.leave()
    clock.at += 2 * DAY
    node("web-2").due(Request())
    assert bench.live == [bench.stored]


def test_a_leaked_key_dies_from_everywhere_and_its_node_makes_the_new_one(
    bench: Bench, node: Node
) -> None:
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    mine, other = node("web-1"), node("web-2")
    assert _due(mine) == [Outcome.VERIFIED]
    leaked = bench.stored
    report = other.rotate("one", Request(compromised=True))
    assert report.code == 6 and report.error is not None and bench.live == [leaked]
    assert "--compromised --revoke-first" in report.error.hint
    report = other.rotate("one", KILL)
    assert report.error is None and report.code == 5, "its key is dead, and not replaced yet"
    assert bench.live == [] and bench.stored == leaked, "nothing of another node is touched"
    assert _due(other) == [] and bench.stored == leaked
    mine.due(Request())
    assert bench.live == [bench.stored] != [leaked]


def test_a_key_that_this_journal_never_saw_is_named_by_a_person_on_another_node(
    bench: Bench, node: Node
) -> None:
    """The stores that would show it are another node's."""
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    mine, other = node("web-1"), node("web-2")
    report = other.rotate("one", KILL)
    assert report.code == 6 and report.error is not None and "--key ID" in report.error.hint
    assert "its stores are another node's" in report.error.message
    leaked = bench.stored
    (key,) = bench.issuer.keys
    assert other.rotate("one", replace(KILL, key=key)).error is None
    assert bench.live == [] and bench.stored == leaked
    assert _due(other) == []
    mine.due(Request())
    assert bench.live == [bench.stored] != [leaked]


def test_a_name_is_changed_from_everywhere(bench: Bench, node: Node) -> None:
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    assert _due(node("web-1")) == [Outcome.VERIFIED]
    path = bench.folder / "playbooks" / "one.yaml"
    path.rename(path.with_name("two.yaml"))
    naming.rename(node("web-2"), "one", "two")
    assert _due(node("web-1")) == []


@pytest.fixture
def older(bench: Bench) -> Path:
    """A folder of playbooks that stays as it is."""
    folder = bench.folder / "older"
    folder.mkdir()
    bench.playbook(more=SCHEDULE)
    (folder / "one.yaml").write_text((bench.folder / "playbooks" / "one.yaml").read_text())
    return folder


@shared
def test_no_older_text_begins_a_rotation_until_a_person_decides(
    bench: Bench, node: Node, older: Path, clock: VirtualClock
) -> None:
    first = node("web-1", older)
    first.fleet.note(first.playbooks(), 0.0)
    bench.playbook(more=f"{SCHEDULE}\ntags: [new]")
    second = node("web-2")
    second.fleet.note(second.playbooks(), 0.0)
    second.fleet.leave()
    assert _due(first) == [], "nor where nobody with the newer one is alive"
    found = _status(first)
    assert found.put_off == "older text"
    assert "`rotate one` decides for this one" in overview.cells(found)[-1]
    assert _due(node("web-2")) == [Outcome.VERIFIED]
    assert first.rotate("one").code == 0, "a person decides"
    clock.at += 31 * DAY
    assert _due(node("web-2")) == [], "and from now on the other one is the older one"
    assert _due(first) == [Outcome.VERIFIED]


@shared
def test_what_was_begun_goes_on_by_whatever_text(
    bench: Bench, node: Node, older: Path, clock: VirtualClock
) -> None:
    for path in (older, bench.folder / "playbooks"):
        text_ = (path / "one.yaml").read_text().replace("grace: 0s", "grace: 1d")
        (path / "one.yaml").write_text(text_)
    first = node("web-1", older)
    assert _due(first) == [Outcome.VERIFIED]
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(f"{path.read_text()}\ntags: [new]\n")
    second = node("web-2")
    second.fleet.note(second.playbooks(), 0.0)
    clock.at += 2 * DAY
    first.due(Request())
    assert bench.live == [bench.stored]


@shared
def test_nodes_that_read_different_texts_are_told(bench: Bench, node: Node, older: Path) -> None:
    first = node("web-1", older)
    assert "rotator_playbook_texts_differ{" not in _metrics(first)
    bench.playbook(more=f"{SCHEDULE}\ntags: [new]")
    second = node("web-2")
    seen = status(second)
    assert [(one.name, one.alive, one.differs) for one in seen.nodes] == [
        ("web-1", True, ("one",)),
        ("web-2", True, ("one",)),
    ]
    assert all(one.version and one.playbooks == 1 for one in seen.nodes)
    told = overview.as_data(seen)["nodes"]
    assert [one["node"] for one in told] == ["web-1", "web-2"] and told[0]["differs"] == ["one"]
    cells = [overview.node_cells(one) for one in seen.nodes]
    assert "of which others have read another text: one" in cells[0][-1]
    metrics = _metrics(first)
    assert 'rotator_playbook_texts_differ{playbook="one"} 1.0' in metrics
    assert 'rotator_node_last_seen_timestamp_seconds{node="web-2"' in metrics
    (older / "one.yaml").write_text((bench.folder / "playbooks" / "one.yaml").read_text())
    first.fleet.report(first.playbooks(), 0.0)
    assert "rotator_playbook_texts_differ{" not in _metrics(first)
    assert all(not one.differs for one in status(second).nodes)


def test_a_node_that_ends_is_told_no_more_and_one_that_was_never_seen_ends_in_peace(
    bench: Bench, node: Node
) -> None:
    one = node("web-1")
    one.fleet.report(one.playbooks(), 1.0)
    assert [found.name for found in status(one).nodes] == ["web-1"]
    node("web-2", alive=False).fleet.leave()
    one.fleet.leave()
    assert status(one).nodes == ()


def test_doctor_and_a_dry_run_say_where_it_runs(bench: Bench, node: Node) -> None:
    """What stands on another node is not asked here."""
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    bench.service.close()
    mine, other = node("web-1"), node("web-2")
    seen = {one.subject: doctor.line(one) for one in health(other)}
    assert seen["one"].text == "one runs on web-1, and this is web-2"
    assert seen["one"].ok is not bench.url.startswith("sqlite"), "there web-1 is another journal's"
    assert seen["nodes"].ok and seen["nodes"].text == "alive: web-1, web-2"
    found = plan(other, "one", Asked(), other.playbooks())
    assert [one.text for one in found.seen.findings] == ["one runs on web-1, and this is web-2"]
    killing = plan(other, "one", Asked(True, True), other.playbooks())
    assert killing.dying.refused is not None and "--key ID" in killing.dying.refused.hint
    assert _due(mine) == [Outcome.VERIFIED]
    killing = plan(other, "one", Asked(True, True), other.playbooks())
    assert len(killing.dying.keys) == 1
    assert [one.text for one in plan(mine, "one", Asked(), mine.playbooks()).seen.findings] != [
        one.text for one in found.seen.findings
    ]


@shared
def test_doctor_says_that_nodes_have_read_different_texts(
    bench: Bench, node: Node, older: Path
) -> None:
    node("web-1", older)
    bench.playbook(more=f"{SCHEDULE}\ntags: [new]")
    seen = {one.subject: doctor.line(one) for one in health(node("web-2"))}
    assert not seen["nodes"].ok
    assert seen["nodes"].text.endswith("they have read different texts of one")


def test_an_order_to_replace_a_key_waits_for_its_node(bench: Bench, node: Node) -> None:
    """Who kills it from elsewhere takes up no other order of it."""
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    mine, other = node("web-1"), node("web-2")
    assert _due(mine) == [Outcome.VERIFIED]
    with other.journal.database.write() as connection:
        standing.write(connection, "one", "", "alice", "leaked", 0.0, Order.COMPROMISED)
    leaked = bench.stored
    assert other.rotate("one", KILL).code == 5
    with other.journal.database.read() as connection:
        assert len(standing.waiting(connection, "one")) == 1
    mine.due(Request())
    with other.journal.database.read() as connection:
        assert standing.waiting(connection, "one") == []
    assert bench.live == [bench.stored] != [leaked]


def test_an_order_that_is_refused_as_another_nodes_is_carried_out_by_nobody(
    bench: Bench, node: Node
) -> None:
    """It was written down for a process of that node, which ended before it took it up."""
    bench.playbook(more=f"on: web-1\n{SCHEDULE}")
    mine, other = node("web-1"), node("web-2")
    assert _due(mine) == [Outcome.VERIFIED]
    living, held = bench.live, mine.keeper.take("one")

    def waits(*_: object) -> None:
        if mine.keeper.holds("one"):
            mine.keeper.give_back(held)

    other.waits = waits
    report = other.rotate("one", Request(compromised=True))
    assert report.error is not None and "one runs on web-1" in report.error.message
    with other.journal.database.read() as connection:
        assert standing.waiting(connection, "one") == []
    assert _due(mine) == [] and bench.live == living
