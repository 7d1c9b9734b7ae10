"""Which modes or classes the samples are on, as one column each: what tells rotation from dropping."""

from __future__ import annotations

import math

import torch
from scipy.stats import chi
from torch import Tensor

from ganbench.metrics.reference import Reference, squared_distances
from ganbench.registry import register, share

MOST = 32
"""Problems with more modes get no columns of this kind: nobody reads a thousand columns."""

# the same radius and certainty as those by which modes and classes are counted
WITHIN = 1 - math.exp(-9 / 2)


def _shares(name: str, index: Tensor, counted: Tensor, bins: int) -> dict[str, Tensor]:
    """Return the share of all samples [..., n] that are counted and fall on each index, a column [...] each."""
    counts = torch.zeros(*index.shape[:-1], bins, dtype=torch.float64, device=index.device)
    counts = counts.scatter_add_(-1, index, counted.double()) / index.shape[-1]
    return {f"{name}.{place}": counts[..., place] for place in range(bins)}


@register(
    "metric",
    needs={"modes": "needs a problem with known modes"},
    measures={"mode_share": share("share of samples that are of high quality and nearest to this mode")},
)
def mode_shares(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """Share of samples on each mode, by high-quality samples only; for at most 32 modes."""
    assert real.modes is not None
    centres = real.modes.centres.to(fake.device)
    if len(centres) > MOST:
        return {}
    squared, nearest = squared_distances(fake.double(), centres).min(-1)
    good = squared <= (real.modes.std * float(chi.ppf(WITHIN, fake.shape[-1]))) ** 2
    return _shares("mode_share", nearest, good, len(centres))


@register(
    "metric",
    needs={"classes": "needs a problem with classes"},
    space="classifier",
    measures={"class_share": share("share of samples that the classifier is sure belong to this class")},
)
def class_shares(real: Reference, fake: Tensor, *, confidence: float = 0.9) -> dict[str, Tensor]:
    """Share of samples on each class, by samples that the classifier is sure of; for at most 32 classes."""
    assert real.class_head is not None
    best, label = (probabilities := real.class_head(fake)).max(-1)
    classes = probabilities.shape[-1]
    return _shares("class_share", label, best >= confidence, classes) if classes <= MOST else {}
