"""Metrics: pure functions of a real `Reference` and fakes [..., n, d], batched over the leading axes.

A metric is `(real, fake, *, hypers) -> {column: tensor [...]}` and declares what each column means. It sees finite
fakes only: `evaluate` answers NaN for a run whose samples are not. What each metric cannot see is in docs/metrics.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.stats import chi
from torch import Tensor

from ganbench.metrics.reference import PAIRS, Reference, neighbour_radii, squared_distances
from ganbench.registry import positive, register, share

# the share of a 2-D Gaussian within three standard deviations; the same share bounds high quality in every dimension
WITHIN = 1 - math.exp(-9 / 2)
# distances that differ by less than this share of them are equal
TIE = 1e-10


def _divergence(counts: Tensor, weights: Tensor) -> Tensor:
    """Return KL(histogram || weights) in nats [...]; its largest value where there is no count at all."""
    total = counts.sum(-1, keepdim=True)
    shares = counts / total.clamp(min=1)
    divergence = torch.special.xlogy(shares, shares / weights).sum(-1)
    return torch.where(total.squeeze(-1) > 0, divergence, -weights.min().log())


def _histogram(index: Tensor, counted: Tensor, bins: int) -> Tensor:
    """Return how many counted entries [..., n] fall on each index, [..., bins]."""
    empty = torch.zeros(*index.shape[:-1], bins, dtype=torch.float64, device=index.device)
    return empty.scatter_add_(-1, index, counted.double())


@register(
    "metric",
    needs={"modes": "needs a problem with known modes"},
    measures={
        "modes_hit": positive("modes with at least one high-quality sample", "up", "modes"),
        "modes_covered": positive("modes with at least a quarter of their share of samples", "up", "modes"),
        "high_quality": share("share of samples within three standard deviations of a mode", "up"),
        "mode_kl": positive("KL divergence of the mode histogram from the true weights", "down", "nats"),
    },
)
def mode_statistics(real: Reference, fake: Tensor, *, quota: float = 0.25) -> dict[str, Tensor]:
    """Modes hit and covered, high-quality share, KL of the mode histogram (Srivastava 2017, Lin 2018).

    High quality means within the chi quantile that holds 98.889 % of a Gaussian in any dimension, three standard
    deviations in two. A mode is covered by `quota` of its true weight in high-quality samples.
    """
    assert real.modes is not None
    centres, weights = real.modes.centres.to(fake.device), real.modes.weights.to(fake.device)
    squared, nearest = squared_distances(fake.double(), centres).min(-1)
    good = squared <= (real.modes.std * float(chi.ppf(WITHIN, fake.shape[-1]))) ** 2
    counts = _histogram(nearest, good, len(centres))
    return {
        "modes_hit": (counts > 0).double().sum(-1),
        "modes_covered": (counts >= quota * weights * fake.shape[-2]).double().sum(-1),
        "high_quality": good.double().mean(-1),
        "mode_kl": _divergence(counts, weights),
    }


@register(
    "metric",
    needs={"classes": "needs a problem with classes"},
    space="classifier",
    measures={
        "classes_covered": positive("classes with at least a quarter of their share of samples", "up", "classes"),
        "class_kl": positive("KL divergence of the histogram of classes from the uniform one", "down", "nats"),
        "confident": share("share of samples that the classifier is at least 90 % sure of", "up"),
    },
)
def class_statistics(
    real: Reference, fake: Tensor, *, quota: float = 0.25, confidence: float = 0.9
) -> dict[str, Tensor]:
    """Classes covered, their histogram's divergence and the classifier's confidence, by a classifier of the data."""
    assert real.class_head is not None
    best, label = real.class_head(fake).max(-1)
    classes = real.class_head(real.real[:1]).shape[-1]
    weights = torch.full((classes,), 1 / classes, dtype=torch.float64, device=fake.device)
    sure = best >= confidence
    counts = _histogram(label, sure, classes)
    return {
        "classes_covered": (counts >= quota * weights * fake.shape[-2]).double().sum(-1),
        "class_kl": _divergence(counts, weights),
        "confident": sure.double().mean(-1),
    }


@register(
    "metric",
    measures={
        "precision": share("share of fakes within the real manifold (k = 3)", "up"),
        "recall": share("share of real samples within the fake manifold (k = 3)", "up"),
        "density": positive("real neighbourhoods that hold a fake, over their expected number (k = 5)", "up"),
        "coverage": share("share of real neighbourhoods that hold a fake (k = 5)", "up"),
    },
)
def neighbours(real: Reference, fake: Tensor, *, k: int = 3, density_k: int = 5) -> dict[str, Tensor]:
    """Precision and recall (Kynkaanniemi 2019, eq. 1), density and coverage (Naeem 2020, eq. 3 and 5)."""
    fakes = real.near(fake)
    flat = fakes.reshape(-1, *fakes.shape[-2:])
    # in few dimensions a tree takes about a third of the time of all pairs at n = 1000
    if flat.shape[-1] <= 3 and flat.device.type == "cpu":
        columns = torch.tensor([_by_tree(real, run, k, density_k) for run in flat.numpy()], dtype=torch.float64).T
    else:
        size = max(1, PAIRS.get(flat.device.type, PAIRS["cuda"]) // (flat.shape[1] * real.neighbours))
        columns = torch.cat([_by_pairs(real, chunk, k, density_k) for chunk in flat.split(size)], dim=1)
    columns = columns.reshape(4, *fake.shape[:-2])
    return dict(zip(("precision", "recall", "density", "coverage"), columns, strict=True))


def _by_pairs(real: Reference, fakes: Tensor, k: int, density_k: int) -> Tensor:
    """Return precision, recall, density and coverage, [4, runs], from all distances to fakes [runs, n, d]."""
    apart = squared_distances(fakes, real.near(real.real))  # [runs, fake, real]
    inside = (apart < real.radii(density_k)).double()
    return torch.stack(
        [
            (apart <= real.radii(k)).any(2).double().mean(1),
            (apart <= neighbour_radii(fakes, k).unsqueeze(2)).any(1).double().mean(1),
            inside.sum((1, 2)) / (density_k * fakes.shape[1]),
            inside.amax(1).mean(1),
        ]
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
        _union(tree.query_ball_point(points, manifold), len(fakes)),
        _union(real.tree.query_ball_point(fakes, own * (1 + TIE)), len(points)),
        float(held.sum()) / (density_k * len(fakes)),
        float((held > 0).mean()),
    ]


def _union(lists: Iterable[list[int]], total: int) -> float:
    # a point is in at most 6 k balls in the plane, so that the lists stay short however bad the generator
    return len(set(itertools.chain.from_iterable(lists))) / total


@register(
    "metric",
    spaces=True,
    measures={
        "frechet": positive("Frechet distance; blind to symmetric mode dropping", "down"),
        "frechet_pixels": positive("Frechet distance of the pixels", "down"),
        "frechet_classifier": positive("Frechet distance of the classifier's features", "down"),
    },
)
def frechet(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """Frechet distance of the Gaussians with the samples' means and covariances (Heusel 2017, eq. 6).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), unbiased covariances, float64. The last trace is the sum of the
    square roots of the eigenvalues of S1^(1/2) S2 S1^(1/2): real and stable for a collapsed generator too.
    """
    fake = fake.double()
    mean = fake.mean(-2)
    centred = fake - mean.unsqueeze(-2)
    covariance = centred.transpose(-1, -2) @ centred / (fake.shape[-2] - 1)
    traces = torch.trace(real.covariance) + covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    distance = (mean - real.centre).square().sum(-1) + traces - 2 * _trace_root(real, covariance)
    return {"frechet": distance.clamp(min=0)}


def _trace_root(real: Reference, covariance: Tensor) -> Tensor:
    if covariance.shape[-1] == 2:
        # eigenvalues a, b of the product: sqrt a + sqrt b = sqrt(a + b + 2 sqrt(a b))
        trace = (real.covariance * covariance).sum((-1, -2))
        product = torch.linalg.det(real.covariance) * torch.linalg.det(covariance)
        return (trace + 2 * product.clamp(min=0).sqrt()).clamp(min=0).sqrt()
    inner = real.root @ covariance @ real.root
    return torch.linalg.eigvalsh((inner + inner.transpose(-1, -2)) / 2).clamp(min=0).sqrt().sum(-1)


@register(
    "metric",
    measures={"sliced_wasserstein": positive("mean 1-Wasserstein distance along fixed directions", "down")},
)
def sliced_wasserstein(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """1-Wasserstein distance averaged over 32 fixed projections (Rabin 2012); sees symmetric mode dropping."""
    count, known = fake.shape[-2], real.sorted_projections
    # the real quantile function at the fakes' plotting positions; exact for equal numbers
    places = ((torch.arange(count, device=fake.device) + 0.5) / count * len(known)).long()
    apart = (fake @ real.directions).sort(-2).values - known[places]
    return {"sliced_wasserstein": apart.abs().double().mean((-1, -2))}
