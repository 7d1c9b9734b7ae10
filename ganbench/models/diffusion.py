"""Models that make samples of noise in many small steps: diffusion and flow matching."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, log_normal, perceptron, share_below
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne
from ganbench.registry import register

FREQUENCIES = 4
MOST_ADDED = 0.9
"""Variance that a level adds at most: with more of it the way back would magnify errors."""
Levels = Annotated[int, Interval(ge=2, le=1000)]


class Timed(nn.Module):
    """A perceptron that is told the time, from 0 to 1, by waves of several lengths."""

    waves: Tensor

    def __init__(self, size: int, width: int, depth: int) -> None:
        super().__init__()
        self.body = perceptron(size + 2 * FREQUENCIES, width, depth, size)
        self.register_buffer("waves", math.pi * 2.0 ** torch.arange(FREQUENCIES))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x [n, size] at times [n, 1] to as many numbers."""
        angle = time * self.waves
        out: Tensor = self.body(torch.cat([x, angle.sin(), angle.cos()], dim=-1))
        return out


class Diffusion(Form):
    """Noise that is added in levels, and a network that tells it: levels are counted from 1, the least noise."""

    density = True
    smooth = True
    kept: Tensor
    added: Tensor

    def __init__(
        self, size: int, levels: int, width: int, depth: int, limits: tuple[float, float] | None = None
    ) -> None:
        """limits: the range of samples, within which those are held that the network's noise stands for."""
        super().__init__()
        self.size, self.levels, self.limits = size, levels, limits
        self.numbers, self.draws, self.estimates = size * levels, size + 1, size * levels
        # the variances of Ho 2020, sec. 4, as much noise in fewer levels; and what is kept of a sample's
        added = (torch.linspace(1e-4, 0.02, levels, dtype=torch.float64) * (1000 / levels)).clamp(max=MOST_ADDED)
        self.register_buffer("added", added.float())
        self.register_buffer("kept", (1 - added).cumprod(0).float())
        self.net = Timed(size, width, depth)

    def noise_at(self, x: Tensor, level: Tensor) -> Tensor:
        """Return the noise that the network sees in x [n, size] at levels [n, 1], from 0 here."""
        told: Tensor = self.net(x, (level + 1) / self.levels)
        return told

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the mean squared error of the noise that is told [n], at a level of any (Ho 2020, eq. 14)."""
        chance, noise = normal.split([1, self.size], dim=-1)
        level = (share_below(chance) * self.levels).long().clamp(max=self.levels - 1)
        kept = self.kept[level]
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return (self.noise_at(noisy, level) - noise).square().mean(-1)

    def back(self, x: Tensor, place: int) -> Tensor:
        """Return the mean [n, size] of the step from a level, from 0 here, to the one with less noise; its variance
        is `added` (Ho 2020, sec. 3.2: the best of samples that vary, where levels are many)."""
        kept = self.kept[place]
        noise = self.noise_at(x, torch.full_like(x[:, :1], place))
        told = (x - (1 - kept).sqrt() * noise) / kept.sqrt()
        return self.before(told if self.limits is None else told.clamp(*self.limits), x, place)

    def before(self, x: Tensor, noisy: Tensor, place: int) -> Tensor:
        """Return the mean of what was at the level before, given a sample and what is at this one (Ho 2020, eq. 7)."""
        added, kept = self.added[place], self.kept[place]
        least = self.kept[place - 1] if place else torch.ones_like(kept)
        return (least.sqrt() * added * x + (1 - added).sqrt() * (1 - least) * noisy) / (1 - kept)

    def sample(self, normal: Tensor) -> Tensor:
        """Go back level by level (Ho 2020, algorithm 2); the last step adds no noise."""
        x, *noises = normal.split(self.size, dim=-1)
        for place in reversed(range(self.levels)):
            x = self.back(x, place)
            if place:
                x = x + self.added[place].sqrt() * noises[place - 1]
        return x

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        """Bound it from below, level by level, with noises of each (Ho 2020, eq. 5), the last step's noise included."""
        noises = normal.split(self.size, dim=-1)
        last = self.kept[-1]
        bound = -0.5 * (last * x.square() + (1 - last) - 1 - (1 - last).log()).sum(-1)
        for place in range(self.levels):
            kept, added = self.kept[place], self.added[place]
            noisy = kept.sqrt() * x + (1 - kept).sqrt() * noises[place]
            mean = self.back(noisy, place)
            if place == 0:
                bound = bound + log_normal(x, mean, added.log() / 2).sum(-1)
            else:
                ratio = (1 - self.kept[place - 1]) / (1 - kept)
                apart = ratio - 1 - ratio.log() + (self.before(x, noisy, place) - mean).square() / added
                bound = bound - 0.5 * apart.sum(-1)
        return bound


class Matching(Form):
    """The velocity of straight ways from noise to samples, as a network tells it."""

    smooth = False

    def __init__(self, size: int, moves: int, width: int, depth: int) -> None:
        super().__init__()
        self.size, self.moves, self.numbers, self.draws = size, moves, size, size + 1
        self.net = Timed(size, width, depth)

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the mean squared error of the velocity [n], at any time of a way (Lipman 2023, eq. 23, no noise)."""
        chance, noise = normal.split([1, self.size], dim=-1)
        time = share_below(chance)
        return (self.net((1 - time) * noise + time * x, time) - (x - noise)).square().mean(-1)

    def sample(self, normal: Tensor) -> Tensor:
        """Follow the velocity from time 0 to 1 by the midpoint rule."""
        x, step = normal, 1 / self.moves
        for place in range(self.moves):
            time = torch.full_like(x[:, :1], place * step)
            half = x + step / 2 * self.net(x, time)
            x = x + step * self.net(half, time + step / 2)
        return x


@register("model", ignores=NO_GAME, needs=NO_LABELS, likelihood="bound")
def ddpm(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    levels: Levels = 50,
    width: AtLeastOne = 64,
    depth: AtLeastOne = 3,
) -> Trained:
    """Diffusion: a network learns to tell the noise in samples, and takes it away in steps (DDPM, Ho 2020).

    A perceptron of `depth` hidden layers of `width` units, `levels` of noise, a step a level for each
    sample. Of images the network's word is held within their range. The optimizer's rate is that of G.
    """
    # with the noise that is added between values, samples reach half a step beyond
    edge, limits = problem.grain / 2, problem.value_range
    held = limits and (limits[0] - edge, limits[1] + edge)
    return Trained(runs, problem, device, lambda: Diffusion(math.prod(problem.shape), levels, width, depth, held))


@register("model", ignores=NO_GAME, needs=NO_LABELS)
def flow_matching(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    moves: AtLeastOne = 20,
    width: AtLeastOne = 64,
    depth: AtLeastOne = 3,
) -> Trained:
    """Flow matching: a network learns the velocity on straight ways from noise to samples (Lipman 2023; Liu 2023).

    A perceptron of `depth` hidden layers of `width` units; a sample takes `moves` steps of the midpoint rule, two
    passes each. Its density would take the divergence of the velocity, and is not told. The optimizer's rate is G's.
    """
    return Trained(runs, problem, device, lambda: Matching(math.prod(problem.shape), moves, width, depth))
