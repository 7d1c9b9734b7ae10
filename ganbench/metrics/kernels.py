"""Kernel distances of two samples: unbiased squared maximum mean discrepancies (Gretton et al. 2012, eq. 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.distances import PAIRS, spans, squared_distances
from ganbench.metrics.inputs import Samples, measured, whole
from ganbench.metrics.pairwise import above, directions
from ganbench.metrics.reference import Reference, prepared
from ganbench.problems.base import stream
from ganbench.registry import Measure, positive

KERNELS = ("cubic", "gaussian")
# sixth powers of larger numbers leave float64
CUBED = 1e49
# kernels, each half as wide as the one before, where no bandwidth is given
HALVINGS = 4
# how many samples a subset has, where there are twice as many (Binkowski et al. 2018)
SUBSET = 1000
# real samples whose distances give the median, evenly spaced among all
MEDIAN_OF = 1000
# the kernel of CMMD, and what its squared distance is multiplied by (Jayasumana et al. 2024)
CMMD_BANDWIDTH, CMMD_SCALE = 10.0, 1000.0

Kernel = Callable[[Tensor, Tensor], Tensor]


@measured(kernel_distance=Measure("unbiased squared kernel distance (KID)", "down", perfect=0.0))
def kernel_distance(
    real: Samples | Reference,
    fake: Samples,
    *,
    kernel: Literal["cubic", "gaussian"] = "cubic",
    bandwidth: float | None = None,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 0,
) -> Tensor:
    """Kernel distance, KID (Binkowski et al. 2018): unbiased MMD^2 with the kernel (x.y / d + 1)^3, as [...].

    real [n, d] or its Reference, fake [..., m, d]; float64; 0 in expectation for a perfect sampler, so that it may fall
    below 0. Computed of all pairs, which has the least noise; with `subsets`, the mean over so many random subsets of
    `subset_size`, as in the paper. kernel "gaussian": `gaussian_mmd`. The cubic kernel sees three moments, and so is
    blind to symmetric mode dropping. Raises InputError for fewer than 2 samples or than a subset needs.

    >>> pair = np.array([[-1.0], [1.0]])
    >>> float(kernel_distance(pair, pair))
    -8.0
    """
    if kernel not in KERNELS:
        raise InputError(f"'kernel' must be 'cubic' or 'gaussian', got {kernel!r}.")
    reference, fake = prepared(real, fake, least=2)
    widths = _widths(reference, bandwidth) if kernel == "gaussian" else None
    if subsets is None:
        return _distance(reference, fake, widths)
    return _of_subsets(reference, fake, widths, (whole(subsets, "subsets"), subset_size, seed)).mean(0)


def _of_subsets(real: Reference, fake: Tensor, widths: _Widths | None, drawn: tuple[int, int, int]) -> Tensor:
    """Return the distances [subsets, ...] of random subsets: how many, of which size, and their seed."""
    subsets, size, seed = drawn
    n, m = len(real.real), fake.shape[-2]
    if not 2 <= whole(size, "subset_size") <= min(n, m):
        raise InputError(f"'subset_size' must be from 2 to {min(n, m)}, the fewest samples given, got {size}.")
    generator, device = stream("kernel subsets", seed), fake.device
    draws = [[torch.randperm(count, generator=generator)[:size] for count in (n, m)] for _ in range(subsets)]
    own, other = (torch.stack(chosen).to(device) for chosen in zip(*draws, strict=True))
    if subsets * size**2 < max(n, m) ** 2:
        parts = (Reference(real.real[rows]) for rows in own)
        return torch.stack([_distance(p, fake[..., rows, :], widths) for p, rows in zip(parts, other, strict=True)])
    # a kernel of all pairs costs less than one of each subset's
    kernel = _kernel(real, fake, widths)
    known = real.once(("subsets", widths, drawn, m), lambda: _of_chosen(real.real, real.real, own, own, kernel))
    scores = [
        (known + _of_chosen(run, run, other, other, kernel)) / (size * (size - 1))
        - 2 * _of_chosen(run, real.real, other, own, kernel) / size**2
        for run in fake.reshape(-1, *fake.shape[-2:])
    ]
    return torch.stack(scores, 1).reshape(subsets, *fake.shape[:-2])


def _of_chosen(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor, kernel: Kernel) -> Tensor:
    """Return the kernel's sum [subsets] over a[rows], b[columns], both [subsets, size]; within one, of different."""
    left, right = (
        torch.zeros(len(chosen), len(side), dtype=torch.float64, device=side.device).scatter_(1, chosen, 1.0)
        for side, chosen in ((a, rows), (b, columns))
    )
    total = left.new_zeros(len(left))
    for part in spans(len(a), len(b), a.device):
        block = kernel(a[part].double(), b.double())
        if a is b:
            block.diagonal(part.start).zero_()
        total += ((left[:, part] @ block) * right).sum(1)
    return total


