"""Precision and recall for distributions: a curve of how much of one can be had for how much of the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.clusters import k_means
from ganbench.metrics.inputs import Samples, measured, whole
from ganbench.metrics.pairwise import runs_of, sides
from ganbench.registry import share

# the curve has no point at the angles 0 and pi / 2 themselves (Sajjadi et al. leave out as much)
EDGE = 1e-10
# the beta of the two scores
BETA = 8.0


class PRDCurve(NamedTuple):
    """Precision and recall [..., angles] from the recall end of the curve (slope 0) to its precision end."""

    precision: Tensor
    recall: Tensor


class PRDScores(NamedTuple):
    """F_8 (recall counts 8 times as much as precision) and F_1/8 (the other way round), each [...]."""

    f8: Tensor
    f1_8: Tensor


@measured(
    precision=share("precision at each angle of the curve", perfect=None),
    recall=share("recall at each angle of the curve", perfect=None),
)
def prd_curve(real: Samples, fake: Samples, *, clusters: int = 20, angles: int = 1001, repeats: int = 10) -> PRDCurve:
    """Precision-recall curve of two distributions (Sajjadi et al. 2018, algorithm 1).

    real [n, d], fake [..., m, d]. k-means on their union gives histograms p and q; at the slope l = tan(angle) the
    precision is sum min(l p, q), the recall is precision / l; the mean over `repeats` clusterings of fixed seeds. Real
    and fakes weigh the same in the clustering, however many there are of each. Raises InputError for unusable samples.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> float(prd_curve(line, line, clusters=2).recall[0])
    1.0
    """
    slopes = np.tan(np.linspace(EDGE, np.pi / 2 - EDGE, whole(angles, "angles", least=3)))
    real, fake = _checked(real, fake, clusters, repeats)
    precision = np.stack([_precision(*_histograms(real, run, clusters, repeats), slopes) for run in _arrays(fake)])
    # rounding may leave a sum of shares above 1
    return PRDCurve(*(_tensor(np.minimum(values, 1.0), fake) for values in (precision, precision / slopes)))


@measured(
    f8=share("best F_8 of the precision-recall curve: follows recall", "up", perfect=1.0),
    f1_8=share("best F_1/8 of the precision-recall curve: follows precision", "up", perfect=1.0),
)
def prd_scores(real: Samples, fake: Samples, *, clusters: int = 20, repeats: int = 10) -> PRDScores:
    """Largest F_8 and F_1/8 over the precision-recall curve (Sajjadi et al. 2018, section 4).

    real [n, d], fake [..., m, d]; shares, higher is better. F_b = (1 + b^2) precision recall / (b^2 precision +
    recall): b = 8 weighs recall, 1/8 precision. The maximum is over all angles exactly, not over a grid of them.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> [round(float(value), 4) for value in prd_scores(line, line, clusters=2)]
    [1.0, 1.0]
    """
    real, fake = _checked(real, fake, clusters, repeats)
    scores = np.array([_best(*_histograms(real, run, clusters, repeats)) for run in _arrays(fake)])
    return PRDScores(_tensor(scores[:, 0], fake), _tensor(scores[:, 1], fake))


def _checked(real: Samples, fake: Samples, clusters: int, repeats: int) -> tuple[Tensor, Tensor]:
    real, fake = sides(real, fake)
    whole(repeats, "repeats")
    if whole(clusters, "clusters", least=2) > len(real) + fake.shape[-2]:
        raise InputError(f"'clusters' is {clusters}, more than the {len(real) + fake.shape[-2]} samples: use fewer.")
    return real, fake


def _arrays(fake: Tensor) -> np.ndarray:
    return runs_of(fake).cpu().numpy()


def _tensor(values: np.ndarray, fake: Tensor) -> Tensor:
    """Return values [runs, ...] under the fakes' leading axes, on their device."""
    return torch.from_numpy(values).reshape((*fake.shape[:-2], *values.shape[1:])).to(fake.device)


def _histograms(real: Tensor, fake: np.ndarray, clusters: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of real and of fake samples in each cluster of their union, each [repeats, clusters]."""
    union = np.concatenate([real.double().cpu().numpy(), fake])
    weights = np.repeat([1.0, len(real) / len(fake)], [len(real), len(fake)])
    labels = [k_means(union, clusters, seed, weights).labels_ for seed in range(repeats)]
    p = np.stack([np.bincount(label[: len(real)], minlength=clusters) for label in labels]) / len(real)
    q = np.stack([np.bincount(label[len(real) :], minlength=clusters) for label in labels]) / len(fake)
    return p, q


def _precision(p: np.ndarray, q: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return sum min(slope p, q) at each slope, the mean over histograms [repeats, clusters]."""
    return np.minimum(slopes[:, None, None] * p, q).sum(-1).mean(-1)


def _best(p: np.ndarray, q: np.ndarray) -> tuple[float, float]:
    """Return the largest F_8 and F_1/8.

    With precision a(l), recall a / l, F_b = (1 + b^2) a / (b^2 l + 1). As a is affine in l between the slopes q / p at
    which a bin turns, F_b is monotone there, and its maximum lies on one of these slopes.
    """
    both = (p > 0) & (q > 0)
    if not both.any():
        return 0.0, 0.0
    turns = np.unique(q[both] / p[both])
    a = _precision(p, q, turns)
    best = [((1 + square) * a / (square * turns + 1)).max() for square in (BETA**2, BETA**-2)]
    # equal histograms may end a rounding error above 1
    return min(best[0], 1.0), min(best[1], 1.0)
