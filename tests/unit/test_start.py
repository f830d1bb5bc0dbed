"""What a command imports before it does anything: each module is time that a person waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What only a verb that rotates needs, or a playbook that names it.
LATE = (
    "rotator.engine.perform",
    "rotator.engine.preflight",
    "rotator.engine.events",
    "rotator.clients.http",
    "rotator.integrations.kubernetes.cluster",
    "rotator.integrations.catalog.entry",
    "rotator.integrations.kubernetes.store",
    "apscheduler",
    "httpx",
    "jmespath",
    "tenacity",
    "alembic",
)


@pytest.mark.parametrize("verb", ["rotator.cli.overview", "rotator.usecases.service"])
def test_who_only_looks_at_the_journal_imports_no_plugin_and_no_grammar_of_catalogs(
    verb: str,
) -> None:
    script = f"import sys, {verb}; print(*[name for name in {LATE!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