class KID(NamedTuple):
    """The kernel distance of all pairs, and mean and standard deviation of that of random subsets, each [...]."""

    kernel_distance: Tensor
    kid_mean: Tensor
    kid_std: Tensor


@measured(
    kernel_distance=Measure(
        "unbiased squared kernel distance (KID) of all pairs", "down", perfect=0.0,
        blind="Sees three moments: a ring that keeps every other mode scores like a perfect one.",
    ),
    kid_mean=Measure(
        "mean of the kernel distances (KID) of random subsets", "down", perfect=0.0,
        blind="The same quantity as over all pairs, with more noise.",
    ),
    kid_std=positive(
        "standard deviation of the kernel distances (KID) of random subsets",
        blind="Subsets share samples and come from one generator: it is no error of the training, nor of the mean.",
    ),
)  # fmt: skip
def kid(
    real: Samples | Reference, fake: Samples, *, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> KID:
    """KID with its spread (Binkowski et al. 2018, section 4): of all pairs, and over subsets, each [...].

    real [n, d] or its Reference, fake [..., m, d]; float64. kernel_distance: the unbiased estimate from all pairs,
    which has the least noise. kid_mean, kid_std: mean and standard deviation (of the subsets as they are, divided by
    their number) of that estimate over random subsets of `subset_size` of either side (None: 1000, or half of the
    fewer samples where these are fewer than twice as many), which is what is mostly published as KID +- std.
    The spread shrinks with the subset's size, not with the number of samples, and says nothing about other seeds of a
    training. Raises InputError for fewer samples than a subset needs.

    >>> pair = np.array([[-1.0], [1.0]])
    >>> [float(value) for value in kid(pair, pair)]
    [-8.0, -8.0, 0.0]
    """
    reference, fake = prepared(real, fake, least=2)
    fewest = min(len(reference.real), fake.shape[-2])
    size = max(2, min(SUBSET, fewest // 2)) if subset_size is None else subset_size
    scores = _of_subsets(reference, fake, None, (whole(subsets, "subsets"), size, seed))
    # in units of the largest, whose squares neither vanish nor overflow
    unit = scores.abs().amax(0).clamp(min=torch.finfo(scores.dtype).tiny)
    return KID(_distance(reference, fake, None), scores.mean(0), (scores / unit).std(0, correction=0) * unit)


@measured(gaussian_mmd=Measure("unbiased squared distance by Gaussian kernels", "down", (-2.0, 2.0), perfect=0.0))
def gaussian_mmd(real: Samples | Reference, fake: Samples, *, bandwidth: float | None = None) -> Tensor:
    """Unbiased MMD^2 with the kernel exp(-|x - y|^2 / (2 bandwidth^2)) (Gretton et al. 2012), as [...].

    real [n, d] or its Reference, fake [..., m, d]; float64; 0 in expectation for a perfect sampler. bandwidth: in units
    of the features; None: the mean of four kernels, of the median distance between real samples, its half, quarter and
    eighth. The median alone, the usual choice, is as blind to symmetric mode dropping as three moments are: it spans
    all modes; narrower kernels see it. Raises InputError for fewer than 2 samples and a bandwidth not above 0.

    >>> pair = np.array([[-1.0], [1.0]])
    >>> round(float(gaussian_mmd(pair, pair, bandwidth=1.0)), 4)
    -0.8647
    """
    return kernel_distance(real, fake, kernel="gaussian", bandwidth=bandwidth)


@measured(
    cmmd=Measure(
        "CMMD: 1000 times the squared distance of directions by one wide Gaussian kernel", "down", perfect=0.0,
        blind="One kernel that spans all directions sees little but their mean; lengths do not count.",
    )
)  # fmt: skip
def cmmd(real: Samples | Reference, fake: Samples) -> Tensor:
    """CMMD (Jayasumana et al. 2024): 1000 MMD^2 with a Gaussian kernel of bandwidth 10 on unit vectors, as [...].

    real [n, d] or its Reference, fake [..., m, d]; float64. The paper embeds images by CLIP: give it those features, or
    any others, as they are; each is divided by its length here. The unbiased estimate of the paper's equation, 0 in
    expectation for a perfect sampler; the authors' program keeps the pairs of a sample with itself and is higher by
    less than 20 (1/n + 1/m). On unit vectors the kernel is almost linear, so that nearly all it sees is the distance of
    mean directions. A sample at the origin stays there. Raises InputError for fewer than 2 samples, and where all real
    ones have one direction.

    >>> round(float(cmmd(np.eye(2), -np.eye(2))), 2)
    9.85
    """
    reference, fake = prepared(real, fake, least=2)
    known = reference.once("reference of directions", lambda: Reference(directions(reference.real)))
    return CMMD_SCALE * _distance(known, directions(fake), _Widths(CMMD_BANDWIDTH, 1))


class _Widths(NamedTuple):
    """Bandwidths of Gaussian kernels whose mean is taken: the widest, and how many, each half of the one before."""

    widest: float
    number: int


class _Moments(NamedTuple):
    """Means of the products x, x x, x x x, weighted so that their inner product is mean k - 1; and mean k(x, x) - 1."""

    weighted: Tensor
    diagonal: Tensor


def _distance(real: Reference, fake: Tensor, widths: _Widths | None) -> Tensor:
    """Return the unbiased MMD^2 with Gaussian kernels of these widths, or with the cubic kernel."""
    if widths is None:
        return _cubic(real, fake)
    return _by_pairs(real, fake, _kernel(real, fake, widths), widths)


def _cubic(real: Reference, fake: Tensor) -> Tensor:
    n, m, d = len(real.real), *fake.shape[-2:]
    kernel = _kernel(real, fake, None)
    # what moments cost grows with d^2, what pairs cost with their number
    if d**2 > n + m or d**3 > PAIRS["cpu"]:
        return _by_pairs(real, fake, kernel, "cubic")
    known = real.once("cubic moments", lambda: _cubic_moments(real.real))
    flat = fake.reshape(-1, m, d)
    parts = []
    for runs in flat.split(max(1, PAIRS["cpu"] // d**3)):
        own = _cubic_moments(runs)
        # an unbiased mean over pairs is the mean over all, less a share of the variance: no digits cancel
        apart = (own.weighted - known.weighted).square().sum(-1)
        noise = [(x.diagonal - x.weighted.square().sum(-1)) / (count - 1) for x, count in ((known, n), (own, m))]
        parts.append(apart - noise[0] - noise[1])
    return torch.cat(parts).reshape(fake.shape[:-2])


def _cubic_moments(samples: Tensor) -> _Moments:
    """Return the moments [..., d + d^2 + d^3] of samples [..., n, d], by C(3, p) / d^p for the p-th."""
    *runs, n, d = samples.shape
    sums = [torch.zeros(*runs, d, d**p, dtype=torch.float64, device=samples.device) for p in range(3)]
    diagonal = torch.zeros(runs, dtype=torch.float64, device=samples.device)
    for rows in spans(n, math.prod(runs) * d * d, samples.device):
        x = samples[..., rows, :].transpose(-1, -2).contiguous().double()
        pairs = (x.unsqueeze(-2) * x.unsqueeze(-3)).flatten(-3, -2)
        for total, product in zip(sums, (torch.ones_like(x[..., :1, :]), x, pairs), strict=True):
            total += x @ product.transpose(-1, -2)
        diagonal += ((x.square().sum(-2) / d + 1) ** 3 - 1).sum(-1)
    weighted = [math.sqrt(math.comb(3, p) / d**p) / n * total.flatten(-2) for p, total in enumerate(sums, start=1)]
    return _Moments(torch.cat(weighted, -1), diagonal / n)


def _cubic_kernel(dimension: int, a: Tensor, b: Tensor) -> Tensor:
    inner = (a @ b.transpose(-1, -2)).div_(dimension)
    return (inner + 3).mul_(inner).add_(3).mul_(inner)


def _kernel(real: Reference, fake: Tensor, widths: _Widths | None) -> Kernel:
    """Return the Gaussian kernel of these widths or the cubic one, each maybe less 1; InputError where it says nothing.

    What is the same for all pairs drops out of the distance, and near 1 it would take the digits.
    """
    if widths is not None:
        return _gaussian_kernel(real, widths)
    if max(float(side.abs().max()) for side in (real.real, fake)) > CUBED:
        raise InputError(f"The cubic kernel of numbers beyond {CUBED:g} is infinite: scale both samples down.")
    return partial(_cubic_kernel, fake.shape[-1])


def _gaussian_kernel(real: Reference, widths: _Widths) -> Kernel:
    wide = widths.number == 1 and widths.widest > _typical_distance(real)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # distances keep their digits near the origin
        apart = squared_distances(a - real.centre, b - real.centre).div_(-2 * widths.widest**2)
        if wide:
            return apart.expm1_()
        value = apart.exp_()
        total = value.clone()
        for _ in range(widths.number - 1):
            # half the width is the fourth power
            total += value.square_().square_()
        return total.div_(widths.number)

    if widths.number == 1 and float(_within_real(real, kernel, widths)) == 0:
        raise InputError(
            f"'bandwidth' is {widths.widest:g}, by which no two real samples are nearer to each other than others: "
            "take one that is nearer to their distances."
        )
    return kernel


def _widths(real: Reference, bandwidth: float | None) -> _Widths:
    if bandwidth is None:
        median = _typical_distance(real)
        if median == 0:
            raise InputError("'real' consists mostly of copies: pass the 'bandwidth' of the kernel.")
        return _Widths(median, HALVINGS)
    return _Widths(float(above("bandwidth", bandwidth)), 1)


def _typical_distance(real: Reference) -> float:
    return real.once("median distance", lambda: _median_distance(real.real))


def _median_distance(real: Tensor) -> float:
    few = real[:: -(-len(real) // MEDIAN_OF)].double()
    few = few - few.mean(0)
    upper = torch.ones(len(few), len(few), dtype=torch.bool, device=few.device).triu(1)
    return float(squared_distances(few, few)[upper].median().sqrt())


def _by_pairs(real: Reference, fake: Tensor, kernel: Kernel, key: object) -> Tensor:
    """Return the unbiased MMD^2, [...], from the kernel of all pairs, block by block."""
    samples = real.real
    known = _within_real(real, kernel, key)
    scores = [
        known + _mean_within(run, kernel) - 2 * _sum(run, samples, kernel) / (len(run) * len(samples))
        for run in fake.reshape(-1, *fake.shape[-2:])
    ]
    return torch.stack(scores).reshape(fake.shape[:-2])


def _within_real(real: Reference, kernel: Kernel, key: object) -> Tensor:
    return real.once(("kernel mean", key), lambda: _mean_within(real.real, kernel))


def _mean_within(x: Tensor, kernel: Kernel) -> Tensor:
    """Return the mean of the kernel over all pairs of different samples."""
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for rows in spans(len(x), len(x), x.device):
        # each pair once; the sum below the diagonal is that above it
        block = kernel(x[rows].double(), x[rows].double())
        # not taken off the sum, in which a narrow kernel's values would be lost
        block.diagonal().zero_()
        total += block.sum()
        total += 2 * _sum(x[rows], x[rows.stop :], kernel)
    return total / (len(x) * (len(x) - 1))


def _sum(a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    total = torch.zeros((), dtype=torch.float64, device=a.device)
    for rows in spans(len(a), max(len(b), 1), a.device):
        part = a[rows].double()
        # columns at a time as well, lest the others be held in float64 as a whole
        for columns in spans(len(b), max(len(part), b.shape[-1]), a.device):
            total += kernel(part, b[columns].double()).sum()
    return total
