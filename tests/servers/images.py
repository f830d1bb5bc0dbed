"""Container images made from nothing, so that no registry is needed: a program in them is the
machine's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

_FOLDERS = ["etc", "tmp", "proc", "sys", "dev", "run", "var", "root", "usr", "app"]
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}


def python() -> str:
    """The interpreter as it is called inside, without the virtual environment of the tests."""
    return str(
        Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    )


def mounts() -> list[str]:
    """What a container needs of the machine, as `docker run -v` takes it."""
    folders = {"/usr"} | (
        {sys.base_prefix} if not Path(sys.base_prefix).is_relative_to("/usr") else set()
    )
    return [f"{folder}:{folder}:ro" for folder in sorted(folders)]


def empty(name: str, mark: str = "") -> bytes:
    """A docker-archive that any engine loads; images with different marks have different ids."""
    return _archive(name, _layer(mark), ["/bin/sleep", "86400"])


def _archive(name: str, layer: bytes, command: list[str]) -> bytes:
    layer_id = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": (
                {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
            ),
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
                "Cmd": command,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "tests"}],
        }
    ).encode()
    config_id = hashlib.sha256(config).hexdigest()
    manifest = [
        {"Config": f"{config_id}.json", "RepoTags": [name], "Layers": [f"{layer_id}/layer.tar"]}
    ]
    files = {f"{config_id}.json": config, f"{layer_id}/layer.tar": layer}
    return _tar({**files, "manifest.json": json.dumps(manifest).encode()}, {}, [])


def busybox(name: str) -> bytes:
    """A docker-archive of Debian's static busybox, which sleeps: it needs nothing of
    the machine.
    """
    found = next(path for path in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if path.exists())
    return _archive(
        name, _tar({**_FILES, "sleep": found.read_bytes()}, {}, _FOLDERS), ["/sleep", "100000000"]
    )


def _layer(mark: str) -> bytes:
    return _tar({**_FILES, "etc/mark": mark.encode()}, _LINKS, _FOLDERS)


def _tar(files: dict[str, bytes], links: dict[str, str], folders: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in folders:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755
            archive.addfile(entry)
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if path == "sleep" else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
