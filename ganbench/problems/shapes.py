"""Distributions without modes, from a curve to structureless noise; and images whose every possible shape is known."""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.known import MOST_DIMENSIONS, KnownLaw, positive_numbers, whole_number
from ganbench.problems.mixtures import Mixture
from ganbench.registry import register


class SwissRoll(KnownLaw):
    """A spiral t (cos t, sin t) for t uniform between 1.5 pi and 4.5 pi, with isotropic Gaussian noise."""

    shape = (2,)
    low, high = 1.5 * math.pi, 4.5 * math.pi

    def __init__(self, noise: float, samples: int, *, raw: bool) -> None:
        positive_numbers("swiss_roll", noise=noise)
        self.name, self.noise = "swiss_roll", noise
        length = self.high - self.low
        # antiderivatives of t cos t, t sin t and t^2 between ends where the cosine is 0 and the sine -1 and 1
        mean = torch.tensor([(self.high + self.low) / length, 2 / length], dtype=torch.float64)
        square = (self.high**3 - self.low**3) / (3 * length)
        scale = math.sqrt((square - mean.square().sum().item()) / 2 + noise**2)
        self._mean, self._scale = (torch.zeros_like(mean), 1.0) if raw else (mean, scale)
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, None]:
        t = self.low + (self.high - self.low) * torch.rand(n, dtype=torch.float64, generator=generator)
        noise = self.noise * torch.randn(n, 2, dtype=torch.float64, generator=generator)
        roll = t[:, None] * torch.stack([t.cos(), t.sin()], dim=1) + noise
        return ((roll - self._mean) / self._scale).float(), None


class Uniform(KnownLaw):
    """Independent numbers of U(-half, half)."""

    def __init__(self, name: str, shape: tuple[int, ...], half: float, samples: int) -> None:
        self.name, self.shape, self.half = name, shape, half
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, None]:
        return self.half * (2 * torch.rand(n, *self.shape, generator=generator) - 1), None


class NoiseImages(Uniform):
    """Images whose pixels are independent."""

    capabilities = frozenset({"image"})
    feature_spaces = ("conv", "pixels")
    value_range = (-1.0, 1.0)


GREY, NOISE = 0.7, 0.05
"""The grey of a triangle and, below 0, of its background; the std of pixels: six of them reach the ends of [-1, 1]."""


class Triangles(Mixture):
    """Images of all triangles whose corners lie on a lattice, each as likely, under weak pixel noise.

    As every possible image without noise is a mode, the distance of a sample from all of them is exact, and so are
    precision (`high_quality`) and recall (`modes_hit` over their number).
    """

    capabilities = Mixture.capabilities | {"image"}
    value_range = (-1.0, 1.0)

    def __init__(self, side: int, corners: int, samples: int) -> None:
        whole_number("triangles", "side", side, 4, 64)
        whole_number("triangles", "corners", corners, 2, 6)
        if corners > side:
            raise UserError(f"The problem 'triangles' needs corners of at most its side, {side}, got {corners}.")
        self.side = side
        super().__init__("triangles", GREY * (2 * triangle_images(side, corners) - 1), NOISE, raw=True)
        self.shape = (1, side, side)
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        images, triangle = super().fresh(n, generator, weights)
        return images.clamp_(*self.value_range).unflatten(1, (1, self.side, self.side)), triangle


@cache
def triangle_images(side: int, corners: int) -> Tensor:
    """Return how much of each pixel each triangle covers, [triangles, side^2] in [0, 1].

    Corners lie on a lattice of corners x corners points over the whole image; covered is the share of a pixel's 4 x 4
    points.
    """
    axis = torch.linspace(0, side, corners, dtype=torch.float64)
    lattice = torch.cartesian_prod(axis, axis)
    chosen = torch.tensor(list(itertools.combinations(range(len(lattice)), 3)))
    a, b, c = lattice[chosen].unbind(1)
    area = _cross(b - a, c - a)
    a, b, c = (corner[area.abs() > 1e-9] for corner in (a, b, c))
    turn = area[area.abs() > 1e-9].sign()[:, None]
    points = (torch.arange(4 * side, dtype=torch.float64) + 0.5) / 4
    grid = torch.cartesian_prod(points, points)
    beyond = [turn * _cross((to - at)[:, None], grid - at[:, None]) for at, to in ((a, b), (b, c), (c, a))]
    # a point on an edge is half inside
    sides = [torch.where(far.abs() < 1e-9, 0.5, (far > 0).double()) for far in beyond]
    inside = (sides[0] * sides[1] * sides[2]).unflatten(1, (side, 4, side, 4))
    return inside.mean((2, 4)).flatten(1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@register("problem")
def swiss_roll(*, noise: float = 0.25, samples: int = 0, raw: bool = False) -> SwissRoll:
    """A rolled-up strip in two dimensions, without modes, as noisy as in Gulrajani et al. 2017 (WGAN-GP).

    They divide it by 7.5, `raw=False` by 6.79, the standard deviation of its axes together.
    """
    return SwissRoll(noise, samples, raw=raw)


@register("problem")
def uniform_cube(*, dimension: int = 2, samples: int = 0) -> Uniform:
    """The uniform distribution on a cube of `dimension` axes, each of variance 1: nothing to find but its faces."""
    whole_number("uniform_cube", "dimension", dimension, 1, MOST_DIMENSIONS)
    return Uniform("uniform_cube", (dimension,), math.sqrt(3), samples)


@register("problem", provides={"image"})
def noise_images(*, side: int = 8, samples: int = 0) -> NoiseImages:
    """Grey images of independent pixels, uniform in [-1, 1]: structureless noise, in which nothing can be learned."""
    whole_number("noise_images", "side", side, 4, 64)
    return NoiseImages("noise_images", (1, side, side), 1.0, samples)


@register("problem", provides={"image", "modes"})
def triangles(*, side: int = 16, corners: int = 4, samples: int = 0) -> Triangles:
    """Grey images of triangles: exact precision and recall by the distance to all of them (after Lucic et al. 2018).

    Their corners lie anywhere, and distances from their manifold are estimates by gradient descent. Here they lie on a
    lattice of `corners` x `corners` points: 516 triangles at 4, under pixel noise of std .05.
    """
    return Triangles(side, corners, samples)
