"""Frechet distance of two samples as if they were Gaussian: Heusel et al. 2017, its floor and its extrapolation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics import moments
from ganbench.metrics.distances import PAIRS
from ganbench.metrics.inputs import Samples, measured, numbers, same_dimension, samples, whole
from ganbench.metrics.reference import Reference, prepared
from ganbench.problems.base import stream
from ganbench.registry import Measure, positive

ORDINARY = (1e-30, 1e35)
"""Between these the eighth powers of the largest numbers, of which two-dimensional covariances are made, are finite."""


@measured(
    frechet=positive(
        "Frechet distance; blind to symmetric mode dropping", "down", perfect=0.0, scale="log", role="distance",
        blind="Blind to symmetric mode dropping: a ring that keeps every other mode scores like a perfect one. "
        "It compares two moments, so never rank by it alone.",
    )
)  # fmt: skip
def frechet_distance(real: Samples | Reference, fake: Samples) -> Tensor:
    """Frechet distance of the Gaussians with the samples' means and covariances (Heusel et al. 2017, eq. 6).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) with unbiased covariances and nothing added to them. real [n, d] or
    its Reference, fake [..., m, d]; returns [...], float64, in squared units of the features, 0 or more. It sees means
    and covariances only: dropped modes that leave both as they are cost nothing. For finite samples even a perfect
    sampler scores `frechet_floor`. Raises InputError for fewer than 2 samples.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> round(float(frechet_distance(line, line + 1)), 6)
    1.0
    """
    reference, fake = prepared(real, fake, least=2)
    powers = _powers(reference.real, fake)
    return _distance(reference, fake) if not powers.any() else _rescaled(reference, fake, powers)


def _powers(real: Tensor, fake: Tensor) -> Tensor:
    """Return the powers of 2 that runs of numbers far from 1 are in the range of, 0 for all others, as [...]."""
    return _power(fake.abs().amax((-1, -2)).double().clamp(min=real.abs().max().double()))


def _power(largest: Tensor) -> Tensor:
    """Return the power of 2 to divide by where the largest number is far from 1, 0 elsewhere."""
    far = (largest < ORDINARY[0]) | (largest > ORDINARY[1])
    return torch.where(far & (largest > 0), largest.log2().floor(), 0.0)


def _rescaled(reference: Reference, fake: Tensor, powers: Tensor) -> Tensor:
    """Return the distances with every run, and the real samples for it, divided by its power of 2: no digit changes."""
    flat = fake.reshape(-1, *fake.shape[-2:])
    found = []
    for run, power in zip(flat, powers.reshape(-1).tolist(), strict=True):
        scale = 2.0**power
        own = reference if power == 0 else Reference(reference.real.double() / scale)
        distance = _distance(own, (run.double() / scale if power else run).unsqueeze(0))[0]
        found.append(_scaled_up(distance, scale))
    return torch.stack(found).reshape(powers.shape)


def _distance(reference: Reference, fake: Tensor) -> Tensor:
    if fake.shape[-1] <= 2:
        mean, covariance = moments.mean_and_covariance(fake)
        apart = (mean - reference.centre).square().sum(-1)
        return (apart + _small(reference.covariance, covariance)).clamp(min=0)
    mean = moments.mean(fake)
    apart = (mean - reference.centre).square().sum(-1)
    flat, means = fake.reshape(-1, *fake.shape[-2:]), mean.reshape(-1, mean.shape[-1])
    size = max(1, PAIRS.get(flat.device.type, PAIRS["cuda"]) // flat.shape[-1] ** 2)
    spread = [
        _spread(reference, runs, centre) for runs, centre in zip(flat.split(size), means.split(size), strict=True)
    ]
    return (apart + torch.cat(spread).reshape(apart.shape)).clamp(min=0)


def _spread(reference: Reference, fake: Tensor, mean: Tensor) -> Tensor:
    """Return tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), as [runs], for fakes [runs, m, d] with these means [runs, d]."""
    root, count = reference.root, fake.shape[-2]
    if count <= root.shape[1]:
        # the same eigenvalues from the Gram matrix of the samples, which is smaller and has fewer that are 0
        centred = (fake.double() - mean.unsqueeze(1)) / math.sqrt(count - 1)
        factor, trace = centred @ root, centred.square().sum((-1, -2))
        # centred samples add up to 0
        overlap = moments.trace_of_root(factor @ factor.transpose(-1, -2), zeros=1)
        return torch.trace(reference.covariance) + trace - 2 * overlap
    return _general(root, moments.covariance(fake, mean)) + torch.trace(reference.covariance)


def _general(root: Tensor, covariance: Tensor) -> Tensor:
    """Return tr S2 - 2 tr (L^T S2 L)^(1/2): real and stable for a collapsed generator too."""
    overlap = moments.trace_of_root(moments.congruence(root, covariance))
    return covariance.diagonal(dim1=-2, dim2=-1).sum(-1) - 2 * overlap


def _small(a: Tensor, b: Tensor) -> Tensor:
    """Return tr A + tr B - 2 tr (A B)^(1/2) of covariances of 1 or 2 dimensions in closed form."""
    # eigenvalues x, y of the product: sqrt x + sqrt y = sqrt(x + y + 2 sqrt(x y))
    trace = (a * b).sum((-1, -2))
    root = (trace + 2 * (_determinant(a) * _determinant(b)).clamp(min=0).sqrt()).clamp(min=0).sqrt()
    return (a + b).diagonal(dim1=-2, dim2=-1).sum(-1) - 2 * root


def _determinant(matrix: Tensor) -> Tensor:
    if matrix.shape[-1] == 1:
        return torch.zeros_like(matrix[..., 0, 0])
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


@measured(frechet=positive("Frechet distance of two Gaussians", "down", perfect=0.0))
def frechet_from_moments(
    real_mean: Samples, real_covariance: Samples, fake_mean: Samples, fake_covariance: Samples
) -> Tensor:
    """Frechet distance of two Gaussians with given means [d], [..., d] and covariances [d, d], [..., d, d], as [...].

    As `frechet_distance`, in float64. Raises InputError where shapes do not fit or a covariance is not symmetric.

    >>> float(frechet_from_moments(np.zeros(2), np.eye(2), np.array([3.0, 4.0]), np.eye(2)))
    25.0
    """
    mean, covariance = _moments(real_mean, real_covariance, "real")
    fake_mean, fake_covariance = _moments(fake_mean, fake_covariance, "fake")
    if mean.dim() != 1:
        raise InputError(f"'real_mean' must be one mean [d], got the shape {list(mean.shape)}.")
    same_dimension(len(mean), fake_mean)
    real = mean.to(fake_mean.device), covariance.to(fake_mean.device)
    largest = _reach(fake_mean, fake_covariance).clamp(min=_reach(*real))
    powers = _power(largest)
    if not powers.any():
        return _of_moments(*real, fake_mean, fake_covariance)
    fakes = zip(fake_mean.reshape(-1, len(mean)), fake_covariance.reshape(-1, *covariance.shape), strict=True)
    found = []
    for run, power in zip(fakes, powers.reshape(-1).tolist(), strict=True):
        scale = 2.0**power
        found.append(_scaled_up(_of_moments(*_divided(*real, scale), *_divided(*run, scale)), scale))
    return torch.stack(found).reshape(powers.shape)


def _divided(mean: Tensor, covariance: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return mean / scale, covariance / scale / scale


def _scaled_up(distance: Tensor, scale: float) -> Tensor:
    """Return a distance of samples divided by a power of 2 as it is of the samples; InputError where it vanishes."""
    found = distance * scale * scale
    if bool((distance > 0) & (found == 0)):
        raise InputError("The distance of 'real' and 'fake' is too small for float64: scale both sides up.")
    return found


def _reach(mean: Tensor, covariance: Tensor) -> Tensor:
    """Return how large samples with these moments are, as [...]."""
    return covariance.abs().amax((-1, -2)).sqrt().maximum(mean.abs().amax(-1))


def _of_moments(mean: Tensor, covariance: Tensor, fake_mean: Tensor, fake_covariance: Tensor) -> Tensor:
    apart = (fake_mean - mean).square().sum(-1)
    if len(mean) <= 2:
        return (apart + _small(covariance, fake_covariance)).clamp(min=0)
    spread = torch.trace(covariance) + _general(moments.root(covariance), fake_covariance)
    return (apart + spread).clamp(min=0)


def _moments(mean: Any, covariance: Any, side: str) -> tuple[Tensor, Tensor]:
    covariance = samples(covariance, f"{side}_covariance").double()
    rows = mean.unsqueeze(-2) if isinstance(mean, Tensor) and mean.dim() else mean
    rows = rows[..., None, :] if isinstance(rows, np.ndarray) and rows.ndim else rows
    mean = samples(rows, f"{side}_mean").double().squeeze(-2)
    if covariance.shape != (*mean.shape, mean.shape[-1]):
        raise InputError(
            f"'{side}_covariance' has the shape {list(covariance.shape)}, for the mean's shape {list(mean.shape)} it "
            f"must be {[*mean.shape, mean.shape[-1]]}."
        )
    _symmetric(covariance, f"{side}_covariance")
    _no_negative(torch.linalg.eigvalsh(covariance), f"{side}_covariance")
    return mean, covariance


def _symmetric(covariance: Tensor, name: str) -> None:
    if not torch.allclose(
        covariance, covariance.transpose(-1, -2), rtol=1e-5, atol=float(covariance.abs().max()) * 1e-6
    ):
        raise InputError(f"'{name}' is not symmetric: pass a covariance, such as numpy.cov(x, rowvar=False).")


def _no_negative(eigenvalues: Tensor, name: str) -> None:
    """Raise InputError for eigenvalues [..., d], in rising order, that no covariance has, rounding in float16 apart."""
    if bool((eigenvalues[..., 0] < -1e-3 * eigenvalues.abs().amax(-1)).any()):
        raise InputError(
            f"'{name}' has a negative variance in some direction: pass a covariance, such as "
            "numpy.cov(x, rowvar=False)."
        )


class ClassFrechet(NamedTuple):
    """The mean of the classes' Frechet distances, [...], and that of each class, [..., classes]."""

    class_frechet: Tensor
    by_class: Tensor


