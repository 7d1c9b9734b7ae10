"""What follows from a table of records, computed once for as long as the table stays as it is."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import ParamSpec, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
P = ParamSpec("P")
T = TypeVar("T")


class Table(UserDict[K, V]):
    """A dictionary that knows when it has changed, so that what is derived from it need not be computed again."""

    def __init__(self) -> None:
        self.changes = 0
        super().__init__()

    def __setitem__(self, key: K, item: V) -> None:
        self.changes += 1
        super().__setitem__(key, item)

    def __delitem__(self, key: K) -> None:
        self.changes += 1
        super().__delitem__(key)

    def derived(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function that computes once for each of its arguments (hashable) until this table changes.

        What it returns is shared by all who ask, and nobody's to change.
        """
        kept: dict[Hashable, tuple[int, T]] = {}

        @wraps(function)
        def once(*args: P.args, **kwargs: P.kwargs) -> T:
            place = (args, *sorted(kwargs.items()))
            began, known = self.changes, kept.get(place)
            if known is not None and known[0] == began:
                return known[1]
            made = function(*args, **kwargs)
            # of the table as it was before: what has changed meanwhile, in another thread perhaps, it may not have seen
            kept[place] = began, made
            return made

        return once
