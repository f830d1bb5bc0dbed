"""What keeps a consumer from being through is told with the instance, and whose key it shows."""

from __future__ import annotations

import pytest

from rotator.core.plan import Key
from rotator.engine import diagnosis
from rotator.model import Change, Instance, Progress, single
from rotator.secret import Secret

OLD, OTHER = Key("key_1", "f1", "sk-svc…K4dF"), Key("key_0", "f0", "sk-svc…aaaa")
KNOWN = {"old-value-of-it": OLD, "older-value": OTHER}
CHANGE = Change("r.new.1", 100.0, single("new-value-of-it"))


def whose(value: Secret) -> Key | None:
    return KNOWN.get(value.reveal())


def instance(name: str, holds: str | None = None, started: float = 0.0) -> Instance:
    return Instance(name, started, Secret(holds) if holds else None)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            Progress(
                1,
                0,
                False,
                (instance("71", "old-value-of-it"),),
                "process 71 (app) still shows another key in KEY",
            ),
            (
                "process app: process 71 (app) still shows another key in KEY: the old key key_1"
                " (sk-svc…K4dF)"
            ),
        ),
        (
            Progress(
                1,
                0,
                False,
                (instance("71", "odd-012345"),),
                "process 71 (app) still shows another key in KEY",
            ),
            (
                "process app: process 71 (app) still shows another key in KEY: a key that this"
                " journal does not know"
            ),
        ),
        (
            Progress(
                3,
                1,
                False,
                (instance("a", "new-value-of-it"), instance("b", "older-value"), instance("c")),
            ),
            (
                "process app 1/3: b shows the key key_0 (sk-svc…aaaa); c has run since before the"
                " change"
            ),
        ),
        (Progress(2, 0, False, (), "app-1 is starting"), "process app 0/2: app-1 is starting"),
        (
            Progress(1, 0, False, (), "/run/app.pid: No such file"),
            "process app: /run/app.pid: No such file",
        ),
        (
            Progress(9, 0, False, tuple(instance(f"i{n}", "old-value-of-it") for n in range(9))),
            (
                "process app 0/9: i0 shows the old key key_1 (sk-svc…K4dF); i1 shows the old key"
                " key_1 (sk-svc…K4dF); i2 shows the old key key_1 (sk-svc…K4dF); and 6 more"
            ),
        ),
        (Progress(2, 0, False), "process app 0/2"),
    ],
)
def test_it_names_the_instance_and_the_key(progress: Progress, words: str) -> None:
    assert diagnosis.of("process app", progress, CHANGE, OLD, whose) == words
