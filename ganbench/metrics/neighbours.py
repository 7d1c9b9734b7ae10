"""Metrics by k nearest neighbours: improved precision and recall, density and coverage; blind spots in docs/metrics.md.

Balls around samples stand for the support of their law. A sample is left out of its own neighbours by index.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.distances import PAIRS, TREE, Points, close_pairs, neighbour_radii
from ganbench.metrics.inputs import Samples, measured, measures_of, whole
from ganbench.metrics.reference import Reference, prepared
from ganbench.registry import positive, share

# distances that differ by less than this share of them are equal
TIE = 1e-10


class PrecisionRecall(NamedTuple):
    """Improved precision and recall, each [...], float64."""

    precision: Tensor
    recall: Tensor


class DensityCoverage(NamedTuple):
    """Density and coverage, each [...], float64."""

    density: Tensor
    coverage: Tensor


class Neighbours(NamedTuple):
    """Precision, recall, density and coverage, each [...], float64."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


@measured(
    precision=share(
        "share of fakes within the real manifold (k = 3)", "up", role="quality",
        blind="Blind to collapse: constant samples in a safe place have precision 1. One outlier in the real data "
        "can lift it a lot.",
    ),
    recall=share(
        "share of real samples within the fake manifold (k = 3)", "up", role="diversity",
        blind="Misses modes that are kept at a tiny share of their mass, and falls with the dimension.",
    ),
)  # fmt: skip
def precision_recall(real: Samples | Reference, fake: Samples, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019, eq. 1 and 2), from 0 to 1.

    Precision: share of fakes within (<=) the distance of a real sample to its k-th neighbour; recall: the same with
    real and fake exchanged. real [n, d] or its Reference, fake [..., m, d]; both [...], float64. Neither is 1 for a
    perfect sampler, and both fall with d: read them beside real against real. One outlier among the real samples lifts
    precision; recall misses modes that are down-weighted. Raises InputError for k or fewer samples.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> [float(value) for value in precision_recall(line, line[:2], k=1)]
    [1.0, 0.75]
    """
    found = prdc(real, fake, k=k, density_k=k)
    return PrecisionRecall(found.precision, found.recall)


@measured(
    density=positive(
        "real neighbourhoods that hold a fake, over their expected number (k = 5)", "up", perfect=1.0,
        blind="Has no upper end: above 1 the samples are too concentrated, and one outlier in the real data lifts it.",
    ),
    coverage=share(
        "share of real neighbourhoods that hold a fake (k = 5)", "up", role="covering",
        blind="Can be 1 for a collapse onto the mean in many dimensions: read it together with recall.",
    ),
)  # fmt: skip
def density_coverage(real: Samples | Reference, fake: Samples, *, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, eq. 3 and 5): density 0 or more, coverage from 0 to 1.

    Over the balls of real samples that reach to (<) their k-th neighbour; density: mean number of balls that a fake is
    in, over k; coverage: share of balls with a fake in it. real [n, d] or its Reference, fake [..., m, d]; both [...],
    float64. A perfect sampler's density is 1 in expectation and its coverage `expected_coverage`, in any dimension.
    Fakes all at the real mean score 1 and more in high dimension. Raises InputError for k or fewer samples.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> [float(value) for value in density_coverage(line, line[:2], k=1)]
    [1.0, 0.5]
    """
    found = prdc(real, fake, k=k, density_k=k)
    return DensityCoverage(found.density, found.coverage)


