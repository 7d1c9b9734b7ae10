"""What a run's probes say, as flags over time: the facts that the rules combine.

Every threshold is a share of what a perfect sampler scores at the same sample size. The facts look at quality, modes
and diversity, never at the Frechet distance alone: that is blind to symmetric mode dropping.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, pdtr

from ganbench.analysis.verdicts.records import limit, limits
from ganbench.analysis.verdicts.view import View
from ganbench.arrays import Flags, Values
from ganbench.errors import unknown


def since(condition: Flags, steps: NDArray[np.generic]) -> int | None:
    """Return the first step from which the condition [probes] holds until the end; None where it ends false."""
    if condition.size == 0 or not condition[-1]:
        return None
    false = np.flatnonzero(~condition)
    return int(steps[false[-1] + 1 if false.size else 0])


@lru_cache(maxsize=1024)
def _missed_by_chance(shares: tuple[float, ...], samples: int, quality: float) -> int:
    """Return how many modes a generator that has all of them may miss at a probe, by chance alone.

    shares: each mode's share of a perfect sampler's good samples; quality: that of the generator, relative to it.
    """
    true = np.array(shares)
    least = np.ceil(limit("held") * true / true.sum() * samples)
    expected = float(bdtr(least - 1, samples, np.minimum(true * quality, 1.0)).sum())
    chance = limit("chance")
    # no more than there are, and an end where the numbers of a damaged record make no sense
    return next((k for k in range(len(shares)) if pdtr(k, expected) >= chance), len(shares))


@dataclass(frozen=True)
class Movement:
    """Something that goes on until the end: since which probe, how many moves, and between which values or sets."""

    start: int
    moves: int
    low: float
    high: float
    what: str = ""


@dataclass(frozen=True)
class Held:
    """That a verdict holds: since which step (None: never did, or no step can be told), and which movement it is."""

    onset: int | None = None
    movement: Movement | None = None


class Case:
    """The finite probes of one run as flags over time [probes], which the rules combine.

    `columns` are the probes' measures, sorted by step and free of NaN in the view's quality. The rules' thresholds are
    told by `limit`.
    """

    def __init__(
        self, columns: Mapping[str, Values], seen: View, oracle: Mapping[str, float], modes: int | None
    ) -> None:
        self.columns, self.view, self.oracle = columns, seen, oracle
        self._limits = limits()
        self.steps = columns["step"]
        self.quality = self.relative(seen.quality)
        # an untrained generator's first probe can look good by accident: constant samples have precision 1
        self.trained: Flags = self.steps > 0 if len(self.steps) > 1 else np.ones(len(self.steps), dtype=bool)
        self.decent: Flags = self.quality >= self.limit("decent")
        self.learned: Flags = np.logical_or.accumulate(self.decent & self.trained)
        self.modes = self._modes(modes)
        self.true_shares = self._true_shares()
        self.missable = self._missable()
        self.count: Values = np.zeros(len(self.steps))
        if self.modes is not None and seen.count is not None:
            # samples that are not finite cover no mode
            self.count = np.nan_to_num(columns[seen.count])
        self.diversity = self._least(seen.diversity)

    def limit(self, name: str) -> float:
        """Return a threshold's value; UserError where no verdict has one of that name."""
        if name not in self._limits:
            raise unknown("threshold of a verdict", name, self._limits)
        return self._limits[name]

    def has(self, measure: str) -> bool:
        """Tell whether a measure has any value."""
        return measure in self.columns

    def relative(self, measure: str) -> Values:
        """Return a measure as a share of the oracle's, 0 where it is missing."""
        perfect = self.oracle.get(measure, 1.0)
        return np.nan_to_num(self.columns[measure] / (perfect if perfect > 0 else 1.0))

    def _modes(self, modes: int | None) -> int | None:
        if self.view.count is None:
            return None
        known = modes if modes is not None else self.oracle.get(self.view.count)
        return None if known is None or math.isnan(known) else math.ceil(known)

    def _true_shares(self) -> Values:
        """What a perfect sampler puts on each mode [K]; equal where the oracle does not tell."""
        total = self.modes or 0
        return np.array([self.oracle.get(f"{self.view.shares}.{place}", 1 / total) for place in range(total)])

    def _missable(self) -> Values:
        """How many modes may be missed by chance at each probe: more with few samples, and with bad ones."""
        divergence = self.oracle.get(self.view.divergence or "", 0.0)
        if not divergence > 0 or not self.modes or self.modes < 2:
            return np.zeros(len(self.steps))
        # a perfect sampler's histogram diverges by (K - 1) / 2N: so the oracle tells the number of samples
        samples = max(1, round((self.modes - 1) / (2 * divergence)))
        shares = tuple(self.true_shares.tolist())
        quality = np.floor(np.clip(self.quality, self.limit("decent"), 1.0) * 20) / 20
        return np.array([_missed_by_chance(shares, samples, one) for one in quality.tolist()], dtype=float)

    def _least(self, measures: tuple[str, ...]) -> Values:
        """The lowest of some relative measures: of coverage and recall, each is blind to what the other sees."""
        shares = [self.relative(name) for name in measures if self.has(name)]
        return np.minimum.reduce(shares) if shares else np.ones(len(self.steps))

    @cached_property
    def breadth(self) -> Values:
        """How much of the problem the samples cover [probes], in [0, 1]: modes held of all, else diversity."""
        return np.clip(self.count / self.modes if self.modes else self.diversity, 0.0, 1.0)

    @cached_property
    def obedience(self) -> Values:
        """How much more often than by chance samples are what their label asks for [probes], 1 where none are given.

        1: as often as the oracle's, had it only the modes that are covered; 0: as often as those of a generator that
        has every mode at its weight, whatever the label.
        """
        name, chance = self.view.fidelity, float((self.true_shares**2).sum())
        if name is None or self.modes is None:
            return np.ones(len(self.steps))
        beyond = self.oracle.get(name, 1.0) * self.breadth - chance
        share = np.divide(self.columns[name] - chance, beyond, out=np.ones(len(beyond)), where=beyond > 0)
        return np.nan_to_num(share)

    @property
    def disobedient(self) -> Flags:
        """Decent samples of enough modes, hardly more often than by chance of the one that their label asks for."""
        return (self.obedience <= self.limit("ignored")) & self.decent & self.learned & ~self.narrow

    @cached_property
    def complete(self) -> Flags:
        """Every mode is there, or missed by no more than chance, which does not miss the same one again and again."""
        if self.modes is None:
            return np.ones(len(self.steps), dtype=bool)
        enough: Flags = self.count >= self.modes - self.missable
        shares, row = self._shares(), int(self.limit("missed"))
        if shares is not None and self.missable.any() and len(shares) >= row:
            absent = shares < self.limit("held") * self.true_shares
            windows = np.asarray(np.lib.stride_tricks.sliding_window_view(absent, row, axis=0).all(-1))
            enough = enough & (np.convolve(windows.any(axis=-1), np.ones(row)) == 0)
        return enough

    @property
    def good(self) -> Flags:
        """Complete, at the quality bar, diverse and obedient, once training has begun."""
        enough = (self.diversity >= self.limit("diversity_bar")) & (self.obedience >= self.limit("label_bar"))
        return self.complete & (self.quality >= self.limit(self.view.bar)) & enough & self.trained

    @cached_property
    def narrow(self) -> Flags:
        """On at most a quarter of the modes, or with almost no diversity.

        Noise is not a collapse: what is lost only because no sample is good does not count. In few dimensions recall
        tells the two apart, for noise does not lower it.
        """
        few = self._least(self.view.narrow) <= self.limit("no_diversity")
        if self.view.diversity:
            few = few & self.decent
        if self.modes is not None:
            allowed = max(1.0, self.modes * self.limit("few_modes"))
            few = few | (self.decent & (self.count <= allowed) & ~self.complete)
        return few & self.learned

    @property
    def vanished(self) -> Flags:
        """Bad samples, while the generator's gradient is gone."""
        gone: Flags = np.zeros(len(self.steps), dtype=bool)
        if self.view.saturation in self.columns:
            gone |= self.columns[self.view.saturation] >= self.limit("saturated")
        if self.view.gradient in self.columns:
            norm = self.columns[self.view.gradient]
            gone |= norm < self.limit("gradient_gone") * np.nanmax(np.append(norm[:3], 0.0))
        return gone & ~self.decent

    @cached_property
    def dropping(self) -> Flags:
        """Decent samples, of more than a few but not of all modes."""
        partial = ~self.complete if self.modes is not None else self.diversity <= self.limit("few_diversity")
        return partial & self.decent & self.learned & ~self.narrow

    @property
    def degraded(self) -> Flags:
        """Bad samples after decent ones."""
        return self.learned & ~self.decent & ~self.narrow

    @property
    def lost(self) -> Flags:
        """At most half of the modes or of the diversity is left of what had covered most of the problem."""
        best = np.maximum.accumulate(np.where(self.decent & self.trained, self.breadth, 0.0))
        fallen = self.breadth <= self.limit("lost") * best
        return (best >= self.limit("most_modes")) & fallen & (self.narrow | self.dropping)

    @cached_property
    def rise(self) -> float:
        """How much of the oracle's quality was gained over the last quarter of training, where it rises steadily: 0
        where it fell, at any time in the last half, by more than half of that."""
        quality, end = np.clip(self.quality, 0.0, 1.0), float(self.steps[-1])
        quarter, half = (int(np.searchsorted(self.steps, share * end, side="right")) - 1 for share in (0.75, 0.5))
        if quarter < 0 or not self.trained[quarter]:
            return 0.0
        gained = float(quality[-1] - quality[quarter])
        recent = quality[max(half, 0) :]
        fall = float((np.maximum.accumulate(recent) - recent).max())
        return gained if fall <= gained / 2 else 0.0

    @property
    def still_rising(self) -> bool:
        """Whether quality still rises at the end, by more than chance."""
        return self.rise >= self.limit("rise")

    def swinging(self) -> Movement | None:
        """Return the swings of quality or of breadth that go on until the end; None where there are none."""
        found = []
        # among bad samples the modes are a matter of chance, and it is the quality that swings
        places = np.maximum.accumulate(np.where(self.decent & self.trained, np.arange(len(self.steps)), 0))
        quality = np.where(self.trained, np.clip(self.quality, 0.0, 1.0), 0.0)
        for name, values in (
            (self.view.quality, quality),
            ("", np.where(self.learned, self.breadth[places], 0.0)),
        ):
            turns = swings(values, self.limit("swing"))
            # before the first peak a run is learning
            turns = turns[1:] if turns and values[turns[0]] > values[0] else turns
            if len(turns) >= self.limit("swings") and _goes_on(turns, len(values)):
                rest = values[turns[0] :]
                found.append(Movement(turns[0], len(turns), float(rest.min()), float(rest.max()), name))
        return min(found, key=lambda movement: movement.start) if found else None

    @cached_property
    def moving(self) -> tuple[Movement, bool] | None:
        """Return the rotation over modes that goes on until the end, and whether it is between two sets only."""
        # where nearly all samples are bad, the few good ones are on some mode by chance
        seen = np.flatnonzero(self.learned & (self.quality >= self.limit("visible")))
        shares = self._shares()
        if shares is None or not len(seen):
            return None
        shares, total = shares[seen], shares.shape[1]
        shares = shares / self.quality[seen, None]
        held = shares >= self.limit("held") * self.true_shares
        union = np.logical_or.accumulate(held[::-1])[::-1].sum(1)
        single = np.maximum.accumulate(held[::-1].sum(1))[::-1]
        more = np.minimum(single, math.ceil(self.limit("rotation") * total) + self.missable[seen].max())
        starts = np.flatnonzero((union - single >= more) & held.any(1))
        if not starts.size:
            return None
        start = int(starts[0])
        histogram = shares[start:] / np.maximum(shares[start:].sum(1, keepdims=True), 1e-12)
        same, least = self.limit("same_histogram"), self.limit("moves")
        moves = seen[start:][_moves(histogram, same)].tolist()
        if len(moves) < least or not _goes_on([int(seen[start]), *moves], len(self.steps)):
            return None
        movement = Movement(int(seen[start]), len(moves), float(single[start]), float(union[start]))
        return movement, _two_sets(histogram, same, least)

    def _shares(self) -> Values | None:
        names = [f"{self.view.shares}.{place}" for place in range(self.modes or 0)]
        if not names or not all(name in self.columns for name in names):
            return None
        # samples that are not finite lie in no mode
        return np.nan_to_num(np.stack([self.columns[name] for name in names], axis=1))


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what its probes say: None where no quality was measured.

    lost: whether it left the finite numbers, at which step; reason: why the program or the machine failed, None where
    neither did.
    """

    case: Case | None = None
    lost: bool = False
    step: int | None = None
    reason: str | None = None


def swings(values: Values, least: float) -> list[int]:
    """Return the probes at which a fall or a rise by at least `least` since the last extreme is first seen.

    Falls and rises take turns: one that goes on is one, however long it takes.
    """
    turns: list[int] = []
    low = high = float(values[0]) if len(values) else 0.0
    direction = 0
    for place, value in enumerate(values.tolist()):
        low, high = min(low, value), max(high, value)
        if direction <= 0 and value - low >= least:
            turns, direction, high = [*turns, place], 1, value
        elif direction >= 0 and high - value >= least:
            turns, direction, low = [*turns, place], -1, value
    return turns


def _goes_on(moves: list[int], probes: int) -> bool:
    """Tell whether the quiet after the last move is no longer than the longest between two moves."""
    return probes - 1 - moves[-1] <= max(b - a for a, b in itertools.pairwise(moves))


def _moves(histogram: Values, same: float) -> list[int]:
    """Return the probes at which the histogram of modes [probes, K] is no longer the one after the last move."""
    moves, anchor = [], histogram[0]
    for place, one in enumerate(histogram):
        if _apart(one, anchor) > same:
            moves.append(place)
            anchor = one
    return moves


def _two_sets(histogram: Values, same: float, least: float) -> bool:
    """Tell whether the histograms of modes [probes, K] go back and forth between two, at least so many times."""
    last = _apart(histogram, histogram[-1])
    other = _apart(histogram, histogram[np.argmax(last)])
    back = int(np.count_nonzero(np.diff(last < other)))
    return back >= least and bool((np.minimum(last, other) <= same).all())


def _apart(histogram: Values, one: Values) -> Values:
    """Return the total variation distance of histograms [..., K] from one [K]."""
    distance: Values = 0.5 * np.abs(histogram - one).sum(-1)
    return distance
