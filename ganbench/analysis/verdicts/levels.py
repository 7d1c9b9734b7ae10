"""What chance does to a probe, and what is left of a measure without it: the level on which its probes lie.

A measure of n samples is never twice the same. Read probe by probe, a generator that does not change is on both sides
of any bar sooner or later; read by levels, it is on one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtri, ndtr, pdtr

from ganbench.analysis.verdicts.records import limit
from ganbench.arrays import Flags, Values

ASSUMED = 500
"""Samples a probe where the oracle does not tell how many there were."""


def since(condition: Flags, steps: NDArray[np.generic]) -> int | None:
    """Return the first step from which the condition [probes] holds until the end; None where it ends false."""
    if condition.size == 0 or not condition[-1]:
        return None
    false = np.flatnonzero(~condition)
    return int(steps[false[-1] + 1 if false.size else 0])


def held(enters: Flags, stays: Flags) -> Flags:
    """Return where a state holds [probes]: from where it enters on, for as long as it stays."""
    places = np.arange(len(enters))
    entered = np.maximum.accumulate(np.where(enters, places, -1))
    left = np.maximum.accumulate(np.where(enters | stays, -1, places))
    found: Flags = entered > left
    return found


Deviation = Callable[[Values], Values]
"""The standard deviation of one probe of a measure, by what it is on the average."""


def of_share(samples: int) -> Deviation:
    """Return the deviation of a share of so many samples."""

    def deviation(mean: Values) -> Values:
        share = np.minimum(np.maximum(mean, 0.0), 1.0)
        return np.sqrt(np.maximum(share * (1 - share), 1 / samples) / samples)

    return deviation


def of_size(samples: int) -> Deviation:
    """Return the deviation of a mean size of so many samples, which vary by as much as the size itself."""
    return lambda mean: np.abs(mean) / math.sqrt(samples)


def of_divergence(samples: int, modes: int) -> Deviation:
    """Return the deviation of the divergence of a histogram of so many samples (chi squared, to the second order)."""
    chance = math.sqrt((modes - 1) / 2) / samples
    return lambda mean: chance + np.sqrt(2 * np.maximum(mean, 0.0) / samples)


def levels(values: Values, deviation: Deviation | None, apart: float, *, first: int = 0) -> Values:
    """Return measures [probes, K] as levels: the means over probes that differ by no more than chance, jointly.

    A stretch of probes is parted where the means on both sides are furthest apart, for as long as that is more than
    `apart` deviations (binary segmentation, Scott & Knott 1974): by one of the measures, corrected for their number, or
    by the sum of all their squares. first: the probe before which nothing is averaged. Where there is no chance, values
    stay as they are.
    """
    found, (most_one, most_all) = values.astype(float), _most(values.shape[1], apart)
    stretches = [] if deviation is None else [(first, len(values))]
    while stretches and deviation is not None:
        start, end = stretches.pop()
        part = values[start:end]
        if len(part) < 2 or not (part != part[0]).any():
            continue
        mean, (left, weight) = part.mean(0), _cuts(len(part))
        # what the rest has on the average follows from what is left of it
        gaps = (part.cumsum(0)[:-1] / left - mean) * weight
        scaled = np.abs(gaps) / np.maximum(deviation(mean), 1e-12)
        furthest = np.maximum(scaled.max(1) / most_one, np.sqrt(np.square(scaled).sum(1) / most_all))
        at = int(np.argmax(furthest))
        if furthest[at] > 1:
            stretches += [(start, start + at + 1), (start + at + 1, end)]
        else:
            found[start:end] = mean
    return found


@lru_cache(maxsize=1024)
def _cuts(count: int) -> tuple[Values, Values]:
    """Return how many of so many probes are before each cut [count - 1, 1], and what a gap there weighs."""
    left = np.arange(1.0, count)[:, None]
    return left, np.sqrt(left * count / (count - left))


@lru_cache(maxsize=64)
def _most(count: int, apart: float) -> tuple[float, float]:
    """Return how many deviations one of so many measures may be apart by chance, and all of them squared and summed."""
    return math.sqrt(apart**2 + 2 * math.log(count)), float(chdtri(count, 2 * ndtr(-apart)))


@lru_cache(maxsize=1024)
def missed_by_chance(shares: tuple[float, ...], samples: int, quality: float) -> int:
    """Return how many modes a generator that has all of them may miss at a probe, by chance alone.

    shares: each mode's share of a perfect sampler's good samples; quality: that of the generator, relative to it.
    """
    true = np.array(shares)
    least = np.ceil(limit("held") * true / true.sum() * samples)
    expected = float(bdtr(least - 1, samples, np.minimum(true * quality, 1.0)).sum())
    chance = limit("chance")
    # no more than there are, and an end where the numbers of a damaged record make no sense
    return next((k for k in range(len(shares)) if pdtr(k, expected) >= chance), len(shares))
