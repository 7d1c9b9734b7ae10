"""The metrics of a study: what `ganbench.metrics` computes of a real `Reference` and fakes [..., n, d], as columns.

A metric is `(real, fake, *, hypers) -> {column: tensor [...]}` and declares what each column means. It sees finite
fakes only: `evaluate` answers NaN for a run whose samples are not. What each metric cannot see is in docs/metrics.md.
"""

from __future__ import annotations

import math

import torch
from scipy.special import gammaincinv
from torch import Tensor

from ganbench.measure.predicted import classes_of, expected_classes, predictions
from ganbench.metrics import gaussian, transport
from ganbench.metrics.classes import histogram_divergences
from ganbench.metrics.inputs import measures_of
from ganbench.metrics.neighbours import prdc
from ganbench.metrics.reference import Reference, squared_distances
from ganbench.problems.base import Modes
from ganbench.registry import positive, register, share

# the share of a 2-D Gaussian within three standard deviations; the same share bounds high quality in every dimension
WITHIN = 1 - math.exp(-9 / 2)
# problems with more modes or classes get no column for each: nobody reads a thousand of them
MOST = 32


def _histogram(index: Tensor, counted: Tensor, bins: int) -> Tensor:
    """Return how many counted entries [..., n] fall on each index, [..., bins]."""
    empty = torch.zeros(*index.shape[:-1], bins, dtype=torch.float64, device=index.device)
    return empty.scatter_add_(-1, index, counted.double())


@register(
    "metric",
    needs={"modes": "needs a problem with known modes"},
    measures={
        "modes_hit": positive(
            "modes with at least one high-quality sample", "up", "modes",
            blind="One sample by chance is enough to hit a mode.",
        ),
        "modes_covered": positive(
            "modes with at least a quarter of their share of samples", "up", "modes", role="modes",
            blind="Says nothing about the quality of samples, nor about the balance of the modes it counts.",
        ),
        "high_quality": share(
            "share of samples within three standard deviations of a mode", "up", role="quality",
            blind="Above the oracle is not better: the samples are too tight around their modes. Says nothing about "
            "how many modes there are.",
        ),
        "mode_kl": positive(
            "KL divergence of the mode histogram from the true weights", "down", "nats", role="divergence",
            blind="A perfect sampler is not at 0 but at about (modes - 1) / (2 samples).",
        ),
    },
)  # fmt: skip
def mode_statistics(real: Reference, fake: Tensor, *, quota: float = 0.25) -> dict[str, Tensor]:
    """Modes hit and covered, high-quality share, KL of the mode histogram (Srivastava 2017, Lin 2018).

    High quality means within the chi quantile that holds 98.889 % of a Gaussian in any dimension, three standard
    deviations in two, unless the problem says within how many (`Modes.within`). A mode is covered by `quota` of its
    true weight in high-quality samples.
    """
    good, counts, weights = _on_modes(real, fake)
    return {
        "modes_hit": (counts > 0).double().sum(-1),
        "modes_covered": (counts >= quota * weights * fake.shape[-2]).double().sum(-1),
        "high_quality": good.double().mean(-1),
        "mode_kl": histogram_divergences(counts, weights).kl,
    }