@measured(
    class_frechet=positive(
        "mean over classes of the Frechet distance within each (intra-FID)", "down", perfect=0.0, scale="log",
        blind="With fewer samples in a class than features, most of it is the bias of small samples: compare equal "
        "numbers only, and with the oracle.",
    ),
    by_class=positive("Frechet distance within a class", "down", perfect=0.0, scale="log"),
)  # fmt: skip
def class_frechet(
    real: Samples | Reference, fake: Samples, *, real_labels: Samples, fake_labels: Samples
) -> ClassFrechet:
    """Frechet distance within each class, and its mean over classes (intra-FID: Miyato & Koyama 2018, section 6).

    real [n, d] or its Reference, fake [..., m, d]; their labels [n] and [m] or [..., m], whole numbers from 0; float64.
    It sees what the distance of all together cannot: classes that are mixed up, or alike within. Each class has the
    bias of its own few samples (`frechet_floor` at n and m over the number of classes), and with fewer samples of it
    than features the covariances are singular: such values compare with others of the same numbers only. Raises
    InputError for labels that are not whole numbers or do not fit, and for a class with fewer than 2 samples of either.

    >>> line, label = np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1])
    >>> class_frechet(line, line + 1, real_labels=label, fake_labels=label).by_class.tolist()
    [1.0, 1.0]
    """
    reference, fake = prepared(real, fake, least=2)
    own = _labels(real_labels, "real_labels", reference.real.shape[:1])
    given = _labels(fake_labels, "fake_labels", fake.shape[:-1])
    found = by_class(reference, fake, own.to(fake.device), given.to(fake.device))
    if bool(found.isnan().any()):
        few = int(found.isnan().reshape(-1, found.shape[-1]).any(0).nonzero()[0, 0])
        raise InputError(
            f"The class {few} has fewer than 2 samples in 'real' or 'fake': give it more, or leave it out."
        )
    return ClassFrechet(found.mean(-1), found)


