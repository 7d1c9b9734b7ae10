"""Stepped lines with bands, as the page's script draws them: survival curves and performance profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Line = dict[str, list[Any]]


def line(x: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike) -> Line:
    """Return a line and its band [points] as short lists: three digits after the point are more than a screen shows."""
    shares = {"y": y, "low": low, "high": high}
    at = [int(one) if one == int(one) else round(float(one), 4) for one in np.asarray(x, dtype=float)]
    return {"x": at} | {name: np.round(np.asarray(part, dtype=float), 3).tolist() for name, part in shares.items()}