def _on_modes(real: Reference, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which fakes are of high quality [..., n], their number on each mode [..., K], and the true weights [K]."""
    assert real.modes is not None
    good, nearest, _ = nearest_mode(real.modes, fake)
    return good, _histogram(nearest, good, len(real.modes.centres)), real.modes.weights.to(fake.device)


def nearest_mode(modes: Modes, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which fakes are of high quality, which mode is nearest to each, and its squared distance, [..., n]."""
    fake, centres = fake.double(), modes.centres.to(fake.device)
    apart = squared_distances(fake, centres)
    if modes.basis is not None:
        # as far in the null directions as it were in the others, in standard deviations
        basis = modes.basis.to(fake.device)
        along = squared_distances(fake @ basis, centres @ basis)
        apart = along + (apart - along).clamp(min=0) * (modes.std / modes.null_std) ** 2
    squared, nearest = apart.min(-1)
    return squared <= radius(modes, fake.shape[-1]) ** 2, nearest, squared


def radius(modes: Modes, dimension: int) -> float:
    """Return how far from its mode's centre a sample is of high quality."""
    # a quantile of the chi distribution; scipy.stats, which has it by name, takes most of a second to import
    within = math.sqrt(2 * gammaincinv(dimension / 2, WITHIN)) if modes.within is None else modes.within
    return modes.std * within


@register(
    "metric",
    needs={"modes": "needs a problem with known modes"},
    measures={"mode_share": share("share of samples that are of high quality and nearest to this mode", role="shares")},
)
def mode_shares(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """Share of samples on each mode, by high-quality samples only: tells rotation from dropping; up to 32 modes."""
    return by_place("mode_share", _on_modes(real, fake)[1] / fake.shape[-2])


def by_place(name: str, values: Tensor) -> dict[str, Tensor]:
    """Return values [..., modes or classes] as a column for each, none where there are too many to read."""
    count = values.shape[-1]
    return {f"{name}.{place}": values[..., place] for place in range(count)} if count <= MOST else {}


@register(
    "metric",
    needs={"classes": "needs a problem with classes"},
    space="classifier",
    measures={
        "classes_covered": positive(
            "classes with at least a quarter of their share of samples", "up", "classes", role="modes",
            blind="Counts by a classifier that names every picture, however bad, as some digit.",
        ),
        "class_kl": positive(
            "KL divergence of the histogram of classes from a perfect sampler's", "down", "nats", role="divergence",
            blind="A perfect sampler is not at 0 but at about (classes - 1) / (2 samples).",
        ),
        "confident": share(
            "share of samples that the classifier is at least 90 % sure of", "up",
            blind="A classifier can be sure about pictures that look like nothing.",
        ),
    },
)  # fmt: skip
def class_statistics(
    real: Reference, fake: Tensor, *, quota: float = 0.25, confidence: float = 0.9
) -> dict[str, Tensor]:
    """Classes covered, their histogram's divergence and the classifier's confidence, by a classifier of the data.

    Samples count that the classifier is sure of: at least as sure as `confidence`, or as of half of what a perfect
    sampler gives and it takes for this class. A class is covered by `quota` of what a perfect sampler counts on it.
    """
    best, label = predictions(real, fake)
    expected = expected_classes(real, confidence)
    counts = _histogram(label, best >= expected.bar.to(best)[label], len(expected.share))
    enough = counts >= quota * expected.share.to(counts) * fake.shape[-2]
    return {
        "classes_covered": (enough & (counts > 0)).double().sum(-1),
        "class_kl": histogram_divergences(counts, expected.weights.to(counts)).kl,
        "confident": (best >= confidence).double().mean(-1),
    }


@register(
    "metric",
    needs={"classes": "needs a problem with classes"},
    space="classifier",
    measures={"class_share": share("share of samples that the classifier is sure belong to this class", role="shares")},
)
def class_shares(real: Reference, fake: Tensor, *, confidence: float = 0.9) -> dict[str, Tensor]:
    """Share of samples on each class, by samples that the classifier is sure of; up to 32 classes."""
    best, label = predictions(real, fake)
    expected = expected_classes(real, confidence)
    sure = best >= expected.bar.to(best)[label]
    return by_place("class_share", _histogram(label, sure, len(expected.share)) / fake.shape[-2])


@register(
    "metric",
    needs={"classes": "needs a problem with classes", "stack": "needs a problem of stacked images"},
    late=True,
    space="classifier",
    measures={
        "stacked_hit": positive(
            "combinations with at least one sample of all whose channels the classifier is sure", "up", "modes",
            role="published",
            blind="One sample by chance is enough, and how many a perfect sampler hits depends on how many are drawn.",
        ),
        "stacked_kl": positive(
            "KL divergence of the histogram of these combinations from the uniform one", "down", "nats",
            blind="A perfect sampler is not at 0 but at about (modes - 1) / (2 samples), and above that by what the "
            "classifier is less sure of.",
        ),
    },
)  # fmt: skip
def stacked_modes(real: Reference, fake: Tensor, *, confidence: float = 0.729) -> dict[str, Tensor]:
    """Modes of stacked images that are hit, and their histogram's divergence (Metz 2017), by sure samples alone.

    An untrained generator hits hundreds of modes by whatever a classifier takes its noise for. Sure means that the
    probabilities of the channels' classes have a product of 0.729, 0.9 in each of three.
    """
    best, label = predictions(real, fake)
    counts = _histogram(label, best >= confidence, classes_of(real))
    return {"stacked_hit": (counts > 0).double().sum(-1), "stacked_kl": histogram_divergences(counts).kl}


@register(
    "metric",
    needs={"modes": "needs a problem with known modes", "factors": "needs a problem of known factors"},
    late=True,
    measures={
        "factors_covered": positive(
            "values of all factors with at least a quarter of their share of samples", "up", "values",
            blind="Says nothing about combinations: every value may be there, and most of them together may not.",
        ),
        "factor_kl": positive(
            "KL divergence of the values of a factor from their true shares, of the worst factor", "down", "nats",
            blind="A perfect sampler is not at 0 but at about (values - 1) / (2 samples).",
        ),
        "factor_share": share("share of samples of high quality, of all, that have this value of this factor"),
    },
)  # fmt: skip
def factor_statistics(real: Reference, fake: Tensor, *, quota: float = 0.25) -> dict[str, Tensor]:
    """Which values of each factor samples have, counted as modes are: a lost attribute is one that has no sample."""
    counts, weights = _on_modes(real, fake)[1:]
    assert real.modes is not None
    assert real.modes.factors is not None
    shares, divergences, covered = [], [], torch.zeros_like(counts[..., 0])
    for values in real.modes.factors.to(fake.device).unbind(1):
        to_values = torch.nn.functional.one_hot(values).double()
        own, true = counts @ to_values, weights @ to_values
        covered = covered + (own >= quota * true * fake.shape[-2]).double().sum(-1)
        divergences.append(histogram_divergences(own, true).kl)
        shares.append(own / fake.shape[-2])
    return {
        "factors_covered": covered,
        "factor_kl": torch.stack(divergences).amax(0),
        **by_place("factor_share", torch.cat(shares, dim=-1)),
    }


@register(
    "metric",
    needs={"modes": "needs a problem with known modes", "label": "needs a problem that gives labels"},
    labelled=True,
    measures={
        "label_fidelity": share(
            "share of samples of high quality that lie on the mode of their label",
            "up",
            role="fidelity",
            blind="Cannot be above the share of modes that are there; says nothing about variety within a mode.",
        ),
    },
)
def label_fidelity(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Share of samples that are of high quality and nearest to the mode of their label, in all and by label."""
    assert real.modes is not None
    good, nearest, _ = nearest_mode(real.modes, fake)
    return _fidelity("label_fidelity", good & (nearest == label), label, len(real.modes.centres))


@register(
    "metric",
    needs={"classes": "needs a problem with classes", "label": "needs a problem that gives labels"},
    space="classifier",
    labelled=True,
    measures={
        "class_fidelity": share(
            "share of samples that the classifier takes for their label",
            "up",
            role="fidelity",
            blind="A classifier names every picture, however bad, as some class.",
        ),
    },
)
def class_fidelity(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Share of samples that a classifier of the data takes for the class of their label, in all and by label."""
    return _fidelity("class_fidelity", predictions(real, fake)[1] == label, label, classes_of(real))


def _fidelity(name: str, right: Tensor, label: Tensor, classes: int) -> dict[str, Tensor]:
    """Return the share of right ones [...] among all samples, and among those of each label."""
    label = label.expand(right.shape)
    counts, hits = (_histogram(label, counted, classes) for counted in (torch.ones_like(right), right))
    return {name: right.double().mean(-1), **by_place(name, hits / counts)}


@register("metric", measures=measures_of(prdc))
def neighbours(real: Reference, fake: Tensor, *, k: int = 3, density_k: int = 5) -> dict[str, Tensor]:
    """Precision and recall (Kynkaanniemi 2019, eq. 1), density and coverage (Naeem 2020, eq. 3 and 5)."""
    return prdc(real, fake, k=k, density_k=density_k)._asdict()


@register(
    "metric",
    spaces=True,
    measures={
        **measures_of(gaussian.frechet_distance),
        "frechet_pixels": positive("Frechet distance of the pixels", "down", perfect=0.0),
        "frechet_classifier": positive(
            "Frechet distance of the classifier's features", "down", perfect=0.0,
            blind="A classifier's features hardly see pixel noise.",
        ),
    },
)  # fmt: skip
def frechet(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """Frechet distance of the Gaussians with the samples' means and covariances (Heusel 2017, eq. 6)."""
    return {"frechet": gaussian.frechet_distance(real, fake)}


@register("metric", measures=measures_of(transport.sliced_wasserstein))
def sliced_wasserstein(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """1-Wasserstein distance averaged over 32 fixed projections (Rabin 2012); sees symmetric mode dropping."""
    return {"sliced_wasserstein": transport.sliced_wasserstein(real, fake)}
