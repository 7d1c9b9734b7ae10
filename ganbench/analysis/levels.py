"""The levels of a setting beside its base, in pairs of runs that share seed and all other settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ganbench.analysis import Study
from ganbench.analysis.gate import holm
from ganbench.analysis.inference import Matched, matched_pairs
from ganbench.analysis.ranking import axes, level
from ganbench.analysis.statistics import CONFIDENCE


def matched(finished: pd.DataFrame, others: list[str], axis: str) -> tuple[pd.DataFrame, int]:
    """Return the runs in those combinations of the other settings and seed in which every level of an axis has run.

    Comparing whole levels would blame a level for the company it keeps: what is skipped is not skipped at random.
    The number is that of the combinations; 0 where no combination has all levels.
    """
    keys = ["problem", *others, "seed"]
    levels = finished[axis].nunique()
    have = finished.groupby(keys, dropna=False)[axis].transform("nunique")
    rows = finished[have == levels]
    return rows, int(rows[keys].drop_duplicates().shape[0])


@dataclass(frozen=True)
class Compared:
    """A level of an axis beside the base that it is compared with: failures of runs, the mean gap of pairs, the pairs.

    p, p_settings: for new seeds of these settings and for new settings, adjusted where it stands in an `AxisCompared`.
    """

    level: str
    mostly: str
    failed: tuple[int, int]
    base: tuple[int, int]
    gap: float
    matched: Matched
    p: float
    p_settings: float

    @property
    def apart(self) -> bool:
        """Whether new seeds of these settings would tell the two apart."""
        return self.p <= 1 - CONFIDENCE

    def told(self) -> str:
        """Say what the pairs show."""
        words = f"{self.level} {self.failed[0]}/{self.failed[1]}{f' ({self.mostly})' if self.mostly else ''}"
        words = f"{words} against {self.base[0]}/{self.base[1]}"
        if not self.apart:
            return f"{words}, not told apart"
        settings = self.matched.worse + self.matched.better
        how, many = ("more", self.matched.worse) if self.gap > 0 else ("fewer", self.matched.better)
        told = f"{words}, {how} (p = {self.p:.2g})"
        if self.p_settings <= 1 - CONFIDENCE:
            return f"{told}, and so it is for new settings (p = {self.p_settings:.2g})"
        which = "the one that differs" if settings == 1 else f"{many} of the {settings} that differ"
        return f"{told} for new seeds, but for new settings not told apart ({how} in {which})"


@dataclass(frozen=True)
class AxisCompared:
    """The levels of an axis beside one of them, `against`, and what they cost, in words."""

    axis: str
    against: str
    levels: list[Compared]
    cost: str


def compare_levels(study: Study, finished: pd.DataFrame) -> list[AxisCompared]:
    """Compare the levels of every axis with one of them, in finished runs that share seed and all other settings.

    P-values are adjusted for all comparisons together, by Holm.
    """
    asked = [axis for axis in axes(study) if axis not in study.tuned and finished[axis].nunique() > 1]
    found = {axis: _compared(study, finished, axis) for axis in asked}
    pairs = [one.matched for _, compared, _ in found.values() for one in compared]
    alone = [1.0] * len(pairs)
    new_seeds, new_settings = (
        iter(holm(p, alone)) for p in ([one.p for one in pairs], [one.p_settings for one in pairs])
    )
    return [
        AxisCompared(
            axis, against, [replace(one, p=next(new_seeds), p_settings=next(new_settings)) for one in compared], cost
        )
        for axis, (against, compared, cost) in found.items()
    ]


def _compared(study: Study, finished: pd.DataFrame, axis: str) -> tuple[str, list[Compared], str]:
    """Return the base's name, every other level that has run in its settings, compared with it, and what they cost."""
    base, others, sides = _sides(study, finished, axis)
    found = [_pair(axis, value, base, rows, ["problem", *others]) for value, rows in sides]
    return level(axis, base), found, _cost(matched(finished[finished[axis].notna()], others, axis)[0], axis)


