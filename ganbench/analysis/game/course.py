"""What rules about the game read: the columns of one run's probes, sorted by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ganbench import registry
from ganbench.analysis.verdicts.levels import held
from ganbench.arrays import Flags, Values

EARLY = 3
"""Probes after training began whose median is the scale of what comes later."""


class Course:
    """The probes of one run: every column that has a value, as floats, infinite ones too.

    trained: the probes after training began, or all where there is only one.
    """

    def __init__(self, columns: Mapping[str, Values]) -> None:
        order = np.argsort(columns["step"], kind="stable")
        table = np.array(list(columns.values()), dtype=float)[:, order]
        told = ~np.isnan(table).all(axis=1)
        self.columns = {name: values for name, values, any_ in zip(columns, table, told.tolist(), strict=True) if any_}
        self.steps = self.columns["step"]
        self.trained: Flags = self.steps > 0 if len(self.steps) > 1 else np.ones(len(self.steps), dtype=bool)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Values:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.steps)

    def last(self, name: str) -> float:
        """Return a column's last value."""
        return float(self.columns[name][-1])

    def early(self, name: str) -> float:
        """Return the median size of the first finite values after training began: the scale of the others, or 0."""
        values = np.abs(self.columns[name][self.trained])
        finite = values[np.isfinite(values)][:EARLY]
        return float(np.median(finite)) if len(finite) else 0.0

    def start(self, name: str) -> float:
        """Return the size that a column had before training began, or at the first probe that there is; or 0."""
        values = np.abs(self.columns[name])
        finite = values[np.isfinite(values)]
        return float(finite[0]) if len(finite) else 0.0

    def path(self, name: str) -> Values:
        """Return how far a column has gone up and down since the first probe, as a share of what it was there."""
        values = self.columns[name]
        change = np.concatenate([[0.0], np.abs(np.diff(values))])
        return np.nancumsum(change) / max(self.start(name), np.finfo(float).tiny)

    def at_least(self, values: Values, enters: float, stays: float) -> Flags:
        """Where values reach `enters` once training began, and after that as long as they are not under `stays`."""
        return held(self.trained & (values >= enters), values >= stays)

    def at_most(self, values: Values, enters: float, stays: float) -> Flags:
        """Where values fall to `enters` once training began, and after that as long as they are not above `stays`."""
        return held(self.trained & (values <= enters), values <= stays)

    def like(self, *starts: str) -> list[str]:
        """Return the columns that a loop reports, whose name begins like one of these: recall is no reconstruction."""
        told = {name: name.partition(".")[0] for name in self.columns}
        named = {name: own for name, own in told.items() if own.lower().startswith(starts)}
        return [name for name, own in named.items() if own not in registry.measures()]

    def parts(self, name: str) -> list[str]:
        """Return the columns that are a measure's parts, as of several discriminators."""
        return [column for column in self.columns if column.startswith(f"{name}.")]


def span(values: Values) -> tuple[float, float]:
    """Return the least and the largest of the finite values; both NaN where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (float("nan"), float("nan"))


def number(value: float) -> str:
    """Return a number with three digits, as sentences have them."""
    return f"{value:.3g}"


def values(course: Course, names: Iterable[str]) -> str:
    """Return "d ranking 1, g loss 12.3" at the last probe, of those columns that there are."""
    return ", ".join(f"{name.replace('_', ' ')} {number(course.last(name))}" for name in names if name in course)
