"""Which texts to look for in everything that leaves the process: the forms of each living secret, and of no dead one.

Looking must not cost more the more secrets there are: a form is found by its tail. Of the last 15 characters of a form,
each of the 8 windows of 8 characters is indexed; whatever holds the form holds one of them at a multiple of 8.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, deque
from typing import Any, Protocol

_STEP = 8
_TAIL = 2 * _STEP - 1
_FEW = 24  # up to so many texts, looking for one after the other is quicker


class HasForms(Protocol):
    def forms(self) -> frozenset[str]: ...


class Vocabulary:
    """Thread-safe. Births and deaths are noted at once, and worked off by the next look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born: deque[weakref.ref[Any]] = deque()
        self._dead: deque[weakref.ref[Any]] = deque()  # from callbacks of the collector: appending takes no lock
        self._known: dict[int, tuple[weakref.ref[Any], frozenset[str]]] = {}
        self._forms: Counter[str] = Counter()
        self._windows: Counter[str] = Counter()
        self._short: Counter[str] = Counter()
        self._few: tuple[str, ...] | None = ()

    def add(self, one: HasForms) -> None:
        self._born.append(weakref.ref(one, self._dead.append))

    def any_in(self, text: str) -> bool:
        """Whether a form of a living secret is in the text; rarely yes where there is none, never no where there is."""
        if self._born or self._dead:
            self._work_off()
        few = self._few
        if few is not None:
            for form in few:  # noqa: SIM110  (a generator costs more than the search)
                if form in text:
                    return True
            return False
        if not self._windows.keys().isdisjoint([text[at : at + _STEP] for at in range(0, len(text), _STEP)]):
            return True
        return any(form in text for form in tuple(self._short))

    def longest_first(self) -> list[str]:
        with self._lock:
            return sorted(self._forms, key=len, reverse=True)

    def _work_off(self) -> None:
        with self._lock:
            born = list(self._born)
            for reference in born:
                one = reference()
                if one is not None:
                    forms = one.forms()
                    self._known[id(reference)] = reference, forms
                    self._count(forms, 1)
            while self._dead:
                _, forms = self._known.pop(id(self._dead.popleft()), (None, frozenset()))
                self._count(forms, -1)
            self._few = tuple(self._looked_for(frozenset(self._forms))) if len(self._forms) <= _FEW else None
            for _ in born:  # only now: until then whoever looks must wait here
                self._born.popleft()

    def _count(self, forms: frozenset[str], by: int) -> None:
        for form in forms:
            _change(self._forms, form, by)
        for form in self._looked_for(forms):
            if len(form) < _TAIL:
                _change(self._short, form, by)
                continue
            for at in range(_STEP):
                _change(self._windows, form[len(form) - _TAIL + at :][:_STEP], by)

    @staticmethod
    def _looked_for(forms: frozenset[str]) -> list[str]:
        """Those that contain no other one: whatever holds a longer one holds one of these."""
        return [form for form in forms if not any(form != other and other in form for other in forms)]


def _change(counter: Counter[str], text: str, by: int) -> None:
    counter[text] += by
    if counter[text] <= 0:
        del counter[text]
