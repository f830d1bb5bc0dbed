"""A .env file as a place that holds keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotator import plain
from rotator.errors import AccessDenied, NotFound
from rotator.integrations.files import dotenv_syntax
from rotator.setup.found import Source, User, Value, kept

_EXAMPLES = (".example", ".sample", ".template", ".dist", ".defaults")


def is_example(path: Path) -> bool:
    """Whether a file shows what a .env file looks like, and is none itself."""
    return any(word in path.name for word in _EXAMPLES)


def looks_like_one(path: Path) -> bool:
    """By its name alone: `.env`, `.env.production`, `app.env`."""
    return path.name.startswith(".env") or path.suffix == ".env"


def values(path: Path) -> dict[str, Value]:
    """Its variables in their order; of one that stands there twice the last counts, as for readers.

    Raises NotFound, AccessDenied, PermanentError.
    """
    try:
        content, _ = plain.read(path)
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", "name the file that holds the keys") from error
    except OSError as error:
        raise AccessDenied(f"{path} cannot be read: {error.strerror}", "who may?") from error
    found = dotenv_syntax.assignments(content.removeprefix(b"\xef\xbb\xbf"))
    return {name: kept(name, place.value) for name, place in found}


def source(path: Path, users: Sequence[User] = ()) -> Source:
    """Raises as `values` does."""
    store = {"uses": "dotenv", "path": str(path)}
    return Source(str(path), store, values(path), tuple(users), path=path)
