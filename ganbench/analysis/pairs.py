"""Two sides of a check in pairs: which variants are the same, and which of them give the same numbers seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganbench.analysis.scores import FINISHED
from ganbench.analysis.seeds import identity, seed_results, settings_of, swept_by
from ganbench.arrays import Values
from ganbench.results.study import Study


def paired(before: Study, now: Study) -> dict[str, str]:
    """Return the ids of the variants that both studies have: those of `before`, with what they are in `now`."""
    swept = swept_by(before.plan.variants)
    known = {identity(settings_of(v), dict(v.hypers), swept): v.id for v in before.plan.variants}
    keys = [(identity(settings_of(v), dict(v.hypers), swept), v.id) for v in now.plan.variants]
    return {known[key]: variant for key, variant in keys if key in known}


def unchanged(before: Sequence[Study], now: Sequence[Study]) -> set[str]:
    """Return the variants, by their ids in `now`, that give the same numbers on both sides in all runs.

    before, now: studies of the same seeds in the same order. Numbers are whatever both have measured at every probe,
    times left out, bit for bit.
    """
    pairs = paired(before[0], now[0])
    differ = set()
    for one, other in zip(before, now, strict=True):
        trained = {variant.id for variant in other.plan.variants}
        differ |= {new for old, new in pairs.items() if new in trained and not _equal(one, old, other, new)}
    return set(pairs.values()) - differ


def _equal(one: Study, old: str, other: Study, new: str) -> bool:
    # what no measure stands for is the clock's
    known = {name for name in other.series.columns if name.partition(".")[0] in other.measures}
    columns = [name for name in one.series.columns if name == "step" or name in known]
    sides = [_numbers(study, variant, columns) for study, variant in ((one, old), (other, new))]
    judged = [seed_results([study]).get(variant) for study, variant in ((one, old), (other, new))]
    return len(sides[0]) > 0 and judged[0] == judged[1] and np.array_equal(sides[0], sides[1], equal_nan=True)


def _numbers(study: Study, variant: str, columns: Sequence[str]) -> Values:
    """Return the numbers of a variant's runs [probes, numbers] by seed and step; no rows where a run has not ended."""
    runs = study.runs[study.runs["variant"] == variant]
    if not runs["status"].isin(FINISHED).all() or (runs["status"] == "failed").any():
        return np.empty((0, 0))
    runs = runs.assign(ended=runs["diverged_step"].astype(float))
    joined = study.series.merge(runs[["run", "seed", "ended"]], on="run").sort_values(["seed", "step"])
    return joined[["seed", "ended", *columns]].to_numpy(dtype=float)
