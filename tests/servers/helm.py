"""Helm as a program, built with Go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.tools import CACHE, go_build, may_install


def install() -> Path:
    if not may_install() and not any(CACHE.glob("helm-*/.complete")):
        pytest.skip("Helm is not built: python -m tests.servers helm install")
    return go_build("helm", "helm.sh/helm/v3/cmd/helm")
