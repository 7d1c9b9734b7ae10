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
        kept: dict[Hashable, T] = {}
        of = -1

        @wraps(function)
        def once(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal of
            if of != self.changes:
                kept.clear()
                of = self.changes
            place = (args, *sorted(kwargs.items()))
            if place not in kept:
                made = function(*args, **kwargs)
                if of != self.changes:
                    return made  # the function itself has loaded more, perhaps after it had read some
                kept[place] = made
            return kept[place]

        return once
