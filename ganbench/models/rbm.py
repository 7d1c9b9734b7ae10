"""Restricted Boltzmann machines: an energy, and chains that follow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from annotated_types import Interval
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, share_below
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne, Positive
from ganbench.registry import register

COUNTED = 12
"""Hidden units up to which the partition function is summed, state by state."""
Hidden = Annotated[int, Interval(ge=1, le=4096)]


class Machine(Form):
    """Gaussian visible units of one scale s a run, binary hidden ones.

    Energy |v - b|^2 / 2 s^2 - c h - v W h / s^2, so that v given h is N(b + W h, s^2) and h given v is 1 with the
    logistic function of c + W^T v / s^2 (Welling 2005; Hinton 2012).
    """

    smooth = True

    def __init__(self, size: int, hidden: int, chain: int, sweeps: int, scale: float) -> None:
        super().__init__()
        self.size, self.hidden, self.chain, self.sweeps = size, hidden, chain, sweeps
        self.draws, self.numbers = chain * (hidden + size), size + sweeps * (hidden + size)
        self.density = hidden <= COUNTED
        self.weight = nn.Parameter(0.1 * torch.randn(size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.log_scale = nn.Parameter(torch.full((1,), math.log(scale)))

    def free_energy(self, v: Tensor) -> Tensor:
        """Return minus the logarithm of the density that is not normalized [n]."""
        variance = (2 * self.log_scale).exp()
        inputs = self.hidden_bias + v @ self.weight / variance
        return (v - self.visible_bias).square().sum(-1) / (2 * variance) - F.softplus(inputs).sum(-1)

    def swept(self, v: Tensor, normal: Tensor) -> Tensor:
        """Return visible units [n, size] after sweeps of hidden and visible ones, by numbers [n, sweeps (both)]."""
        for numbers in normal.split(self.hidden + self.size, dim=-1):
            chance, noise = numbers.split([self.hidden, self.size], dim=-1)
            variance = (2 * self.log_scale).exp()
            on = (share_below(chance) < (self.hidden_bias + v @ self.weight / variance).sigmoid()).to(v)
            v = self.visible_bias + on @ self.weight.mT + variance.sqrt() * noise
        return v

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the difference of free energies [n] whose gradient contrastive divergence descends (Hinton 2002)."""
        with torch.no_grad():
            fantasy = self.swept(x, normal)
        return (self.free_energy(x) - self.free_energy(fantasy)) / self.size

    def sample(self, normal: Tensor) -> Tensor:
        """Follow a chain that starts at N(0, 1); the last visible units are the means, without noise."""
        v, rest = normal.split([self.size, self.sweeps * (self.hidden + self.size)], dim=-1)
        still = torch.cat([rest[:, : -self.size], torch.zeros_like(v)], dim=-1)
        return self.swept(v, still)

    def log_partition(self) -> Tensor:
        """Return the logarithm of the energies' sum over hidden states and integral over visible ones."""
        place, unit = (torch.arange(n, device=self.weight.device) for n in (2**self.hidden, self.hidden))
        on, variance = ((place[:, None] >> unit) & 1).to(self.weight), (2 * self.log_scale).exp()
        mean = self.visible_bias + on @ self.weight.mT
        exponent = on @ self.hidden_bias + (mean.square().sum(-1) - self.visible_bias.square().sum()) / (2 * variance)
        return exponent.logsumexp(0) + self.size * (self.log_scale[0] + 0.5 * math.log(2 * math.pi))

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        return -self.free_energy(x) - self.log_partition()


@register("model", ignores=NO_GAME, needs=NO_LABELS, likelihood="exact")
def rbm(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    hidden: Hidden = COUNTED,
    chain: AtLeastOne = 5,
    sweeps: AtLeastOne = 100,
    scale: Positive = 0.5,
) -> Trained:
    """Restricted Boltzmann machine, Gaussian units over binary ones, trained by contrastive divergence (Hinton 2002).

    Of `hidden` binary units, `chain` sweeps from each sample for the gradient, `sweeps` from noise for a sample. One
    scale of the Gaussians is learned, from `scale`. Up to 12 hidden units its likelihood is summed exactly; with more
    it is not told. The optimizer's rate is that of G.
    """
    return Trained(runs, problem, device, lambda: Machine(math.prod(problem.shape), hidden, chain, sweeps, scale))
