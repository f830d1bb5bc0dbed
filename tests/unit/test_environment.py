"""What programs get of rotator's own environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator import environment
from rotator.errors import NotFound
from rotator.integrations.docker.compose import ComposeRestarter
from rotator.integrations.docker.container import Container
from rotator.reference import Reference

OURS = [
    "AWS_PROFILE",
    "BAO_TOKEN",
    "KUBECONFIG",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "PGPASSWORD",
    "ROTATOR_KEY",
    "SHOP_ADMIN",
    "VAULT_TOKEN",
]


@pytest.fixture(autouse=True)
def _only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.withheld():
        monkeypatch.delenv(name)
    for name in (*OURS, "VAULT_ADDR", "SHOP"):
        monkeypatch.setenv(name, f"of {name}")
    monkeypatch.setattr(environment, "_referred", set())
    Reference.parse({"env": "SHOP_ADMIN"})


def test_credentials_are_withheld_but_for_those_that_are_named() -> None:
    assert environment.withheld() == OURS
    found = environment.inherited({"ROTATOR_LABEL": "x"}, ["AWS_PROFILE"])
    assert not {*OURS} - {"AWS_PROFILE"} & found.keys() and found["SHOP"] == "of SHOP"
    assert (found["ROTATOR_LABEL"], found["AWS_PROFILE"], found["VAULT_ADDR"]) == (
        "x",
        "of AWS_PROFILE",
        "of VAULT_ADDR",
    )


def test_one_that_is_named_must_be_there() -> None:
    with pytest.raises(NotFound, match="AWS_REGION is not set"):
        environment.inherited({}, ["AWS_REGION"])


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("environment: {A: '${AWS_PROFILE}'}", "AWS_PROFILE"),
        ("environment: {A: $AWS_PROFILE}", "AWS_PROFILE"),
        ("environment:\n      - KUBECONFIG", "KUBECONFIG"),
        ("environment:\n      VAULT_TOKEN:", "VAULT_TOKEN"),
        ("environment: {AWS_PROFILE: written-out}", ""),
        ("environment:\n      - AWS_PROFILE=written-out", ""),
        ("environment: {A: '${AWS_PROFILE_OF_ITS_OWN}'}", ""),
    ],
)
def test_a_variable_that_compose_would_lack_is_told_before_the_start(
    line: str, wanted: str, tmp_path: Path
) -> None:
    """It would be filled in as nothing, and the container come up without it."""
    (tmp_path / "compose.yml").write_text(f"services:\n  api:\n    {line}\n")
    label = "com.docker.compose.project"
    labels = {
        label: "shop",
        f"{label}.working_dir": str(tmp_path),
        f"{label}.config_files": f"{tmp_path}/compose.yml",
    }
    container = Container({"Id": "1", "Config": {"Labels": labels}})
    found = [finding.hint for finding in ComposeRestarter(services=["api"])._misses(container)]
    assert found == ([f"say `inherit: [{wanted}]`, or put it into an env file"] if wanted else [])
    assert not ComposeRestarter(services=["api"], inherit=[wanted])._misses(container)
