"""Baselines against each other: what moved from one to the next, and since when a variant is another than before.

Two baselines are compared variant by variant: failure rates by Boschloo's exact test, scores by the Mann-Whitney test,
both two-sided, with Holm's correction over all of them. Over a history the split is looked for that tells the states
before it from those after it best (maximally selected two-sample statistics; Miller & Siegmund 1982), Bonferroni's
correction over splits and measures stands for the looking, and what lies on both sides of a split is looked through in
the same way (binary segmentation; Scott & Knott 1974).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import fisher_exact, mannwhitneyu

from ganbench.analysis.comparison import boschloo
from ganbench.analysis.gate import holm
from ganbench.analysis.seeds import MEASURED, identity
from ganbench.analysis.statistics import iqm
from ganbench.arrays import Values
from ganbench.results.baseline import Baseline, BaselineVariant, SeedResult

ALPHA = 0.05
"""How often a history without a change, or a pair of baselines without one, may be told to have one."""


@dataclass(frozen=True)
class Moved:
    """One variant in two baselines: failures, seeds and typical scores before and now, and Holm's p-values.

    `equal` says that every seed that both have gives the same result.
    """

    variant: str
    failures: tuple[int, int]
    seeds: tuple[int, int]
    scores: tuple[float, float]
    p_rate: float
    p_score: float
    equal: bool

    @property
    def told_apart(self) -> bool:
        """Whether failures or scores tell the two from each other, at 5 % over all variants."""
        return min(self.p_rate, self.p_score) <= ALPHA

    @property
    def line(self) -> str:
        """The change in words and numbers."""
        before, now = (100 * lost / seeds for lost, seeds in zip(self.failures, self.seeds, strict=True))
        counts = " to ".join(f"{lost}/{seeds}" for lost, seeds in zip(self.failures, self.seeds, strict=True))
        answer = "told apart" if self.told_apart else "not told apart"
        return (
            f"{self.variant}: failures {counts} ({now - before:+.0f} points, p = {self.p_rate:.2g}), score "
            f"{self.scores[0]:.2f} to {self.scores[1]:.2f} ({self.scores[1] - self.scores[0]:+.2f}, "
            f"p = {self.p_score:.2g}): {answer}."
        )


@dataclass(frozen=True)
class Drift:
    """What another baseline has that the one before had not: variants by name, changes, and why some say nothing."""

    added: tuple[str, ...]
    gone: tuple[str, ...]
    moved: tuple[Moved, ...]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The difference for a reader: added, gone, what moved, and how many variants did not."""
        same = [one for one in self.moved if one.equal]
        lines = [
            *self.notes,
            *(f"+ {name}: added." for name in self.added),
            *(f"- {name}: gone." for name in self.gone),
        ]
        lines += [f"{'!' if one.told_apart else '~'} {one.line}" for one in self.moved if not one.equal]
        told = f"= {len(same)} of {len(self.moved)} variants give the same results, seed by seed."
        return [*lines, told if self.moved else "= No variant is in both."]


def drift(old: Baseline | None, new: Baseline) -> Drift:
    """Return what is another in `new`; None in place of `old`: it did not read."""
    if old is None:
        return Drift(tuple(v.label for v in new.variants), (), (), ("The baseline that is there does not read.",))
    swept = sorted({*old.swept, *new.swept})
    before, now = ({identity(v.settings, v.hypers, swept): v for v in one.variants} for one in (old, new))
    notes = [
        f"{key} is {new.measured.get(key)}, was {old.measured.get(key)}: scores are not of one measurement."
        for key in MEASURED if old.measured.get(key) != new.measured.get(key)
    ]  # fmt: skip
    if old.source.get("rules") != new.source.get("rules"):
        notes.append("The two were judged by other rules, so that their failures are not counted alike.")
    margins = {key: (old.margins.get(key), new.margins.get(key)) for key in sorted({*old.margins, *new.margins})}
    notes += [f"The margin {key} is {b}, was {a}." for key, (a, b) in margins.items() if a != b]
    return Drift(
        tuple(v.label for key, v in now.items() if key not in before),
        tuple(v.label for key, v in before.items() if key not in now),
        _compared([(before[key], variant) for key, variant in now.items() if key in before]),
        tuple(notes),
    )


def _compared(pairs: Sequence[tuple[BaselineVariant, BaselineVariant]]) -> tuple[Moved, ...]:
    rates = [boschloo(_count(old.runs), _count(new.runs)) for old, new in pairs]
    ranks = [_rank_p(_scores(old.runs), _scores(new.runs)) for old, new in pairs]
    raised = holm([*rates, *ranks], [1.0] * (2 * len(pairs))) if pairs else []
    return tuple(
        Moved(
            new.label, (_count(old.runs)[0], _count(new.runs)[0]), (len(old.runs), len(new.runs)),
            (float(iqm(_scores(old.runs))), float(iqm(_scores(new.runs)))), raised[at], raised[at + len(pairs)],
            same(old.runs, new.runs),
        )
        for at, (old, new) in enumerate(pairs)
    )  # fmt: skip


