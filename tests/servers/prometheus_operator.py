"""The kinds of the Prometheus Operator, as its own Go module has them: no operator runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers.tools import ENV, cached, may_install, run, say

_MODULE = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_FILE = "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"


def pod_monitors() -> Path:
    """The definition of PodMonitor."""
    with cached("podmonitors", _MODULE.rpartition("@")[2]) as (path, fill):
        if fill:
            if not may_install():
                pytest.skip("PodMonitor is asked about in CI: CI=1 make test")
            say(f"go mod download {_MODULE}")
            told = json.loads(run(["go", "mod", "download", "-json", _MODULE], cwd=path, env=ENV))
            (path / "podmonitors.yaml").write_bytes(Path(told["Dir"], _FILE).read_bytes())
    return path / "podmonitors.yaml"
