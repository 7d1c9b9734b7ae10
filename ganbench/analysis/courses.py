"""Where the runs on games in closed form went and how fast, beside what theory says of their variants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.theory import SLOW, Prediction, predict, resolution, spectral_radius
from ganbench.gan.linear import Matrix
from ganbench.kinds import KINDS
from ganbench.plan import Variant

FLOOR = float(KINDS["problem"].default("resolution"))
"""Distances below it are rounding, where a problem declares no `resolution` of its own."""
# how far a measured rate may be from its prediction: a share of the rate, and what a slow one is read off with
TOLERANCE, RESOLUTION = 0.1, 1e-4


def contraction(path: Matrix, every: int, floor: float = FLOOR) -> float:
    """Return the factor a step by which a path [probes, n] shrinks or grows, probed every so many steps.

    The largest modulus of the eigenvalues of the linear map that fits the later half of the path best (each pair of
    neighbours weighs the same however small it is); what decays fast has gone by then. The path ends where it is not
    finite or shorter than `floor`. NaN for a path too short to tell.

    >>> round(contraction(0.5 ** np.arange(20.0)[:, None], every=1), 6)
    0.5
    """
    norms = np.linalg.norm(path, axis=1)
    good = np.isfinite(norms) & (norms > floor)
    kept = path[: len(path) if good.all() else int(np.argmin(good))]
    kept = kept[len(kept) // 2 :] if len(kept) // 2 > path.shape[1] else kept
    if len(kept) < 2 * path.shape[1]:
        return math.nan
    scale = np.linalg.norm(kept[:-1], axis=1, keepdims=True)
    # a direction in which the path no longer moves has no factor but that of its rounding
    fitted, *_ = np.linalg.lstsq(kept[:-1] / scale, kept[1:] / scale, rcond=1e-3)
    return float(spectral_radius(fitted) ** (1 / every))


def course(distances: Matrix, floor: float = FLOOR, *, from_start: bool = False) -> str:
    """Return where a run went by its distances [probes]: "converges", "cycles" or "leaves".

    The largest distance in the last quarter against that in the second (or the first) one: below 0.8 of it, and nearer
    than at the start, or below the floor; above 1.25 times it or not finite.

    >>> course(0.5 ** np.arange(20.0)), course(np.ones(20)), course(2 ** np.arange(20.0))
    ('converges', 'cycles', 'leaves')
    """
    quarter = max(1, len(distances) // 4)
    if not np.isfinite(distances[-1]):
        return "leaves"
    early = distances[:quarter] if from_start else distances[quarter : 2 * quarter]
    change = distances[-quarter:].max() / max(early.max(initial=0.0), 1e-300)
    arrived = distances[-quarter:].max() < floor
    if arrived or (change < 0.8 and distances[-1] < distances[0]):
        return "converges"
    return "leaves" if change > 1.25 else "cycles"


def table(study: Study) -> pd.DataFrame:
    """Return one row a variant of a game in closed form that has been trained, in the plan's order.

    Columns: problem, variant; theory (Prediction or None), radius (median over seeds), radius_low, radius_high (their
    range), went (the seeds' courses, counted), distance (median at the end), agrees (None where theory is silent).
    """
    names = [name for name in study.series.columns if name.startswith("displacement.")]
    paths = dict(list(study.series.dropna(subset=names[:1]).groupby("run"))) if names else {}
    seeds = study.runs[study.runs["run"].isin(paths)].groupby("variant")["run"].agg(list)
    rows = [_row(variant, [paths[run] for run in seeds[variant.id]]) for variant in study.variants
            if variant.id in seeds.index]  # fmt: skip
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def sentences(rows: pd.DataFrame) -> list[str]:
    """Return what the table of a study shows, in a sentence; none where it has no prediction."""
    known = rows[rows["agrees"].notna()]
    if known.empty:
        return []
    wrong = known.loc[~known["agrees"].astype(bool), "variant"].tolist()
    text = f"Theory: {len(known) - len(wrong)} of {len(known)} variants with a prediction went as it says"
    return [text + (f", not {', '.join(wrong[:3])}{' and others' if len(wrong) > 3 else ''}." if wrong else ".")]


_COLUMNS = ("problem", "variant", "theory", "radius", "radius_low", "radius_high", "went", "distance", "agrees")


def _row(variant: Variant, runs: list[pd.DataFrame]) -> dict[str, Any]:
    theory, floor = predict(variant), resolution(variant)
    radii, went, ends = [], [], []
    for run in runs:
        path = displacements(run)
        norms = np.linalg.norm(path, axis=1)
        radii.append(contraction(path, int(run["step"].diff().median()) if len(run) > 1 else 1, floor))
        went.append(course(norms, floor, from_start=theory is not None and theory.scheduled))
        ends.append(norms[-1])
    low, middle, high = np.quantile(radii, [0, 0.5, 1])
    counts = {name: went.count(name) for name in dict.fromkeys(sorted(went))}
    measured = {"radius": middle, "radius_low": low, "radius_high": high, "went": counts, "distance": np.median(ends)}
    known = {"problem": variant.problem, "variant": variant.id, "theory": theory}
    return {**known, **measured, "agrees": None if theory is None else _agree(theory, went, float(middle))}


def displacements(run: pd.DataFrame) -> Matrix:
    """Return the path [probes, n] of a run's rows in a study's series."""
    columns = run[[name for name in run.columns if name.startswith("displacement.")]]
    path: Matrix = columns.dropna(axis=1, how="all").to_numpy(dtype=float)
    return path


def _agree(theory: Prediction, went: list[str], radius: float) -> bool:
    """Tell whether the seeds went where theory says, and as fast where a rate is known.

    What theory calls unstable may be held in bounds further away, where the game is not linear: it only must not
    converge. What arrives within a few probes has no rate that could be read.
    """
    if theory.behaviour != "converges":
        return "converges" not in went
    if set(went) != {"converges"} and (theory.scheduled or theory.radius is None or theory.radius < SLOW):
        return False
    if theory.scheduled or theory.radius is None or math.isnan(radius):
        return True
    expected = math.log(theory.radius)
    return abs(math.log(radius) - expected) <= TOLERANCE * abs(expected) + RESOLUTION