def _count(runs: Sequence[SeedResult]) -> tuple[int, int]:
    return sum(run.failed for run in runs), len(runs)


def _scores(runs: Sequence[SeedResult]) -> Values:
    return np.array([run.score for run in runs], dtype=float)


def _rank_p(one: Values, other: Values) -> float:
    if np.ptp(np.concatenate([one, other])) == 0:
        return 1.0
    return float(mannwhitneyu(one, other, alternative="two-sided").pvalue)


def same(one: Sequence[SeedResult], other: Sequence[SeedResult]) -> bool:
    """Tell whether the seeds that both have, of which there is one at least, give the same results."""
    before = {run.seed: run for run in one}
    shared = [(before[run.seed], run) for run in other if run.seed in before]
    return bool(shared) and all(a == b for a, b in shared)


# ------------------------------------------------------------------------------------------ over a history


@dataclass(frozen=True)
class ChangePoint:
    """From the state `at` of a history on a variant is another than in those before it.

    p is corrected for all splits and both measures. failures, seeds, scores: since the last change before, and from
    then on to the next one.
    """

    at: int
    measure: str
    p: float
    failures: tuple[int, int]
    seeds: tuple[int, int]
    scores: tuple[float, float]

    @property
    def words(self) -> str:
        """The change in words and numbers."""
        counts = " to ".join(f"{lost} of {runs}" for lost, runs in zip(self.failures, self.seeds, strict=True))
        return (
            f"failures {counts}, score {self.scores[0]:.2f} to {self.scores[1]:.2f} ({self.measure}, p = {self.p:.2g})"
        )


def epochs(history: Sequence[Sequence[SeedResult]]) -> list[int]:
    """Return where in a history of one variant its results are other than just before, 0 first.

    What gives the same results seed by seed is one state, however often it was written down: counted as several, it
    would be taken for evidence.
    """
    return [at for at, runs in enumerate(history) if not at or not same(history[at - 1], runs)]


def change_points(history: Sequence[Sequence[SeedResult]], alpha: float = ALPHA) -> list[ChangePoint]:
    """Return since when, by places in a history of one variant, it is another than before; none where nothing is shown.

    Seeds count as independent within a state and over states; a seed that is hard in all of them makes the answer more
    careful. In a history without a change there is a change point with a probability of at most alpha.

    >>> good, bad = ([SeedResult(s, "", lost, 1.0 - lost) for s in range(20)] for lost in (False, True))
    >>> shifted = [SeedResult(s, "", False, 0.9) for s in range(20)]
    >>> [point.at for point in change_points([good, shifted, shifted, bad])]
    [1, 3]
    """
    starts = epochs(history)
    states = [history[at] for at in starts]
    tests = 2 * (len(states) - 1)
    found = sorted(_splits(states, (0, len(states)), tests, alpha))
    ends = [*(split for split, *_ in found[1:]), len(states)]
    begins = [0, *(split for split, *_ in found)]
    return [
        _point(starts[split], measure, p, _pooled(states[begin:split]), _pooled(states[split:end]))
        for (split, measure, p), begin, end in zip(found, begins, ends, strict=False)
    ]


def _splits(
    states: Sequence[Sequence[SeedResult]], within: tuple[int, int], tests: int, alpha: float
) -> Iterator[tuple[int, str, float]]:
    """Yield the best split of the states from the first to before the end of `within`, what shows it and its p, and
    those of its two parts; nothing where none is shown."""
    first, end = within
    found = [
        (p, split, measure)
        for split in range(first + 1, end)
        for measure, p in _tests(_pooled(states[first:split]), _pooled(states[split:end])).items()
    ]
    if not found:
        return
    p, split, measure = min(found)
    if p * tests <= alpha:
        yield split, measure, p * tests
        yield from _splits(states, (first, split), tests, alpha)
        yield from _splits(states, (split, end), tests, alpha)


def _tests(one: Sequence[SeedResult], other: Sequence[SeedResult]) -> dict[str, float]:
    """Return the two-sided p-values of both measures between two sets of runs."""
    table: Any = [[lost, runs - lost] for lost, runs in (_count(one), _count(other))]
    return {"failure rate": float(fisher_exact(table).pvalue), "score": _rank_p(_scores(one), _scores(other))}


def _pooled(states: Sequence[Sequence[SeedResult]]) -> list[SeedResult]:
    return [run for runs in states for run in runs]


def _point(at: int, measure: str, p: float, before: Sequence[SeedResult], now: Sequence[SeedResult]) -> ChangePoint:
    (lost, runs), (lost_now, runs_now) = _count(before), _count(now)
    scores = float(iqm(_scores(before))), float(iqm(_scores(now)))
    return ChangePoint(at, measure, p, (lost, lost_now), (runs, runs_now), scores)
