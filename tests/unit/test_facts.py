"""A look asks every store and every consumer, also where several have one name."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rotator.core.look import look
from rotator.core.plan import Key
from rotator.engine import facts
from rotator.model import Change, Evidence, Instance, Progress
from rotator.secret import Secret


@dataclass(frozen=True)
class Engine:
    """A restarter of the container `app` of one engine."""

    host: str
    holds: str
    settle: float = 2.0
    name: str = "docker app"

    def shown(self, change: Change) -> Progress:
        return Progress(1, 1, True, (Instance(f"app of {self.host}", 1.0, Secret(self.holds)),))


def _book(*restarters: Engine) -> Any:
    consumers = tuple(
        SimpleNamespace(name=one.name, restarter=one, allow_unhealthy=False) for one in restarters
    )
    plans = tuple(SimpleNamespace(evidence=Evidence.READ) for _ in restarters)
    return SimpleNamespace(
        name="book",
        stores=(),
        consumers=consumers,
        plan=SimpleNamespace(consumers=plans),
        shape=SimpleNamespace(evidence=Evidence.READ),
    )


JOURNAL: Any = SimpleNamespace(fingerprint=lambda values: values["key"].reveal())
OLD = Key("old", "old-key")


def _holders(*playbooks: Any) -> tuple[str, ...]:
    return look(facts.gather(JOURNAL, playbooks, None, 10.0), OLD).instances


def test_of_two_engines_that_have_a_container_of_one_name_both_are_asked() -> None:
    one, other = Engine("one", "new-key"), Engine("other", "old-key")
    assert _holders(_book(one, other)) == ("docker app app of other",)
    assert _holders(_book(other, one)) == ("docker app app of other",)


def test_a_second_one_that_todays_playbook_has_is_asked() -> None:
    one, other = Engine("one", "new-key"), Engine("other", "old-key")
    assert _holders(_book(one), _book(one, other)) == ("docker app app of other",)


def test_one_that_both_playbooks_have_is_asked_once() -> None:
    held = Engine("one", "old-key")
    assert len(_holders(_book(held), _book(held))) == 1
    assert len(_holders(_book(held), _book(Engine("one", "old-key", settle=9.0)))) == 1
    assert len(_holders(_book(held, held), _book(held, held))) == 2
