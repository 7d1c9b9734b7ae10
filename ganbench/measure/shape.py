"""Metrics of how samples lie among themselves: what tells constant, too tight and repeated samples from good ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganbench.measure.metrics import nearest_mode, radius
from ganbench.metrics.distances import medians
from ganbench.metrics.reference import Reference
from ganbench.problems.base import stream
from ganbench.registry import Measure, positive, register, share

MOST = 0.85
"""Of the samples, by which a spread is measured: a few that stray say nothing about the others."""
SAME = 1e-5
"""Of the real samples' spread: what lies so close is the same point, up to the rounding of float32."""


@register(
    "metric",
    measures={
        "sample_spread": positive(
            "distance from their median within which 85 % of fakes lie, over that of real samples",
            role="spread",
            blind="Says nothing about where the samples are, nor how many modes there are between the outermost.",
        )
    },
)  # fmt: skip
def dispersion(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """How far fakes lie apart among themselves, over the same of real samples: 0 where all but a few are one point."""
    own = real.once("radius", lambda: _radius(real.real))
    # of real samples that are mostly one point nobody can tell
    return {"sample_spread": torch.where(own > 0, _radius(fake) / own, float("nan"))}


def _radius(samples: Tensor) -> Tensor:
    """Return the distance [...] from their median, coordinate by coordinate, of MOST of the samples [..., n, d]."""
    centre = medians(samples).double()
    parts = [torch.linalg.vector_norm(part.double() - centre, dim=-1) for part in samples.split(1024, dim=-2)]
    return torch.cat(parts, dim=-1).kthvalue(math.ceil(MOST * samples.shape[-2]), dim=-1).values


@register(
    "metric",
    needs={"modes": "needs a problem with known modes"},
    measures={
        "mode_width": Measure(
            "root mean square distance of high-quality samples from their mode's centre, in standard deviations of it",
            None, (0.0, float("inf")), "standard deviations", role="width",
            blind="Of modes of different widths it tells the average.",
        )
    },
)  # fmt: skip
def mode_widths(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """How wide the modes of the high-quality samples are: a perfect sampler's is just below 1, for it is cut off."""
    assert real.modes is not None
    good, _, squared = nearest_mode(real.modes, fake)
    spread = real.modes.std**2 * fake.shape[-1]
    # of no sample at all the width is the largest that counts
    largest = radius(real.modes, fake.shape[-1]) ** 2 / spread
    counted = good.sum(-1)
    mean = torch.where(good, squared, 0.0).sum(-1) / counted.clamp(min=1) / spread
    return {"mode_width": torch.where(counted > 0, mean, largest).sqrt()}


@register(
    "metric",
    measures={
        "repeated": share(
            "share of samples that are the same as another one, to the rounding of numbers", role="repeats",
            blind="Sees no copies with a little noise on them, and none of a set far larger than the samples.",
        )
    },
)  # fmt: skip
def repeats(real: Reference, fake: Tensor) -> dict[str, Tensor]:
    """How many samples are repeated: next to none of a generator with a continuous latent, whatever it has learned."""
    direction = torch.randn(fake.shape[-1], generator=stream("repeats", 0), dtype=torch.float64).to(fake.device)
    order = (fake.double() @ direction).argsort(dim=-1)
    # what is the same has the same projection, and so is next to each other
    ordered = fake.gather(-2, order.unsqueeze(-1).expand_as(fake))
    radius = real.once("radius", lambda: _radius(real.real))
    same = (ordered[..., 1:, :] - ordered[..., :-1, :]).abs().amax(-1) <= SAME * radius
    none = torch.zeros_like(same[..., :1])
    return {"repeated": (torch.cat([same, none], -1) | torch.cat([none, same], -1)).double().mean(-1)}