@measured(**measures_of(precision_recall), **measures_of(density_coverage))
def prdc(real: Samples | Reference, fake: Samples, *, k: int = 3, density_k: int = 5) -> Neighbours:
    """Precision and recall at k, density and coverage at density_k, from the same distances.

    real [n, d] or its Reference (which keeps its radii), fake [..., m, d]; each [...], float64. Equal to
    `precision_recall` and `density_coverage`; the `prdc` package has one k for all four. Raises InputError where either
    side has no more than k samples.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> [float(value) for value in prdc(line, line + 10, k=1, density_k=1)]
    [0.0, 0.0, 0.0, 0.0]
    """
    least = max(whole(k, "k"), whole(density_k, "density_k")) + 1
    reference, fake = prepared(real, fake, least=least)
    if reference.neighbours is not None and reference.neighbours < least:
        raise InputError(f"'neighbours' of the Reference is {reference.neighbours}, and k + 1 are {least}: raise it.")
    fake = reference.some(fake)
    flat = fake.reshape(-1, *fake.shape[-2:])
    reference.radii(least - 1)
    if flat.shape[-1] <= TREE and flat.device.type == "cpu":
        rows = [_by_tree(reference, run, k, density_k) for run in reference.centred(flat).numpy()]
        columns = torch.tensor(rows, dtype=torch.float64).T
    else:
        pairs = flat.shape[1] * reference.points.samples.shape[1]
        size = max(1, PAIRS.get(flat.device.type, PAIRS["cuda"]) // pairs)
        columns = torch.cat([_by_pairs(reference, runs, k, density_k) for runs in flat.split(size)], dim=1)
    return Neighbours(*columns.reshape(4, *fake.shape[:-2]))


def _by_pairs(real: Reference, fakes: Tensor, k: int, density_k: int) -> Tensor:
    """Return precision, recall, density and coverage, [4, runs], from the close pairs of fakes [runs, m, d]."""
    runs, count, _ = fakes.shape
    manifold, ball, own = real.radii(k), real.radii(density_k), neighbour_radii(fakes, k)
    precise = torch.zeros(runs, count, dtype=torch.bool, device=fakes.device)
    recalled = torch.zeros(runs, len(manifold), dtype=torch.bool, device=fakes.device)
    covered, held = torch.zeros_like(recalled), torch.zeros(runs, dtype=torch.float64, device=fakes.device)
    for run, row, column, squared in close_pairs(Points(fakes, real.points.centre), real.points, own, (manifold, ball)):
        within, reached, inside = squared <= manifold[column], squared <= own[run, row], squared < ball[column]
        precise[run[within], row[within]] = True
        recalled[run[reached], column[reached]] = True
        covered[run[inside], column[inside]] = True
        held += torch.bincount(run[inside], minlength=runs)
    return torch.stack(
        [precise.double().mean(1), recalled.double().mean(1), held / (density_k * count), covered.double().mean(1)]
    )


def _by_tree(real: Reference, fakes: np.ndarray, k: int, density_k: int) -> list[float]:
    """Return precision, recall, density and coverage of one run's fakes [n, d], from trees."""
    tree, points = cKDTree(fakes), np.asarray(real.tree.data)
    # a fake is its own first neighbour at distance 0 exactly, so that the next ones leave it out
    own = np.asarray(tree.query(fakes, k=[k + 1])[0])[:, 0]
    # a ball's own k-th neighbour lies on its edge: in for <=, out for <, whatever the rounding of roots and squares
    manifold, ball = real.radii(k).sqrt().numpy() * (1 + TIE), real.radii(density_k).sqrt().numpy() * (1 - TIE)
    # a real sample with k copies of itself has a ball of radius 0: < leaves it empty, the tree's <= would not
    held = np.where(ball > 0, tree.query_ball_point(points, ball, return_length=True), 0)
    return [
        _union(tree.query_ball_point(*_distinct(points, manifold)), len(fakes)),
        _union(real.tree.query_ball_point(*_distinct(fakes, own * (1 + TIE))), len(points)),
        float(held.sum()) / (density_k * len(fakes)),
        float((held > 0).mean()),
    ]


def _distinct(centres: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return balls [n, d], [n] with those of radius 0 once each: copies would each list all of the others."""
    points = radii == 0
    if not points.any():
        return centres, radii
    places = np.unique(centres[points], axis=0)
    return np.concatenate([centres[~points], places]), np.append(radii[~points], np.zeros(len(places)))


def _union(lists: Iterable[list[int]], total: int) -> float:
    # a point is in at most 6 k balls in the plane, so that the lists stay short however bad the generator
    return len(set(itertools.chain.from_iterable(lists))) / total


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the coverage that m samples of a perfect sampler have in expectation of n real ones, in any dimension.

    1 - prod_{j=1..k} (n - j) / (n + m - j): for any continuous law, as its samples are exchangeable with the real ones.

    >>> expected_coverage(2, 1, k=1)
    0.5
    """
    if whole(n, "n", least=2) <= whole(k, "k"):
        raise InputError(f"'k' must be below the number of real samples, {n}, got {k}.")
    return 1 - math.prod((n - j) / (n + whole(m, "m") - j) for j in range(1, k + 1))
