"""What deploy/ has, as far as it shows without a server: one version, one pod, playbooks that load."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.playbook.load import Loader
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import load as load_yaml
from tests.docs.test_docs import DOCS, ROOT, blocks

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_every_image_is_of_this_version() -> None:
    """Of the Dockerfile's label, the manifests, the stacks and the chart."""
    assert f"ARG VERSION={VERSION}\n" in (ROOT / "Dockerfile").read_text()
    (chart,) = documents(DEPLOY / "helm" / "rotator" / "Chart.yaml")
    assert chart["version"] == chart["appVersion"] == VERSION
    named = [
        line.strip()
        for path in DEPLOY.rglob("*.y*ml")
        for line in path.read_text().splitlines()
        if line.strip().startswith("image:") and "rotator:" in line
    ]
    assert len(named) >= 5
    assert not [line for line in named if f"rotator:{VERSION}" not in line]


def test_a_command_beside_the_cron_job_has_its_very_pod() -> None:
    (cron_job,) = documents(KUBERNETES / "overlays" / "cronjob" / "cronjob.yaml")
    (job,) = documents(KUBERNETES / "rotate.yaml")
    of_clock = cron_job["spec"]["jobTemplate"]["spec"]
    (own,) = job["spec"]["template"]["spec"]["containers"]
    assert own["args"] == ["rotate", "openai-prod"]
    own["args"] = ["rotate", "--due"]
    assert job["spec"]["template"] == of_clock["template"]
    assert job["spec"]["backoffLimit"] == of_clock["backoffLimit"] == 0
    assert "startingDeadlineSeconds" not in cron_job["spec"]


@pytest.mark.parametrize("where", ["kubernetes", "swarm", "systemd"])
def test_the_examples_playbook_loads(where: str, tmp_path: Path) -> None:
    path = DEPLOY / "examples" / where / "paracle-api-playbook.yaml"
    document, mistakes = load_yaml(path, path.name)
    Loader(Registry((tmp_path,)), document, mistakes).load("paracle-api")
    assert not mistakes, mistakes


def test_the_incident_runbook_has_the_lines_that_run_elsewhere() -> None:
    """Those of Kubernetes and of a swarm are typed by tests/acceptance, from their pages."""
    table = (DOCS / "runbooks" / "incident.md").read_text()
    for page, beginning in (
        ("kubernetes.md", "kubectl -n rotator exec"),
        ("swarm.md", "docker exec"),
        ("run-it.md", "docker compose exec rotator rotate"),
    ):
        lines = [line for text in blocks(DOCS / page, "sh") for line in text.splitlines()]
        (line,) = [one for one in lines if one.startswith(beginning)]
        command = line.removesuffix(" --compromised")
        assert f"`{command} --compromised`" in table, page


def test_an_examples_playbook_means_the_service_beside_it() -> None:
    """Its Secret and its variable, its secret of Swarm, its file and its unit."""

    def stores(where: str) -> dict[str, Any]:
        (book,) = documents(DEPLOY / "examples" / where / "paracle-api-playbook.yaml")
        (store,) = book["store"]
        return {**store, "restart": book["restart"]}

    deployment, _ = documents(DEPLOY / "examples" / "kubernetes" / "paracle-api.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (variable,) = container["env"]
    namespace, _, secret = stores("kubernetes")["secret"].partition("/")
    taken = {"name": secret, "key": stores("kubernetes")["key"]}
    assert namespace == deployment["metadata"]["namespace"]
    assert variable["valueFrom"]["secretKeyRef"] == taken

    (stack,) = documents(DEPLOY / "examples" / "swarm" / "paracle-api.yaml")
    (name,) = stack["secrets"]
    assert stores("swarm")["secret"] == name
    assert stack["services"]["api"]["secrets"] == [{"source": name, "target": name}]

    unit = (DEPLOY / "examples" / "systemd" / "paracle-api.service").read_text()
    assert f"EnvironmentFile={stores('systemd')['path']}\n" in unit
    assert stores("systemd")["restart"] == [{"uses": "systemd", "units": ["paracle-api.service"]}]
