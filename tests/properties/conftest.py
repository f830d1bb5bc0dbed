"""How many examples: 10,000 in CI, few on a user's machine."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ours",
    max_examples=10_000 if os.environ.get("ROTATOR_FULL") else 300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=not os.environ.get("ROTATOR_FULL"),
)
settings.load_profile("ours")
