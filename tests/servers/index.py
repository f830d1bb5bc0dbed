"""A package index of our own (PEP 503): made wheels without code, served on 127.0.0.1."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Index:
    """Wheels below `folder`, one directory a package; `url` is what PIP_INDEX_URL takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""

    def add(
        self, name: str, version: str, requires: Sequence[str] = (), extras: Sequence[str] = ()
    ) -> str:
        """Offer a wheel that holds its metadata alone.

        Returns the file's hash, as a lock has it.
        """
        escaped = canonicalize_name(name).replace("-", "_")
        info = f"{escaped}-{version}.dist-info"
        metadata = [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Provides-Extra: {extra}" for extra in extras),
            *(f"Requires-Dist: {one}" for one in requires),
        ]
        files = {
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": (
                "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            ),
        }
        record = [
            f"{path},sha256={_record_hash(text)},{len(text.encode())}"
            for path, text in files.items()
        ]
        files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
        place = self.folder / canonicalize_name(name) / f"{escaped}-{version}-py3-none-any.whl"
        place.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(place, "w") as wheel:
            for path, text in files.items():
                wheel.writestr(zipfile.ZipInfo(path), text)
        return f"sha256:{hashlib.sha256(place.read_bytes()).hexdigest()}"


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Index]:
    index = Index(folder)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        index.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield index
        finally:
            server.shutdown()
