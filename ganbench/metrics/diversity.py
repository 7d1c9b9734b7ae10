"""How different are the fakes among each other, and where does their histogram leave the real one?"""

from __future__ import annotations

import torch
from scipy.special import ndtri
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.clusters import k_means
from ganbench.metrics.density import mode_samples
from ganbench.metrics.distances import neighbour_radii, squared_distances
from ganbench.metrics.inputs import Samples, measured, samples, whole
from ganbench.metrics.pairwise import above, earlier_twins, nearest, sides, twin_tolerance
from ganbench.problems.base import Modes, stream
from ganbench.registry import Measure, positive, share

# the two-proportions test leans on the normal law, for which a bin should expect about this many
BIN_SAMPLES = 5


@measured(vendi_score=Measure("effective number of different samples", "up", (1.0, float("inf")), "samples"))
def vendi_score(fake: Samples, *, bandwidth: float | None = None) -> Tensor:
    """Vendi score (Friedman and Dieng 2023): effective number of different samples among fakes [..., n, d], [...].

    exp of the entropy of the eigenvalues of K/n, with K the cosine similarity, or the Gaussian kernel
    exp(-|x - y|^2 / (2 bandwidth^2)) of a given bandwidth. n equal samples: 1; n without any similarity: n. Cosine has
    at most d different samples and takes n d^2 operations, Gaussian n^3. Raises InputError for a sample at the origin,
    which has no cosine.

    >>> round(float(vendi_score(np.eye(3))), 4)
    3.0
    """
    fake = samples(fake, "fake").double()
    n = fake.shape[-2]
    if bandwidth is None:
        kernel = _cosine(fake) / n
    else:
        centred = fake - fake.mean(-2, keepdim=True)
        kernel = torch.exp(squared_distances(centred, centred) / (-2 * above("bandwidth", bandwidth) ** 2)) / n
    entropy = torch.special.entr(torch.linalg.eigvalsh(kernel).clamp(min=0)).sum(-1)
    return entropy.clamp(min=0).exp()


def _cosine(fake: Tensor) -> Tensor:
    """Return the Gram matrix of the directions over samples or, with the same eigenvalues but 0, over dimensions."""
    length = torch.linalg.vector_norm(fake, dim=-1, keepdim=True)
    if not bool((length > 0).all()):
        raise InputError("'fake' holds a sample at the origin, which has no cosine: pass a 'bandwidth' instead.")
    unit = fake / length
    return unit @ unit.mT if unit.shape[-2] <= unit.shape[-1] else unit.mT @ unit


@measured(ndb=share("share of k-means bins of the real samples that the fakes fill differently", "down", perfect=0.05))
def ndb(real: Samples, fake: Samples, *, bins: int = 100, level: float = 0.05) -> Tensor:
    """NDB/K, the share of statistically different bins (Richardson and Weiss 2018), [...], 0 to 1.

    real [n, d], fake [..., m, d]. k-means on the real samples gives the bins, each fake goes to the nearest centre, and
    a two-proportions z-test at `level` judges each bin. Equal laws: about `level`, .02 to .06 for .05 as the bins
    are fitted to the real samples. Raises InputError where a bin would expect fewer than 5 samples.

    >>> halves = np.repeat([[0.0], [1.0]], 20, axis=0)
    >>> float(ndb(halves, np.zeros((40, 1)), bins=2))
    1.0
    """
    real, fake = sides(real, fake)
    n, m = len(real), fake.shape[-2]
    most = min(n, m) // BIN_SAMPLES
    if not 2 <= bins <= most:
        raise InputError(f"'bins' must be 2 to {most} with {n} samples in 'real' and {m} in 'fake', got {bins}.")
    fitted = k_means(real.double().cpu().numpy(), bins, 0)
    labels = torch.from_numpy(fitted.labels_).long().to(real.device)
    p = _histogram(labels, bins) / n
    q = _histogram(nearest(fake, torch.from_numpy(fitted.cluster_centers_).to(real.device))[1], bins) / m
    pooled = (n * p + m * q) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    # an empty bin is the same on both sides: 0 > 0 is false
    return ((p - q).abs() > _two_sided(level) * error).double().mean(-1)


