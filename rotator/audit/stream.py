"""Audit records as JSON lines to stdout, a file or both, after their transaction was committed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from rotator.errors import ConfigError


class Stream:
    """Where records go besides the journal. Targets: `stdout`, `stderr`, or paths."""

    def __init__(self, targets: Iterable[str] = ()) -> None:
        self._files: list[TextIO] = [_open(target) for target in targets if target]

    def emit(self, records: Iterable[dict[str, Any]]) -> None:
        if not self._files:
            return
        import structlog

        render = structlog.processors.JSONRenderer(ensure_ascii=False)
        for record in records:
            line = render(None, "", dict(record))
            for file in self._files:
                print(line if isinstance(line, str) else line.decode(), file=file, flush=True)


def _open(target: str) -> TextIO:
    if target in ("stdout", "stderr"):
        return sys.stdout if target == "stdout" else sys.stderr
    try:
        return Path(target).open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the audit stream cannot be written to {target}: {error.strerror}", "check `audit_stream` in rotator.toml"
        ) from error
