"""deploy/kubernetes and the Helm chart, asked at a real API server: nothing is unknown there, nothing
is put right silently, and both say the same.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.test_deploy import DEPLOY, KUBERNETES
from tests.servers import helm, prometheus_operator
from tests.servers.kube import VERSION, Kube

CHART = DEPLOY / "helm" / "rotator"
MODES = {"cronjob": "cronjob", "fleet": "fleet"}


@pytest.fixture(scope="module")
def namespace(kube: Kube) -> str:
    """With the kind of the Prometheus Operator; `paracle` is there, too, which the example names."""
    kube.kubectl("apply", "--server-side", "-f", str(prometheus_operator.pod_monitors()))
    kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    kube.namespace("paracle")
    return kube.namespace("deploy")


def taken(kube: Kube, namespace: str, text: str) -> int:
    """How many objects the API server would make of it; where there is no namespace in them, here."""
    objects = [one for one in yaml.safe_load_all(text) if one]
    own = [] if any("namespace" in one["metadata"] for one in objects) else ["-n", namespace]
    verb = ["create"] if "generateName" in text else ["apply"]
    done = kube.kubectl(*own, *verb, "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert done.count("created (server dry run)") == len(objects), done
    return len(objects)


def kustomized(kube: Kube, folder: Path) -> str:
    return kube.kubectl("kustomize", str(folder))


def rendered(mode: str, *values: str) -> str:
    words = [word for one in (f"mode={mode}", *values) for word in ("--set", one)]
    argv = [helm.install(), "template", "rotator", CHART, "--kube-version", VERSION, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("overlay", ["cronjob", "fleet"])
def test_an_overlay_is_taken(kube: Kube, namespace: str, overlay: str) -> None:
    assert taken(kube, namespace, kustomized(kube, KUBERNETES / "overlays" / overlay)) == 4


def test_the_component_is_taken_with_the_fleet(kube: Kube, namespace: str, tmp_path: Path) -> None:
    text = yaml.safe_dump(
        {
            "resources": ["kubernetes/overlays/fleet"],
            "components": ["kubernetes/components/pod-monitor"],
        }
    )
    (tmp_path / "kustomization.yaml").write_text(text)
    subprocess.run(["cp", "-r", KUBERNETES, tmp_path / "kubernetes"], check=True)
    assert taken(kube, namespace, kustomized(kube, tmp_path)) == 6


@pytest.mark.parametrize(
    "path",
    ["kubernetes/rotate.yaml", "kubernetes/rbac.yaml", "examples/kubernetes/paracle-api.yaml"],
)
def test_a_manifest_is_taken(kube: Kube, namespace: str, path: str) -> None:
    assert taken(kube, namespace, (DEPLOY / path).read_text()) >= 1


@pytest.mark.parametrize("mode", MODES)
def test_what_the_chart_renders_is_taken(kube: Kube, namespace: str, mode: str) -> None:
    more = (
        "podMonitor.enabled=true",
        "playbooks.paracle-api\\.yaml=text",
        "journal.storageClassName=fast",
        "imagePullSecrets[0].name=pull",
        "env[0].name=HTTPS_PROXY",
        "env[0].value=http://proxy:3128",
    )
    assert taken(kube, namespace, rendered(mode)) == 4
    assert taken(kube, namespace, rendered(mode, *more)) == (7 if mode == "fleet" else 5)


@pytest.mark.parametrize("mode", MODES)
def test_the_chart_and_the_overlay_say_the_same(kube: Kube, mode: str) -> None:
    chart = _by_name(rendered(mode))
    assert chart == _by_name(kustomized(kube, KUBERNETES / "overlays" / MODES[mode]))


def test_the_component_says_the_same_as_the_chart() -> None:
    chart = _by_name(rendered("fleet", "podMonitor.enabled=true"))
    file = KUBERNETES / "components" / "pod-monitor" / "pod-monitor.yaml"
    assert _by_name(file.read_text()).items() <= chart.items()


def test_a_mode_that_there_is_not_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered("deployment")
    assert "mode: deployment is neither cronjob nor fleet" in refused.value.stderr


def _by_name(text: str) -> dict[str, Any]:
    """Without what is a default, or the chart's alone: the policy of pulling, and of its own removal."""
    found = {}
    for one in yaml.safe_load_all(text):
        one["metadata"].pop("annotations", None)
        spec = one.get("spec", {}).get("jobTemplate", one).get("spec", {})
        for container in spec.get("template", {}).get("spec", {}).get("containers", ()):
            container.pop("imagePullPolicy", None)
        found[f"{one['kind']}/{one['metadata']['name']}"] = one
    return found
