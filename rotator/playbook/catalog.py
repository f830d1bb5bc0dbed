"""Catalog files, read as playbooks are: every mistake of one at once, with its place and the
nearest right word.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rotator.integrations.catalog import proof as catalog_proof
from rotator.integrations.catalog.entry import CatalogEntry, entry_at
from rotator.integrations.catalog.made import provider_class
from rotator.integrations.catalog.provider import HttpProvider
from rotator.integrations.catalog.shipped import shipped
from rotator.playbook import yaml
from rotator.playbook.mistakes import Mistake, PlaybookMistakes, nearest
from rotator.playbook.places import from_here
from rotator.playbook.yaml import Document
from rotator.secret import redact

_WRITTEN = {
    "string_type": "a text; in quotes if it looks like a number or is true or false",
    "tuple_type": "a list: [a, b]",
    "list_type": "a list: [a, b]",
    "dict_type": "a mapping: {name: value}",
    "model_type": "a mapping: {name: value}",
}


def provider(path: Path) -> type[HttpProvider]:
    """The plugin that a catalog file describes.

    Raises PlaybookMistakes with all that is wrong in it.
    """
    try:
        found = path.stat()
    except OSError:
        return provider_class(path.stem, load(path))  # which says why it cannot be read
    return _provider(path, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


@lru_cache(maxsize=256)
def _provider(path: Path, *changed: int) -> type[HttpProvider]:
    """One class as long as the file stays as it is: what validates its settings is kept
    by class.
    """
    return provider_class(path.stem, load(path))


def load(path: Path) -> CatalogEntry:
    """A catalog file, proven. Raises PlaybookMistakes."""
    document, mistakes = yaml.load(path, from_here(path))
    if document.data is None and mistakes:
        raise PlaybookMistakes(mistakes)
    if not isinstance(document.data, dict):
        raise PlaybookMistakes(
            [document.mistake((), "a catalog file is a mapping", "it begins with `name:`")]
        )
    _tell_redactor(document.data.get("pattern"))
    entry = None
    try:
        entry = CatalogEntry.model_validate(document.data)
    except ValidationError as error:
        mistakes += [_of_shape(document, one) for one in error.errors()]
    for wrong in catalog_proof.prove(document.data, dir(HttpProvider)):
        hint = wrong.hint or (nearest(wrong.word, wrong.known) if wrong.known else "there is none")
        mistakes.append(document.mistake(wrong.path, wrong.text, hint))
    if mistakes or entry is None:
        raise PlaybookMistakes(set(mistakes))
    return entry


def entry(path: Path) -> CatalogEntry:
    """A shipped file, which is right, or a user's own. Raises PlaybookMistakes."""
    return entry_at(path) if path in shipped().values() else load(path)


def _tell_redactor(pattern: Any) -> None:
    """Before anything else is done with the file, also with one that has mistakes."""
    with contextlib.suppress(re.error):  # which is told as a mistake
        redact.add_patterns([pattern] if isinstance(pattern, str) else [])


def _of_shape(document: Document, error: Any) -> Mistake:
    where = tuple(error["loc"])
    last, above = str(where[-1]) if where else "", ".".join(map(str, where[:-1])) or "the file"
    match error["type"]:
        case "extra_forbidden":
            return document.mistake(
                (*where, "=key"), f"unknown key '{last}' in {above}", nearest(last, _keys(where))
            )
        case "missing":
            return document.mistake(
                where[:-1], f"'{last}' is missing in {above}", "compare it with a shipped one"
            )
        case kind:
            words = str(error["msg"]).removeprefix("Value error, ")
            text = f"{'.'.join(map(str, where)) or 'the file'}: {words[:1].lower()}{words[1:]}"
            return document.mistake(where, text, _WRITTEN.get(kind, ""))


def _keys(where: Iterable[str | int]) -> set[str]:
    """What may stand where the last part of `where` stands."""
    model: Any = CatalogEntry
    for part in tuple(where)[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {
                field.alias or name: field.annotation for name, field in model.model_fields.items()
            }
            model = _model_in(fields.get(str(part)))
    return {field.alias or name for name, field in model.model_fields.items()} if model else set()


def _model_in(annotation: Any) -> Any:
    """The model within an annotation: of each item, of each value, or of what need not be there."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = [found for part in getattr(annotation, "__args__", ()) if (found := _model_in(part))]
    return inside[0] if inside else None