def _two_sided(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"'level' must be between 0 and 1, got {level}.")
    return float(-ndtri(level / 2))


def _histogram(index: Tensor, bins: int) -> Tensor:
    """Return how many of [..., n] fall on each index, [..., bins], float64."""
    counts = torch.zeros(*index.shape[:-1], bins, dtype=torch.float64, device=index.device)
    return counts.scatter_add_(-1, index, torch.ones_like(index, dtype=torch.float64))


@measured(statistically_different_modes=positive("modes whose share of fakes is not their weight", "down", "modes"))
def statistically_different_modes(modes: Modes, fake: Samples, *, level: float = 0.05) -> Tensor:
    """Number of modes whose share of fakes [..., m, d] differs from their true weight, [...], 0 to K.

    Each fake goes to its nearest centre; a two-sided exact binomial test at `level` (twice the smaller tail) judges
    each mode, after Richardson and Weiss 2018 with the truth in place of a sample of it. A perfect sampler: at most
    `level` K. It takes modes that hardly overlap, and sees weights only, not whether a fake is near its mode.

    >>> pair = Modes(torch.tensor([[-1.0], [1.0]]), 0.1, torch.tensor([0.5, 0.5]))
    >>> float(statistically_different_modes(pair, np.ones((10, 1))))
    2.0
    """
    from scipy.stats import binom  # most of a second, for this alone

    _two_sided(level)
    fake, centres = mode_samples(modes, fake, "fake"), modes.centres
    counts = _histogram(nearest(fake, centres.to(fake.device))[1], len(centres)).cpu().numpy()
    law = binom(fake.shape[-2], modes.weights.cpu().numpy())
    tail = torch.from_numpy(law.cdf(counts)).minimum(torch.from_numpy(law.sf(counts - 1)))
    return (2 * tail < level).double().sum(-1).to(fake.device)


@measured(unique_share=share("share of fakes that repeat no earlier one", "up"))
def unique_share(real: Samples, fake: Samples, *, tolerance: float | None = None) -> Tensor:
    """Share of fakes [..., m, d] with no earlier one within the tolerance, [...], 1/m to 1.

    real [n, d] sets the tolerance: by default a tenth of the median distance between nearest real samples. It reveals
    the collapse onto few points, the data's mean for one, that precision and coverage take for perfection in high d.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> float(unique_share(line, np.zeros((4, 1))))
    0.25
    """
    real, fake = sides(real, fake, least=2)
    return (earlier_twins(fake, twin_tolerance(real, tolerance)) == 0).double().mean(-1)


@measured(neighbour_radius_ratio=positive("fakes' mean k-NN radius over that of as many real samples", perfect=1.0))
def neighbour_radius_ratio(real: Samples, fake: Samples, *, k: int = 3) -> Tensor:
    """Mean distance of a fake [..., m, d] to its k-th nearest fake, over the same of real samples [n, d], [...].

    Of as many of both, a fixed choice of the larger set, as the radius shrinks with their number. A perfect sampler:
    about 1; below: the fakes huddle together (0 for a collapsed generator); above: they are spread out too far.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> float(neighbour_radius_ratio(line, 2 * line, k=1))
    2.0
    """
    real, fake = sides(real, fake, least=whole(k, "k") + 1)
    size = min(len(real), fake.shape[-2])
    return _mean_radius(_some(fake, size), k) / _mean_radius(_some(real, size), k)


def _mean_radius(values: Tensor, k: int) -> Tensor:
    return neighbour_radii(values, k).sqrt().mean(-1)


def _some(values: Tensor, size: int) -> Tensor:
    if values.shape[-2] == size:
        return values
    # not the first ones: data sets often come in the order of their classes
    chosen = torch.randperm(values.shape[-2], generator=stream("subset", 0))[:size]
    return values[..., chosen.to(values.device), :]
