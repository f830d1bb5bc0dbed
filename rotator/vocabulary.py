"""Which texts to look for in everything that leaves the process: the forms of each living secret,
and of no dead one.

Looking must not cost more the more secrets there are: a form is found by its tail. Of the last 15
bytes of a form, each of the 8 windows of 8 bytes is indexed; whatever holds the form holds one of
them at a multiple of 8.
"""

from __future__ import annotations

import struct
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

_STEP = 8
_TAIL = 2 * _STEP - 1


class HasForms(Protocol):
    def forms(self) -> frozenset[bytes]: ...


class Vocabulary:
    """Thread-safe. Births and deaths are noted at once, and worked off by the next look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born: deque[weakref.ref[Any]] = deque()
        self._dead: deque[weakref.ref[Any]] = (
            deque()
        )  # from callbacks of the collector: appending takes no lock
        self._known: dict[int, tuple[weakref.ref[Any], frozenset[bytes]]] = {}
        self._forms: Counter[bytes] = Counter()
        self._windows: Counter[int] = Counter()
        self._indexed: set[int] = (
            set()
        )  # those of them that are: a set's own look-up costs half of a counter's
        self._short: Counter[bytes] = Counter()

    def add(self, one: HasForms) -> None:
        self._born.append(weakref.ref(one, self._dead.append))

    def any_in(self, text: bytes) -> bool:
        """Whether a form of a living secret is in the text; rarely yes where there is none, never
        no where there is.
        """
        if self._born or self._dead:
            self._work_off()
        if self._indexed and not self._indexed.isdisjoint(_numbers(text)):
            return True
        return bool(self._short) and any(form in text for form in tuple(self._short))

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._born or self._forms)

    def longest_first(self) -> list[bytes]:
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
            for _ in born:  # only now: until then whoever looks must wait here
                self._born.popleft()

    def _count(self, forms: frozenset[bytes], by: int) -> None:
        for form in forms:
            _change(self._forms, form, by)
        for form in self._looked_for(forms):
            if len(form) < _TAIL:
                _change(self._short, form, by)
                continue
            for at in range(_STEP):
                window = _numbers(form[len(form) - _TAIL + at :][:_STEP])[0]
                _change(self._windows, window, by)
                (self._indexed.add if window in self._windows else self._indexed.discard)(window)

    @staticmethod
    def _looked_for(forms: frozenset[bytes]) -> list[bytes]:
        """Those that contain no other one: whatever holds a longer one holds one of these."""
        return [
            form for form in forms if not any(form != other and other in form for other in forms)
        ]


@lru_cache(maxsize=1024)
def _read_as_numbers(count: int) -> Callable[[bytes], tuple[int, ...]]:
    return struct.Struct(f"={count}Q").unpack_from


def _numbers(text: bytes) -> tuple[int, ...]:
    """Each 8 bytes as a number: what costs least to look up."""
    return _read_as_numbers(len(text) // _STEP)(text)


def _change(counter: Counter[Any], one: bytes | int, by: int) -> None:
    counter[one] += by
    if counter[one] <= 0:
        del counter[one]
