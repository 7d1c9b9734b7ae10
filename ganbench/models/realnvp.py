"""Normalizing flows: invertible maps of which the density is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, log_normal, perceptron
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne, Positive
from ganbench.registry import register


class Coupling(nn.Module):
    """Scales and shifts some elements by what a perceptron makes of the others (Dinh 2017, eq. 9)."""

    kept: Tensor

    def __init__(self, kept: Tensor, width: int, depth: int, limit: float) -> None:
        super().__init__()
        self.body, self.limit = perceptron(len(kept), width, depth, 2 * len(kept)), limit
        self.register_buffer("kept", kept)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the scales, and the shifts, [n, size] both; 0 for what is kept."""
        scale, shift = (self.body(x * self.kept) * (1 - self.kept).repeat(2)).chunk(2, dim=-1)
        return self.limit * (scale / self.limit).tanh(), shift


class Flow(Form):
    """Couplings, one behind the other: from samples to N(0, 1) and back."""

    density = smooth = True

    def __init__(self, size: int, couplings: int, width: int, depth: int, limit: float) -> None:
        super().__init__()
        self.numbers = size
        masks = [kept_by(place, size) for place in range(couplings)]
        self.couplings = nn.ModuleList(Coupling(kept, width, depth, limit) for kept in masks)

    def normalized(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map samples [n, size] to what is N(0, 1) of them, with the logarithm of the map's volume [n]."""
        volume = torch.zeros_like(x[:, 0])
        for coupling in self.couplings:
            scale, shift = coupling(x)
            x, volume = x * scale.exp() + shift, volume + scale.sum(-1)
        return x, volume

    def sample(self, normal: Tensor) -> Tensor:
        for coupling in reversed(self.couplings):
            scale, shift = coupling(normal)
            normal = (normal - shift) * (-scale).exp()
        return normal

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        normalized, volume = self.normalized(x)
        return log_normal(normalized, 0.0, 0.0).sum(-1) + volume

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return minus the logarithm of the density, a mean over elements [n]."""
        return -self.log_density(x, normal) / self.numbers


def kept_by(place: int, size: int) -> Tensor:
    """Return 1 for the elements that a coupling keeps, 0 for those that it moves [size].

    By the bits of their places, one after the other, each with both halves: neighbours first, then pairs, ...
    """
    bits = max(1, (size - 1).bit_length())
    return (((torch.arange(size) >> (place // 2 % bits)) + place) % 2).float()


@register("model", ignores=NO_GAME, needs=NO_LABELS, likelihood="exact")
def realnvp(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    couplings: AtLeastOne = 8,
    width: AtLeastOne = 32,
    depth: AtLeastOne = 2,
    limit: Positive = 2.0,
) -> Trained:
    """Normalizing flow of affine couplings, trained by its exact likelihood (RealNVP, Dinh 2017).

    A coupling's perceptron has `depth` hidden layers of `width` units; the logarithms of its scales are held within
    `limit`. The optimizer's rate is that of G.
    """
    return Trained(runs, problem, device, lambda: Flow(math.prod(problem.shape), couplings, width, depth, limit))
