"""A run's probes as the rules read them: levels of measures, as shares of what a perfect sampler scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ganbench.analysis.verdicts.levels import ASSUMED, Deviation, held, levels, missed_by_chance, of_share, of_size
from ganbench.analysis.verdicts.records import limits
from ganbench.analysis.verdicts.view import View
from ganbench.arrays import Flags, Values
from ganbench.errors import unknown


class Measured:
    """The finite probes of one run, without what chance does to them: what facts and rules are made of."""

    def __init__(
        self,
        columns: Mapping[str, Values],
        seen: View,
        oracle: Mapping[str, float],
        modes: int | None,
        holes: Sequence[int] = (),
    ) -> None:
        self.columns, self.view, self.oracle = columns, seen, oracle
        self._limits = limits()
        self.steps = columns["step"]
        self.holes = tuple(holes)
        # an untrained generator's first probe can look good by accident: constant samples have precision 1
        self.trained: Flags = self.steps > 0 if len(self.steps) > 1 else np.ones(len(self.steps), dtype=bool)
        self.modes = self._modes(modes)
        self.true_shares = self._true_shares()
        self.samples = self._samples()
        self.quality = self.relative(seen.quality)
        self.shares = self._shares()
        self.count = self._count()
        self.diversity = self._least(seen.diversity)
        self.missable = self._missable()

    def limit(self, name: str) -> float:
        """Return a threshold's value; UserError where no verdict has one of that name."""
        if name not in self._limits:
            raise unknown("threshold of a verdict", name, self._limits)
        return self._limits[name]

    def has(self, measure: str) -> bool:
        """Tell whether a measure has any value."""
        return measure in self.columns

    def relative(self, measure: str) -> Values:
        """Return a measure's level as a share of the oracle's, 0 where it is missing."""
        perfect = self.oracle.get(measure, 1.0)
        return self._level(measure) / (perfect if perfect > 0 else 1.0)

    def _level(self, measure: str, deviation: Deviation | None = None) -> Values:
        """Return a measure's level [probes], by default that of a share of the samples, 0 where it is missing."""
        if deviation is None and self.samples is not None:
            deviation = of_share(self.samples)
        values = np.nan_to_num(self.columns[measure])[:, None]
        return levels(values, deviation, self.limit("apart"), first=self._first)[:, 0]

    @property
    def raw(self) -> Values:
        """Quality as a share of the oracle's at each probe by itself, with its chance [probes]."""
        return self.columns[self.view.quality] / (self.oracle.get(self.view.quality, 1.0) or 1.0)

    @property
    def _first(self) -> int:
        """The first probe of a generator that has been trained, which shares no level with the one before."""
        return int(np.argmax(self.trained)) if len(self.trained) else 0

    def _held(self, values: Values, name: str, *, enter: float = 0.0) -> Flags:
        """Where values are at a bar, once they were `enter` above it; they leave below it, or the margin under it."""
        bar = self.limit(name)
        return held(self.trained & (values >= bar + enter), values >= (bar if enter else bar - self.limit("margin")))

    def _low(self, values: Values, name: str) -> Flags:
        """Where values are no more than a threshold, and after that no more than the margin above it."""
        most = self.limit(name)
        return held(self.trained & (values <= most), values <= most + min(self.limit("margin"), most / 2))

    def _modes(self, modes: int | None) -> int | None:
        if self.view.count is None:
            return None
        known = modes if modes is not None else self.oracle.get(self.view.count)
        return None if known is None or math.isnan(known) else math.ceil(known)

    def _true_shares(self) -> Values:
        """What a perfect sampler puts on each mode [K]; equal where the oracle does not tell."""
        total = self.modes or 0
        return np.array([self.oracle.get(f"{self.view.shares}.{place}", 1 / total) for place in range(total)])

    def _samples(self) -> int | None:
        """How many samples a probe has: a perfect sampler's histogram diverges by (K - 1) / 2N, so the oracle tells.

        None where nothing is sampled, as in a game in closed form.
        """
        divergence = self.oracle.get(self.view.divergence or "", 0.0)
        if divergence > 0 and self.modes and self.modes > 1:
            return max(1, round((self.modes - 1) / (2 * divergence)))
        return ASSUMED if self.view.count or self.view.diversity else None

    def _missable(self) -> Values:
        """How many modes may be missed by chance at each probe: more with few samples, and with bad ones."""
        if not self.oracle.get(self.view.divergence or "", 0.0) > 0 or not self.modes or self.modes < 2:
            return np.zeros(len(self.steps))
        assert self.samples is not None
        shares = tuple(self.true_shares.tolist())
        quality = np.floor(np.clip(self.quality, self.limit("decent"), 1.0) * 20) / 20
        return np.array([missed_by_chance(shares, self.samples, one) for one in quality.tolist()], dtype=float)

    def _shares(self) -> Values | None:
        """The level of each mode's share of samples [probes, K]; None where they are not measured."""
        names = [f"{self.view.shares}.{place}" for place in range(self.modes or 0)]
        if not names or not all(name in self.columns for name in names):
            return None
        # samples that are not finite lie in no mode
        values = np.nan_to_num(np.stack([self.columns[name] for name in names], axis=1))
        deviation = None if self.samples is None else of_share(self.samples)
        return levels(values, deviation, self.limit("apart"), first=self._first)

    def _count(self) -> Values:
        """How many modes are held [probes]: by their shares' levels, otherwise as they were counted."""
        if self.modes is None or self.view.count is None:
            return np.zeros(len(self.steps))
        if self.shares is not None:
            return (self.shares >= self.limit("held") * self.true_shares).sum(1).astype(float)
        # samples that are not finite cover no mode
        return np.nan_to_num(self.columns[self.view.count])

    def _least(self, measures: tuple[str, ...]) -> Values:
        """The lowest of some relative measures: of coverage and recall, each is blind to what the other sees."""
        shares = [self.relative(name) for name in measures if self.has(name)]
        return np.minimum.reduce(shares) if shares else np.ones(len(self.steps))

    def _size(self, measure: str | None) -> Values | None:
        """Return the level of a size over the oracle's [probes]; None where it was never measured."""
        if measure is None or measure not in self.columns:
            return None
        perfect = self.oracle.get(measure, 1.0)
        perfect = perfect if perfect > 0 else 1.0
        # what cannot be told is as it should be
        values = np.nan_to_num(self.columns[measure], nan=perfect)[:, None]
        deviation = of_size(self.samples or ASSUMED)
        return levels(values, deviation, self.limit("apart"), first=self._first)[:, 0] / perfect
