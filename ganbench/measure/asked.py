"""Metrics that are measured where a suite asks for them, `metrics=kid+cmmd`, beside those that always are.

They say what users of published tables look for, at a cost or with blind spots that not every study should bear.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganbench.measure import metrics  # those that are always measured, registered first
from ganbench.measure import shape as shape  # and these after them
from ganbench.measure import translated as translated
from ganbench.measure import useful as useful
from ganbench.measure.of_models import Seen
from ganbench.metrics import gaussian, kernels, memorization, neighbours
from ganbench.metrics.inputs import exact, measures_of
from ganbench.metrics.reference import Reference
from ganbench.problems.base import stream
from ganbench.registry import FINITE, Measure, positive, register, share


@register("metric", asked=True, spaces=True, measures=measures_of(kernels.kid))
def kid(real: Reference, fake: Tensor, *, subsets: int = 100) -> dict[str, Tensor]:
    """KID of all pairs, and its mean and standard deviation over random subsets (Binkowski 2018).

    Subsets of 1000 samples, but at most half of those that there are, beyond which they would be much the same.
    """
    return kernels.kid(real, fake, subsets=subsets)._asdict()


@register("metric", asked=True, spaces=True, measures=measures_of(kernels.cmmd))
def cmmd(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """CMMD: the kernel distance of directions in any feature space (Jayasumana 2024, there of CLIP)."""
    return {"cmmd": kernels.cmmd(real, fake)}


@register(
    "metric",
    asked=True,
    spaces=True,
    needs={FINITE: "needs a problem with finitely many training samples"},
    measures={**measures_of(memorization.authenticity), **measures_of(memorization.mifid)},
)
def memorization_(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """Authenticity (Alaa 2022) and MiFID (Bai 2021): whether the generator repeats its training samples."""
    known = real.training.real
    return {"authenticity": memorization.authenticity(known, fake), **memorization.mifid(known, fake)._asdict()}


@register(
    "metric",
    asked=True,
    space="inception",
    needs={"published_inception": "needs the feature space 'inception' with the weights of FID"},
    measures={
        "fid": positive(
            "Frechet distance of the published Inception features (FID), at as many samples as the suite says", "down",
            perfect=0.0, scale="log",
            blind="Published figures take 50 000 samples; fewer add a bias that the oracle's score shows.",
        )
    },
)  # fmt: skip
def fid(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """FID (Heusel 2017): where the weights in GANBENCH_INCEPTION are the published ones, by their hash."""
    return {"fid": gaussian.frechet_distance(real, fake)}


@register(
    "metric",
    asked=True,
    space="spectrum",
    needs={"image": "needs a problem of images"},
    measures={
        "sharpness": positive(
            "power of the highest frequencies, over that of real images: below 1 samples are smooth, above it noisy",
            perfect=1.0, scale="log", blind="Noise makes up for what is blurred.",
        ),
        "checkerboard": positive(
            "power of period 2, over that of real images: what transposed convolutions of stride 2 leave", perfect=1.0,
            scale="log", blind="Noise has it too: read it beside sharpness.",
        ),
    },
)  # fmt: skip
def sharpness(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """How much of the highest frequencies samples have, and how much of a checkerboard (Odena 2016), over real ones."""
    power, known = (exact(each[..., -2:]).clamp(min=0).mean(-2) for each in (fake, real.real))
    ratio = power / known.clamp(min=FAINT)
    return {"sharpness": ratio[..., 0], "checkerboard": ratio[..., 1]}


FAINT = 1e-12  # power below which real images have none


@register(
    "metric",
    asked=True,
    labelled=True,
    needs={"label": "needs a problem that gives labels"},
    measures={
        "class_frechet": positive(
            "mean over classes of the Frechet distance within each (intra-FID), and that of each", "down",
            perfect=0.0, scale="log",
            blind="With fewer samples in a class than features, most of it is the bias of small samples: read it "
            "against the oracle.",
        )
    },
)  # fmt: skip
def class_frechet(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Frechet distance within each class and their mean (Miyato & Koyama 2018); NaN for a class of one sample."""
    training = real.training
    assert training.labels is not None
    label = label.expand(fake.shape[:-1])
    alike = bool((label == label[:1]).all())
    found = gaussian.by_class(training.real, fake, training.labels, label[0] if alike else label)
    return {"class_frechet": found.mean(-1), **metrics.by_place("class_frechet", found)}


FEWEST = 4
"""Samples of a class that have three neighbours."""


