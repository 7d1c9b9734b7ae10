"""Autoregressive models: each element by those before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, log_normal, share_below
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne
from ganbench.registry import register

NARROWEST = -6.0
"""Logarithm of the least scale of a component: narrower ones are lost to the rounding of float32."""


class Masked(nn.Linear):
    """A linear layer that sees of its inputs what a mask [out, in] lets through."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Autoregression(Form):
    """A perceptron whose masks let each element's mixture of Gaussians depend on the elements before it alone."""

    density = smooth = True

    def __init__(self, size: int, width: int, depth: int, components: int) -> None:
        super().__init__()
        self.size, self.components, self.numbers = size, components, 2 * size
        # by which element a unit may be read at the earliest: it sees those up to its own degree
        hidden = torch.arange(width) % max(1, size - 1) + 1
        degrees = [torch.arange(size) + 1, *[hidden] * depth]
        masks = [(after[:, None] >= before[None]).float() for before, after in itertools.pairwise(degrees)]
        last = (torch.arange(size)[:, None] + 1 > degrees[-1][None]).float()
        layers = [part for mask in masks for part in (Masked(mask), nn.ReLU())]
        # each element's numbers stand side by side: logits, means and logarithms of scales
        self.body = nn.Sequential(*layers, Masked(last.repeat_interleave(3 * components, dim=0)))

    def mixtures(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logarithms of weights, means and logarithms of scales of each element's mixture [n, size, k]."""
        logits, mean, scale = self.body(x).unflatten(-1, (self.size, 3, self.components)).unbind(-2)
        return logits.log_softmax(-1), mean, scale.clamp(min=NARROWEST)

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        weight, mean, scale = self.mixtures(x)
        return (weight + log_normal(x.unsqueeze(-1), mean, scale)).logsumexp(-1).sum(-1)

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return minus the logarithm of the density, a mean over elements [n]."""
        return -self.log_density(x, normal) / self.size

    def sample(self, normal: Tensor) -> Tensor:
        chance, spread = normal.chunk(2, dim=-1)
        chance, x = share_below(chance), torch.zeros_like(spread)
        each = torch.eye(self.size, dtype=x.dtype, device=x.device)
        for place in range(self.size):
            weight, mean, scale = (part[..., place, :] for part in self.mixtures(x))
            below = (weight.exp().cumsum(-1) < chance[..., place, None]).sum(-1, keepdim=True)
            below = below.clamp(max=self.components - 1)
            value = mean.gather(-1, below) + scale.gather(-1, below).exp() * spread[..., place, None]
            x = x + value * each[place]
        return x


@register("model", ignores=NO_GAME, needs=NO_LABELS, likelihood="exact")
def made(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 64,
    depth: AtLeastOne = 2,
    components: AtLeastOne = 8,
) -> Trained:
    """Autoregressive model: a masked perceptron gives each element's mixture of Gaussians (MADE, Germain 2015).

    `depth` hidden layers of `width` units, mixtures of `components` (Uria 2013), elements in the order in which they
    are stored. A sample takes one pass for each of its elements. The optimizer's rate is that of G.
    """
    return Trained(runs, problem, device, lambda: Autoregression(math.prod(problem.shape), width, depth, components))