def by_class(real: Reference, fake: Tensor, real_labels: Tensor, fake_labels: Tensor) -> Tensor:
    """Return the Frechet distance within each class [..., classes]; NaN for one with fewer than 2 samples of either."""
    classes = 1 + int(max(real_labels.max(), fake_labels.max()))
    key = ("classes", classes, real_labels.cpu().numpy().tobytes())
    sides = real.once(key, lambda: [_class_side(real.real[real_labels == each]) for each in range(classes)])
    if fake_labels.dim() == 1:
        found = [_within(side, fake[..., fake_labels == each, :]) for each, side in enumerate(sides)]
        return torch.stack(found, -1)
    runs = zip(fake.reshape(-1, *fake.shape[-2:]), fake_labels.reshape(-1, fake.shape[-2]), strict=True)
    each_run = [
        torch.stack([_within(side, run[label == each]) for each, side in enumerate(sides)]) for run, label in runs
    ]
    return torch.stack(each_run).reshape(*fake.shape[:-2], classes)


def _class_side(real: Tensor) -> Reference | Tensor:
    """Return a class's real samples prepared, but as they are where they are few or all the same."""
    return real if len(real) < 2 or bool((real == real[:1]).all()) else Reference(real)


def _within(real: Reference | Tensor, fake: Tensor) -> Tensor:
    if fake.shape[-2] < 2 or (isinstance(real, Tensor) and len(real) < 2):
        return torch.full(fake.shape[:-2], math.nan, dtype=torch.float64, device=fake.device)
    if isinstance(real, Reference):
        return frechet_distance(real, fake)
    centre = real[0].double()
    return frechet_from_moments(centre, centre.new_zeros(len(centre), len(centre)), *moments.mean_and_covariance(fake))


