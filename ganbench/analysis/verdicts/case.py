"""What a run's probes say, as flags over time: the facts that the rules combine.

Every threshold is a share of what a perfect sampler scores at the same sample size. The facts look at quality, modes
and diversity, never at the Frechet distance alone: that is blind to symmetric mode dropping.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ganbench.analysis.verdicts.levels import (
    ASSUMED,
    held,
    of_divergence,
)
from ganbench.analysis.verdicts.measured import Measured
from ganbench.analysis.verdicts.movements import Movement, goes_on, moved, swings, two_sets
from ganbench.analysis.verdicts.view import View
from ganbench.arrays import Flags, Values


@dataclass(frozen=True)
class Held:
    """That a verdict holds: since which step (None: never did, or no step can be told), and which movement it is."""

    onset: int | None = None
    movement: Movement | None = None


class Case(Measured):
    """The finite probes of one run as flags over time [probes], which the rules combine.

    `columns` are the probes' measures, sorted by step and free of NaN in the view's quality; `holes` the steps of the
    probes that are left out for it. The rules' thresholds are told by `limit`. Measures are read by their levels, and a
    state is left by `margin` beyond where it is entered: a generator that does not change has one verdict.
    """

    def __init__(
        self,
        columns: Mapping[str, Values],
        seen: View,
        oracle: Mapping[str, float],
        modes: int | None,
        holes: Sequence[int] = (),
    ) -> None:
        super().__init__(columns, seen, oracle, modes, holes)
        self.decent = self._held(self.quality, "decent", enter=self.limit("margin")) & ~self.hollow
        self.learned: Flags = np.logical_or.accumulate(self.decent & self.trained)

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
        share = np.divide(self._level(name) - chance, beyond, out=np.ones(len(beyond)), where=beyond > 0)
        return np.nan_to_num(share)

    @property
    def disobedient(self) -> Flags:
        """Decent samples of enough modes, hardly more often than by chance of the one that their label asks for."""
        return self._low(self.obedience, "ignored") & self.decent & self.learned & ~self.narrow

    @cached_property
    def complete(self) -> Flags:
        """Every mode is there, or missed by no more than chance, which does not miss the same one again and again."""
        if self.modes is None:
            return np.ones(len(self.steps), dtype=bool)
        enough: Flags = self.count >= self.modes - self.missable
        shares, row = self.shares, int(self.limit("missed"))
        if shares is not None and self.missable.any() and len(shares) >= row:
            absent = shares < self.limit("held") * self.true_shares
            windows = np.asarray(np.lib.stride_tricks.sliding_window_view(absent, row, axis=0).all(-1))
            enough = enough & (np.convolve(windows.any(axis=-1), np.ones(row)) == 0)
        return enough

    @cached_property
    def good(self) -> Flags:
        """Complete, at the quality bar, diverse and obedient, once training has begun."""
        diverse, obedient = self._held(self.diversity, "diversity_bar"), self._held(self.obedience, "label_bar")
        return self.complete & self._held(self.quality, self.view.bar) & diverse & obedient & self.trained

    @cached_property
    def spread(self) -> Values:
        """How far samples lie apart among themselves, over the oracle's [probes]; 1 where it was not measured."""
        spread = self._size(self.view.spread)
        return np.ones(len(self.steps)) if spread is None else spread

    @cached_property
    def constant(self) -> Flags:
        """All samples are as good as one, wherever it lies: they do not differ, or no longer as they once did.

        An untrained generator's samples may hardly differ either: these have never done so.
        """
        once = np.maximum.accumulate(self.spread)
        lost = self._low(self.spread, "little_spread") & self._low(self.spread / np.maximum(once, 1e-12), "spread_lost")
        return self.trained & (self._low(self.spread, "no_spread") | lost)

    @cached_property
    def tight(self) -> Flags:
        """The modes are much narrower than the data's."""
        width = self._size(self.view.width)
        return self._low(width, "tight") if width is not None else np.zeros_like(self.trained)

    @cached_property
    def replayed(self) -> Flags:
        """Most samples are the same as others, and not for being all as good as one on each mode."""
        if self.view.repeats is None or self.view.repeats not in self.columns:
            return np.zeros_like(self.trained)
        usual = self.oracle.get(self.view.repeats, 0.0)
        share = (self._level(self.view.repeats) - usual) / max(1 - usual, 0.1)
        return self._held(share, "replayed") & ~self.tight & ~self.constant

    @cached_property
    def uneven(self) -> Flags:
        """The modes' histogram is off by more than chance explains, whatever modes there are."""
        name = self.view.divergence
        if name is None or name not in self.columns or not self.modes or self.modes < 2:
            return np.zeros_like(self.trained)
        beyond = self._level(name, of_divergence(self.samples or ASSUMED, self.modes)) - self.oracle.get(name, 0.0)
        least = self.limit("uneven")
        return held(beyond >= least, beyond >= 0.8 * least)

    @cached_property
    def _whole(self) -> Flags:
        """Much of the data is covered, where that is measured: samples of few modes cannot do it."""
        if self.view.covering is None or self.view.covering not in self.columns:
            return np.zeros_like(self.trained)
        return self._held(self.relative(self.view.covering), "diversity_bar")

    @cached_property
    def hollow(self) -> Flags:
        """Samples amid the data that are none: they cover much of it, and yet hardly differ, or lie on no mode.

        In high dimension noise near the mean has the precision and the coverage of good samples.
        """
        measured = self.view.spread in self.columns
        close = self.spread < self.limit("hollow") if measured else np.ones_like(self.trained)
        if self.modes is not None and self.view.diversity:
            return self._whole & close & (self.count <= self._few) & ~self.complete
        return self._whole & close & self._low(self._least(self.view.narrow), "no_diversity")

    @property
    def _few(self) -> float:
        """The most modes that are a collapse."""
        return max(1.0, (self.modes or 0) * self.limit("few_modes"))

    @cached_property
    def narrow(self) -> Flags:
        """On at most a quarter of the modes, with almost no diversity, or all samples as good as one.

        Bad samples are a collapse only where they hardly differ: noise, and a displaced problem, have few modes too.
        """
        few = self._low(self._least(self.view.narrow), "no_diversity")
        if self.modes is not None:
            few = few | ((self.count <= self._few) & ~self.complete)
        return (few & self.decent & self.learned & ~self._whole) | self.constant

    def early(self, measure: str) -> Values:
        """Return a measure's finite values at the first three probes: what is not finite is no scale."""
        first: Values = self.columns[measure][:3]
        return first[np.isfinite(first)]

    @property
    def vanished(self) -> Flags:
        """Bad samples, while the generator's gradient is gone, or never was there."""
        gone: Flags = np.zeros(len(self.steps), dtype=bool)
        if self.view.saturation in self.columns:
            gone |= self._held(np.nan_to_num(self.columns[self.view.saturation]), "saturated")
        if self.view.gradient in self.columns:
            norm = self.columns[self.view.gradient]
            early = float(self.early(self.view.gradient).max(initial=0.0))
            least = max(self.limit("gradient_gone") * early, self.limit("no_gradient"))
            gone |= held(norm < least, norm < 2 * least)
        return gone & ~self.decent

    @cached_property
    def dropping(self) -> Flags:
        """Decent samples, of more than a few but not of all modes."""
        partial = ~self.complete if self.modes is not None else self._low(self.diversity, "few_diversity")
        return partial & self.decent & self.learned & ~self.narrow

    @property
    def degraded(self) -> Flags:
        """Bad samples after decent ones."""
        return self.learned & ~self.decent & ~self.narrow

    @property
    def lost(self) -> Flags:
        """At most half of the modes or of the diversity is left of what had covered most of the problem."""
        best = np.maximum.accumulate(np.where(self.decent & self.trained, self.breadth, 0.0))
        fallen = self._low(np.divide(self.breadth, best, out=np.ones(len(best)), where=best > 0), "lost")
        return (best >= self.limit("most_modes")) & fallen & (self.narrow | self.dropping)

    @cached_property
    def rise(self) -> float:
        """How much of the oracle's quality was gained over the last quarter of training, where it rises steadily: 0
        where it fell, at any time in the last half, by more than half of that."""
        quality, end = np.clip(self.raw, 0.0, 1.0), float(self.steps[-1])
        quarter, half = (int(np.searchsorted(self.steps, share * end, side="right")) - 1 for share in (0.75, 0.5))
        # on one level nothing rises but by chance
        if quarter < 0 or not self.trained[quarter] or self.quality[-1] <= self.quality[quarter]:
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
            if len(turns) >= self.limit("swings") and goes_on(turns, len(values)):
                rest = values[turns[0] :]
                found.append(Movement(turns[0], len(turns), float(rest.min()), float(rest.max()), name))
        return min(found, key=lambda movement: movement.start) if found else None

    @cached_property
    def moving(self) -> tuple[Movement, bool] | None:
        """Return the rotation over modes that goes on until the end, and whether it is between two sets only."""
        # where nearly all samples are bad, the few good ones are on some mode by chance
        seen = np.flatnonzero(self.learned & (self.quality >= self.limit("visible")))
        shares = self.shares
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
        moves = seen[start:][moved(histogram, same)].tolist()
        if len(moves) < least or not goes_on([int(seen[start]), *moves], len(self.steps)):
            return None
        movement = Movement(int(seen[start]), len(moves), float(single[start]), float(union[start]))
        return movement, two_sets(histogram, same, least)


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
