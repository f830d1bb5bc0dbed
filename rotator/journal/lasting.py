"""Whether a file outlives the container that rotator runs in: without its journal it would know
none of the keys that it made.
"""

from __future__ import annotations

from pathlib import Path

from rotator.clients import procfs
from rotator.errors import ConfigError

_LAYERS = ("overlay", "fuse.fuse-overlayfs")  # of a container engine, for its root
# Where kubelets keep an emptyDir, which ends with its pod. Source: Kubernetes, pkg/volume/emptydir.
_EMPTY_DIR = "/volumes/kubernetes.io~empty-dir/"


def must_last(path: Path | None) -> None:
    """Before a journal is made there. None is a database of its own.

    Raises ConfigError where the file would end with its container.
    """
    if path is None or path.exists():
        return
    why = _ends_with(procfs.mount_of(path.parent), procfs.mount_of(Path("/")))
    if why:
        raise ConfigError(
            f"the journal {path} would be lost with this container: it would lie {why}",
            f"mount a volume at {path.parent}, or use PostgreSQL: ROTATOR_DATABASE_URL;"
            " for a trial: ROTATOR_EPHEMERAL=true",
        )


def _ends_with(here: procfs.Mount, root: procfs.Mount) -> str:
    if _EMPTY_DIR in here.root:
        return "in an emptyDir"
    if root.kind not in _LAYERS:  # no container, or one whose root is a disk of its own
        return ""
    if here.point == "/":
        return "in its own layer"
    return "in memory" if here.kind == "tmpfs" else ""