@register(
    "metric",
    asked=True,
    labelled=True,
    needs={"label": "needs a problem that gives labels"},
    measures={
        "class_recall": share(
            "mean over classes of the recall within each (k = 3), and that of each", "up",
            blind="Of few samples a class: read it against the oracle.",
        )
    },
)  # fmt: skip
def class_recall(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Recall (Kynkaanniemi 2019) of the fakes made for each class in its training samples, and the mean of these.

    As many real as fake samples of a class; NaN for one of fewer than 4. It tells a G that makes one picture a class.
    """
    training = real.training
    assert training.labels is not None
    label, known = label.expand(fake.shape[:-1]), training.labels
    pools = [training.real.real[known == place] for place in range(int(known.max()) + 1)]
    rows = [
        torch.stack([_recall(pool, own[asked == place]) for place, pool in enumerate(pools)])
        for own, asked in zip(fake.flatten(0, -3), label.flatten(0, -2), strict=True)
    ]
    found = torch.stack(rows).unflatten(0, fake.shape[:-2])
    return {"class_recall": found.mean(-1), **metrics.by_place("class_recall", found)}


def _recall(real: Tensor, fake: Tensor) -> Tensor:
    count = min(len(real), len(fake))
    if count < FEWEST:
        return torch.full((), float("nan"), dtype=torch.float64, device=fake.device)
    return neighbours.precision_recall(real[:count], fake[:count]).recall


@register(
    "metric",
    acts_on="models",
    asked=True,
    measures={
        "bits_per_dim": Measure(
            "bits an element that held-out samples take in a code made for the model: minus the logarithm of its "
            "density, or of a bound from below, and of the step between an element's values where there are such steps",
            "down",
            unit="bits",
            blind="Says next to nothing of how good samples are: a model may give all data its share of likelihood and "
            "make bad samples nearly always (Theis 2016).",
        )
    },
)
def likelihood(seen: Seen) -> dict[str, Tensor]:
    """How likely held-out samples are to a model that can tell, in bits an element; less is better.

    Where elements have steps between their values, uniform noise as wide is added to them, so that the code of the
    density is no shorter than one of the values themselves (Theis 2016, eq. 5).
    """
    x = seen.held_out
    if seen.grain:
        uniform = torch.rand(x.shape, generator=stream("between values", 0)).to(x)
        x = x + seen.grain * (uniform - 0.5)
    found = seen.log_density(x)
    if found is None:
        return {}
    nats = -exact(found).mean(1) / x[0].numel()
    return {"bits_per_dim": (nats - (math.log(seen.grain) if seen.grain else 0.0)) / math.log(2)}


@register(
    "metric",
    acts_on="models",
    asked=True,
    measures={
        "ms_per_sample": positive(
            "milliseconds that a sample takes, of all that a probe makes for all runs of a population at once", "down",
            "ms", scale="log", blind="One sample alone takes longer: passes of many have a cost of their own.",
        )
    },
)  # fmt: skip
def latency(seen: Seen) -> dict[str, Tensor]:
    """How long a sample takes to make, in company of all others of a probe."""
    if seen.seconds is None:
        return {}
    each = 1000 * seen.seconds / (seen.runs * seen.samples)
    return {"ms_per_sample": torch.full((seen.runs,), each, dtype=torch.float64)}


@register(
    "metric",
    acts_on="models",
    asked=True,
    needs={"reconstruction": "needs a model that encodes samples and decodes them"},
    measures={
        "reconstruction_error": positive(
            "mean squared error, an element, of held-out samples that are encoded and decoded", "down", perfect=0.0,
            scale="log", blind="The least error is that of blurred samples: what a discriminator sharpens costs some.",
        ),
        "codebook_perplexity": positive(
            "codes in use: the exponential of the entropy of how often each is chosen for held-out samples", "up",
            "codes", scale="log", blind="Of few held-out samples no more than there are places in them.",
        ),
        "adversarial_weight": positive(
            "what a discriminator's word counts beside the reconstruction in the last step, 0 before it begins",
            scale="log",
        ),
    },
)  # fmt: skip
def reconstruction(seen: Seen) -> dict[str, Tensor]:
    """How well held-out samples come back, how much of a codebook they use, and what a discriminator's word counts."""
    found: dict[str, Tensor] = {}
    if (back := seen.reconstruct(seen.held_out)) is not None:
        found["reconstruction_error"] = exact(back - seen.held_out).square().flatten(1).mean(1)
    if (tokens := seen.tokens(seen.held_out)) is not None:
        found["codebook_perplexity"] = _perplexity(*tokens)
    if seen.word is not None:
        found["adversarial_weight"] = seen.word
    return found


def _perplexity(places: Tensor, size: int) -> Tensor:
    """Return how many codes are in use [...], of places [..., n]: the exponential of the entropy of their shares."""
    shares = one_hot(places, size).double().mean(-2)
    return (-torch.xlogy(shares, shares).sum(-1)).exp()
