"""The numbers that a hyper-parameter may take, as its annotation says: `gamma: NotNegative`.

Annotations are those of `annotated_types`, which Pydantic's own types (`PositiveInt`, ...) are made of.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
AtLeastOne = Annotated[int, Ge(1)]
NotNegativeInt = Annotated[int, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]
"""At least 0 and below 1: what an average keeps of its past."""

_BOUNDS = {
    Ge: ("at least", "ge", operator.ge), Gt: ("above", "gt", operator.gt),
    Le: ("at most", "le", operator.le), Lt: ("below", "lt", operator.lt),
}  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """One end of a range: what it is called, its number, and whether another number keeps it."""

    word: str
    number: float
    holds: Callable[[Any, Any], bool]


def bounds_of(function: Any, hyper: str) -> tuple[Bound, ...]:
    """Return the ends that the annotation of a hyper-parameter sets; none where it sets none or cannot be evaluated."""
    annotation = getattr(function, "__annotations__", {}).get(hyper)
    if isinstance(annotation, str):
        # an annotation is a hint: one that only a type checker can read sets no range
        with suppress(Exception):
            annotation = eval(annotation, getattr(function, "__globals__", {}))  # noqa: S307 - the plug-in's own code
    return tuple(_bounds(getattr(annotation, "__metadata__", ())))


def _bounds(metadata: Any) -> Iterator[Bound]:
    for one in metadata:
        if isinstance(one, GroupedMetadata):
            yield from _bounds(one)
        elif type(one) in _BOUNDS:
            word, name, holds = _BOUNDS[type(one)]
            yield Bound(word, getattr(one, name), holds)


def outside(bounds: tuple[Bound, ...], value: Any) -> str:
    """Return what a number has to be, "at least 0 and below 1", where it is not; empty where it is.

    >>> outside(bounds_of(lambda: None, "gamma"), -1)
    ''
    """
    if all(bound.holds(value, bound.number) for bound in bounds):
        return ""
    return " and ".join(f"{bound.word} {bound.number:g}" for bound in bounds)