def _sides(
    study: Study, finished: pd.DataFrame, axis: str
) -> tuple[object, list[str], list[tuple[object, pd.DataFrame]]]:
    """Return an axis's base, the other axes, and each other level that ran in the base's settings, with these runs."""
    finished = finished[finished[axis].notna()]
    # gamma belongs to R1: it cannot be the same with and without it
    others = [other for other in axes(study) if other != axis and not other.startswith(f"{axis}.")]
    levels = list(finished[axis].unique())
    base = "none" if "none" in levels else levels[0]
    pairs = [(value, matched(finished[finished[axis].isin([value, base])], others, axis)) for value in levels]
    return base, others, [(value, rows) for value, (rows, combinations) in pairs if value != base and combinations]


def _gaps(axis: str, value: object, base: object, rows: pd.DataFrame, keys: list[str], column: str) -> pd.Series:
    """Return how much a level lies above its base in a column, by setting and seed."""
    setting = ["\n".join(map(str, values)) for values in rows[keys].itertuples(index=False)]
    sides = rows.assign(setting=setting, value=rows[column].astype(float))
    # a level with hyper-parameters of its own may have run several times in a setting, and stands for all of them
    means = sides.groupby(["setting", "seed", axis])["value"].mean().unstack(axis)
    with np.errstate(invalid="ignore"):
        return means[value] - means[base]


def _pair(axis: str, value: object, base: object, rows: pd.DataFrame, keys: list[str]) -> Compared:
    word, k, n, mostly = _level(axis, value, rows[rows[axis] == value])
    _, base_k, base_n, _ = _level(axis, base, rows[rows[axis] == base])
    found = _gaps(axis, value, base, rows, keys, "failed")
    gaps = found.to_numpy()
    # of the pairs and not of the counts in words: these weigh a setting by how often a level ran in it
    pairs = matched_pairs(gaps, list(found.index.get_level_values("setting")))
    return Compared(word, mostly, (k, n), (base_k, base_n), float(gaps.mean()), pairs, pairs.p, pairs.p_settings)


@dataclass(frozen=True)
class Better:
    """In how many of the pairs in which a level and its base differ it is better, and the p-value of that."""

    level: str
    against: str
    better: int
    pairs: int
    p: float

    @property
    def share(self) -> float:
        """The share of these pairs in which the level is better; a half where none differ."""
        return self.better / self.pairs if self.pairs else 0.5


def better_levels(study: Study, finished: pd.DataFrame, goodness: Mapping[str, float]) -> list[Better]:
    """Compare levels where failures tell none apart: how often a level is better, in pairs of one seed and setting.

    finished: runs as `judged` returns them; goodness: a number by run that is larger where a run is better. P-values
    are of sign tests, adjusted for all comparisons together, by Holm; runs without a number are left out.
    """
    rows = finished.assign(goodness=finished["run"].map(goodness).astype(float))
    rows, found = rows[rows["goodness"].notna()], []
    for axis in (axis for axis in axes(study) if axis not in study.tuned and rows[axis].nunique() > 1):
        base, others, sides = _sides(study, rows, axis)
        for value, both in sides:
            gaps = _gaps(axis, value, base, both, ["problem", *others], "goodness").to_numpy()
            # two runs that are lost are equal, whose difference is no number
            up, down = int((gaps > 0).sum()), int((gaps < 0).sum())
            p = float(binomtest(up, up + down).pvalue) if up + down else 1.0
            found.append(Better(level(axis, value), level(axis, base), up, up + down, p))
    adjusted = holm([one.p for one in found], [1.0] * len(found))
    return [replace(one, p=p) for one, p in zip(found, adjusted, strict=True)]


def _level(axis: str, value: object, rows: pd.DataFrame) -> tuple[str, int, int, str]:
    """Return a level's name, its failures, its runs, and how more than half of several failures look."""
    how = rows.loc[rows["failed"].astype(bool), "verdict"].value_counts()
    failures = int(how.sum())
    if failures < 2 or 2 * how.max() <= failures:
        return level(axis, value), failures, len(rows), ""
    return level(axis, value), failures, len(rows), f"{'all' if how.max() == failures else 'mostly'} {how.idxmax()}"


def _cost(rows: pd.DataFrame, axis: str) -> str:
    seconds = rows[rows["status"] == "done"].groupby(axis, sort=False)["seconds"].median()
    seconds = seconds[seconds > 0]
    if len(seconds) < 2 or seconds.max() < 1.2 * seconds.min():
        return ""
    dear, cheap = level(axis, seconds.idxmax()), level(axis, seconds.idxmin())
    return f" Training takes {seconds.max() / seconds.min():.1f} x as long with {dear} as with {cheap}."
