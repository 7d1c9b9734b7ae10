"""The levels of a setting in the order in which every page shows them."""

from __future__ import annotations

from typing import Any

import pandas as pd


def levels(values: pd.Series) -> list[Any]:
    """Return a setting's levels: numbers in ascending order, names in the plan's order; None, first, for missing."""
    found = list(values.dropna().unique())
    found = sorted(found) if pd.api.types.is_numeric_dtype(values) else found
    return [None, *found] if values.isna().any() else found


def at(rows: pd.DataFrame, axis: str | None, value: object) -> pd.DataFrame:
    """Return the rows at one level of a setting; all of them without a setting."""
    if axis is None:
        return rows
    return rows[rows[axis].isna()] if value is None else rows[rows[axis] == value]