def _labels(value: Any, name: str, shape: torch.Size) -> Tensor:
    labels = numbers(value)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or bool((labels < 0).any()):
        raise InputError(f"'{name}' must be whole numbers from 0.")
    if labels.shape not in (shape, shape[-1:]):
        raise InputError(f"'{name}' must be {list(shape)}, one for each sample, got the shape {list(labels.shape)}.")
    return labels.long()


@measured(
    spatial_frechet=positive(
        "Frechet distance of spatial features (sFID)", "down", perfect=0.0, scale="log",
        blind="Few channels at every place: what is drawn, rather than where, is seen by pooled features.",
    )
)  # fmt: skip
def spatial_frechet(real_maps: Samples, fake_maps: Samples, *, channels: int = 7) -> Tensor:
    """sFID (Nash et al. 2021, section 5): Frechet distance of feature maps that keep their places, as [...].

    real_maps [n, c, h, w], fake_maps [..., m, c, h, w] of one layer of any network (there: 17 x 17 maps of Inception's
    `mixed_6/conv`); the first `channels` of them, flattened, are the features; float64. Pooled features do not know
    where something is; these do. As they are many (2023 there), its bias is large: see `frechet_floor`. Raises
    InputError for what are no maps, and for more channels than there are.

    >>> corners = np.eye(4).reshape(4, 1, 2, 2)
    >>> round(float(spatial_frechet(corners, corners[:, :, ::-1].copy(), channels=1)), 6)
    0.0
    """
    sides = [_flat_maps(value, name, channels) for value, name in ((real_maps, "real_maps"), (fake_maps, "fake_maps"))]
    return frechet_distance(*sides)


