"""What a watched loop's probes have measured so far, column by column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ganbench.arrays import Values

Columns = Mapping[str, Values]
"""Measures [probes] by name, those that have any value."""


class Probes:
    """The probes of one loop in the order of their steps: verdicts read arrays, users a table."""

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {"step": []}

    def append(self, row: Mapping[str, float]) -> None:
        """Take a probe, its `step` and its measures; one that was taken at this step or later is forgotten."""
        steps = self._columns["step"]
        while steps and steps[-1] >= row["step"]:
            for values in self._columns.values():
                values.pop()
        count = len(steps)
        for name in (*self._columns, *row):
            values = self._columns.setdefault(name, [np.nan] * count)
            if len(values) == count:
                values.append(row.get(name, np.nan))

    def arrays(self) -> dict[str, Values]:
        """Return the columns that have any value [probes]."""
        found = {name: np.array(values, dtype=float) for name, values in self._columns.items()}
        return {name: values for name, values in found.items() if not np.isnan(values).all()}

    def table(self) -> pd.DataFrame:
        """Return a row a probe: step, and a column a measure."""
        return pd.DataFrame(self._columns) if self._columns["step"] else pd.DataFrame()
