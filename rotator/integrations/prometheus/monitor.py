"""Monitor `prometheus`: a query whose values must not be too high.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/ (instant queries).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rotator.errors import PermanentError, TransientError
from rotator.plugin import STRICT, setting
from rotator.reference import Reference
from rotator.secret import redact

_HINT = "`monitor` in the playbook: is the address right, and what says Prometheus to the query?"


@dataclass(frozen=True, kw_only=True)
class PrometheusMonitor:
    """Ask Prometheus, or what speaks its API, while an old key goes: no value of the query may be
    above `max`.
    """

    __pydantic_config__ = STRICT

    url: str = setting("Address of the server: http://prometheus:9090", connection=True)
    query: str = setting(
        'PromQL, for instance sum(increase(http_requests_total{app="shop",code="401"}[2m]))'
    )
    max: float = setting("What its values may be at most", default=0.0)
    token: Reference | None = setting("Bearer token, as a reference", default=None, connection=True)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("a url begins with https:// (or http://)")
        if not self.query.strip():
            raise ValueError("a query is PromQL")
        if not math.isfinite(self.max):
            raise ValueError("max is a number")

    @property
    def name(self) -> str:
        return f"prometheus {self.query}"

    def reading(self) -> str:
        """Without any series nothing is too much: nobody has failed yet."""
        values = _values(self._asked())
        if any(math.isnan(one) for one in values):
            raise TransientError(f"{self.name}: a value is NaN", _HINT)
        highest = max(values, default=-math.inf)
        return f"{self.name} is {highest:g}, above {self.max:g}" if highest > self.max else ""

    def _asked(self) -> Any:
        """Raises TransientError: a monitor that cannot tell is no failure of a consumer."""
        from rotator.clients import http  # late: who only looks at the journal needs none

        address = f"{self.url.rstrip('/')}/api/v1/query"
        try:
            secret = self.token.resolve() if self.token is not None else None
            headers = {"authorization": f"Bearer {secret.reveal()}"} if secret is not None else {}
            asked = http.Request(
                "GET", address, headers, {"query": self.query}, secrets=(secret,) if secret else ()
            )
            answer = http.send(asked)
            found = answer.json()
        except PermanentError as error:
            raise TransientError(f"{self.name}: {error.message}", error.hint or _HINT) from error
        if answer.status != 200 or not isinstance(found, dict) or found.get("status") != "success":
            raise TransientError(f"{self.name}: {answer.status}: {answer.text}", _HINT)
        return found.get("data")


def _values(data: Any) -> list[float]:
    """Of an instant vector or a scalar. Raises TransientError for anything else."""
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [float(result[1])]
        if kind == "vector":
            return [float(one["value"][1]) for one in result]
        words = f"the query gives a {redact(str(kind))[:50]}, not numbers of one moment"
    except (LookupError, TypeError, ValueError):
        words = "the answer is not that of Prometheus"
    raise TransientError(words, _HINT)
