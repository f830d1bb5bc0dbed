"""An unforeseen error as one line; the traceback, redacted, only at debug level."""

from __future__ import annotations

import os
import sys
import traceback

from rotator.secret import redact


def describe(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    if os.environ.get("ROTATOR_LOG_LEVEL", "").lower() == "debug":
        print(redact("".join(traceback.format_exception(error))), file=sys.stderr)
    return f"internal: {type(error).__name__}: {redact(str(error))}{where}"