def _flat_maps(value: object, name: str, channels: int) -> Tensor:
    maps = samples(value, name)
    if maps.dim() < 4:
        raise InputError(f"'{name}' must be maps [..., n, channels, h, w], got the shape {list(maps.shape)}.")
    if whole(channels, "channels") > maps.shape[-3]:
        raise InputError(f"'channels' must be at most the {maps.shape[-3]} of '{name}', got {channels}.")
    return maps[..., :channels, :, :].flatten(-3)


def frechet_floor(covariance: Samples, n: int, m: int) -> Tensor:
    """Return the expected Frechet distance of n and m samples of one Gaussian with this covariance [..., d, d], [...].

    (1/n + 1/m) [tr S + 1/2 sum_ij l_i l_j (1 + delta_ij) / (l_i + l_j)] with the eigenvalues l of S: the first order
    in 1/n, for n and m well above d. What a score has above it is due to the generator.

    >>> round(float(frechet_floor(np.eye(1), 100, 100)), 4)
    0.03
    """
    covariance = samples(covariance, "covariance").double()
    if covariance.shape[-1] != covariance.shape[-2]:
        raise InputError(f"'covariance' must be [..., d, d], got the shape {list(covariance.shape)}.")
    whole(n, "n", least=2), whole(m, "m", least=2)
    _symmetric(covariance, "covariance")
    values = torch.linalg.eigvalsh(covariance)
    _no_negative(values, "covariance")
    values = values.clamp(min=0)
    # in units of a power of 2, in which no product vanishes or overflows
    largest = values.amax(-1, keepdim=True)
    unit = torch.exp2(torch.where(largest > 0, largest.log2().floor(), 0.0))
    values = values / unit
    sums = values.unsqueeze(-1) + values.unsqueeze(-2)
    pairs = values.unsqueeze(-1) * values.unsqueeze(-2) / torch.where(sums > 0, sums, 1.0)
    inner = (pairs.sum((-1, -2)) + pairs.diagonal(dim1=-2, dim2=-1).sum(-1)) / 2
    return (1 / n + 1 / m) * (values.sum(-1) + inner) * unit.squeeze(-1)


@measured(frechet_infinity=Measure("Frechet distance extrapolated to infinitely many fakes", "down"))
def frechet_infinity(
    real: Samples | Reference, fake: Samples, *, points: int = 15, smallest: int | None = None, seed: int = 0
) -> Tensor:
    """Frechet distance for infinitely many fakes, extrapolated from smaller samples (Chong & Forsyth 2020, eq. 9).

    The intercept of a line in 1/m through the distances of `points` random subsets of the fakes, of `smallest` (None:
    a tenth) up to all m. real [n, d] or its Reference, fake [..., m, d]; returns [...], float64; may fall below 0 by
    chance. It removes the bias of the fakes' number only, that of the real ones' remains (half the floor at n = m).
    The line holds for subsets well above d. Raises InputError for fewer than 2 points or subsets of fewer than 2.

    >>> round(float(frechet_infinity(np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.zeros((20, 1)))), 4)
    1.3333
    """
    reference, fake = prepared(real, fake, least=4)
    count = fake.shape[-2]
    smallest = whole(max(2, count // 10) if smallest is None else smallest, "smallest", least=2)
    if whole(points, "points", least=2) and smallest >= count:
        raise InputError(f"'smallest' must be below the number of fakes, {count}, got {smallest}.")
    generator = stream("frechet infinity", seed)
    sizes = torch.linspace(smallest, count, points, dtype=torch.float64).round().long().unique().tolist()
    subsets = [torch.randperm(count, generator=generator)[:size].to(fake.device) for size in sizes]
    scores = torch.stack([frechet_distance(reference, fake[..., subset, :]) for subset in subsets], -1)
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64, device=fake.device)
    centred = inverse - inverse.mean()
    slope = (scores * centred).sum(-1) / centred.square().sum()
    return scores.mean(-1) - slope * inverse.mean()
