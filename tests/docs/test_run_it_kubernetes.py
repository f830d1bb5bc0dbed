"""What the page "Run it" has for Kubernetes, asked at a real API server."""

from __future__ import annotations

from typing import Any

import yaml

from tests.docs.test_docs import DOCS, blocks
from tests.servers.kube import Kube

PAGE = DOCS / "run-it.md"


def test_the_cron_job_is_taken_by_the_api_server(kube: Kube) -> None:
    """Nothing of it is unknown, nothing is put right silently."""
    (text,) = blocks(PAGE, "yaml")
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    assert {one["kind"] for one in objects} == {"CronJob", "PersistentVolumeClaim"}
    namespace = kube.namespace("run-it")
    done = kube.kubectl(
        "--namespace",
        namespace,
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin=text,
    )
    assert done.count("created (server dry run)") == len(objects), done
