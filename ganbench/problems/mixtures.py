"""Gaussian mixtures with known modes: problems on which a dropped mode can be counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Label, Modes, stream
from ganbench.problems.known import MOST_DIMENSIONS, KnownLaw, positive_numbers, whole_number
from ganbench.registry import register


@dataclass(frozen=True)
class NullDirections:
    """That modes have their std in the directions of basis [d, k], orthonormal columns, and a smaller one elsewhere."""

    basis: Tensor
    std: float


class Mixture(KnownLaw):
    """A mixture of Gaussians of one shape, standardised to mean 0 and, averaged over the axes, variance 1.

    One scale serves all axes, so that isotropic modes stay isotropic. It comes from the mixture's exact variance, not
    from a sample's; `modes` and samples share the standardised coordinates.
    """

    capabilities = frozenset({"modes"})
    modes: Modes

    def __init__(
        self,
        name: str,
        centres: Tensor,
        std: float,
        weights: Tensor | None = None,
        *,
        samples: int = 0,
        raw: bool = False,
        within: float = 0.0,
        null: NullDirections | None = None,
    ) -> None:
        """Take the modes in any coordinates: centres [K, d], std > 0, weights [K] > 0 (None: equal).

        samples: train on a finite set of so many (0: no end). raw: leave coordinates as they are given. within: how
        many standard deviations from its centre a sample is of high quality (0: `Modes` says).
        """
        positive_numbers(name, std=std)
        if within < 0:
            raise UserError(
                f"The problem '{name}' needs a within above 0, or 0 for a share of a Gaussian, got {within}."
            )
        if weights is not None:
            self.capabilities = self.capabilities | {"unequal_groups"}
        self.name, self.shape = name, (centres.shape[1],)
        self.modes = _modes(centres.double(), std, weights, raw=raw, within=within, null=null)
        self._centres = self.modes.centres.float()
        self.keep(samples)

    def group_weights(self) -> Tensor:
        """Return the weights of the modes [K]; of a finite set of training samples the shares in it."""
        if self._groups is None:
            return self.modes.weights
        return self._groups.bincount(minlength=len(self.modes.weights)).double() / len(self._groups)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw samples [n, d] with their modes [n], of these weights [K] that sum to 1."""
        weights = self.modes.weights if weights is None else weights
        uniform = torch.rand(n, dtype=torch.float64, generator=generator)
        # the cumulated weights may end a rounding error below 1
        mode = torch.searchsorted(weights.cumsum(0), uniform, right=True).clamp_(max=len(self._centres) - 1)
        noise = torch.randn(n, *self._centres.shape[1:], generator=generator)
        if self.modes.basis is None:
            return self._centres[mode].add_(noise, alpha=self.modes.std), mode
        return self._centres[mode] + self._flat(noise, generator), mode

    def log_density(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mixture's density at samples [n, d], in nats [n] float64."""
        modes, dimension = self.modes, x.shape[1]
        away = x.double()[:, None] - modes.centres
        distance, volume = away.square().sum(-1) / modes.std**2, dimension * math.log(modes.std)
        if modes.basis is not None and modes.null_std:
            inside, wide = (away @ modes.basis).square().sum(-1), modes.basis.shape[1]
            outside = (away.square().sum(-1) - inside).clamp(min=0)
            distance = inside / modes.std**2 + outside / modes.null_std**2
            volume = wide * math.log(modes.std) + (dimension - wide) * math.log(modes.null_std)
        of_modes = -0.5 * (distance + dimension * math.log(2 * math.pi)) - volume
        return (of_modes + modes.weights.log()).logsumexp(1)

    def _flat(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Make isotropic noise [n, d] as wide as the modes in their own directions, and narrow in all others."""
        modes, basis = self.modes, self.modes.basis
        assert basis is not None
        # the variances of independent noises add up; in float64, where the order of a sum does not reach float32
        own = torch.randn(len(noise), basis.shape[1], generator=generator).double()
        wide = own @ basis.T * math.sqrt(modes.std**2 - modes.null_std**2)
        return (wide + modes.null_std * noise.double()).float()


def _modes(
    centres: Tensor, std: float, weights: Tensor | None, *, raw: bool, within: float, null: NullDirections | None
) -> Modes:
    dimension = centres.shape[1]
    weights = torch.ones(len(centres), dtype=torch.float64) if weights is None else weights.double()
    weights = weights / weights.sum()
    mean, scale = weights @ centres, 1.0
    wide, null_std = (dimension, 0.0) if null is None else (null.basis.shape[1], null.std)
    if raw:
        mean = torch.zeros_like(mean)
    else:
        noise = std**2 if null is None else (wide * std**2 + (dimension - wide) * null_std**2) / dimension
        scale = math.sqrt((weights @ (centres - mean).square()).mean().item() + noise)
    basis = None if null is None else null.basis
    return Modes((centres - mean) / scale, std / scale, weights, within or None, basis, null_std / scale)


class LabelledMixture(Mixture):
    """A mixture that gives the mode of each sample as its label."""

    capabilities = Mixture.capabilities | {"label"}

    def __init__(self, name: str, centres: Tensor, *args: Any, **settings: Any) -> None:
        self.gives = Label(len(centres))
        super().__init__(name, centres, *args, **settings)


def _ring(modes: int, radius: float) -> Tensor:
    # arange, not linspace(0, 2 pi, modes), whose two ends are one and the same mode
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def _lattice(points: int, side: int, dimension: int) -> Tensor:
    """Return the first points [points, dimension] of a lattice of so many points a side, 1 apart."""
    rest, digits = torch.arange(points), []
    for _ in range(dimension):
        digits.append(rest % side)
        rest = rest // side
    return torch.stack(digits, dim=1).double()


LATER = ("samples", "raw", "within")
"""What mixtures can be asked for since there have been studies of them."""


@register("problem", provides={"modes"}, later=LATER)
def line(
    *, modes: int = 5, spacing: float = 2.0, std: float = 0.2, samples: int = 0, raw: bool = False, within: float = 0.0
) -> Mixture:
    """Equal Gaussians in a row, in one dimension: the smallest problem with modes to drop."""
    positive_numbers("line", modes=modes, spacing=spacing)
    centres = spacing * torch.arange(modes, dtype=torch.float64)[:, None]
    return Mixture("line", centres, std, samples=samples, raw=raw, within=within)


@register("problem", provides={"modes"}, later=LATER)
def ring8(
    *, radius: float = 2.0, std: float = 0.1, samples: int = 0, raw: bool = False, within: float = 0.0
) -> Mixture:
    """Eight equal Gaussians on a circle, std/radius .05 where the ring of Metz et al. 2017 has .01: see ring8_metz."""
    positive_numbers("ring8", radius=radius)
    return Mixture("ring8", _ring(8, radius), std, samples=samples, raw=raw, within=within)


@register("problem", gives="label", provides={"modes", "label"}, later=LATER)
def ring8_labelled(
    *, radius: float = 2.0, std: float = 0.1, samples: int = 0, raw: bool = False, within: float = 0.0
) -> LabelledMixture:
    """Eight equal Gaussians on a circle as in `ring8`, the mode of each sample given as its label."""
    positive_numbers("ring8_labelled", radius=radius)
    return LabelledMixture("ring8_labelled", _ring(8, radius), std, samples=samples, raw=raw, within=within)


@register("problem", provides={"modes"}, later=LATER)
def grid25(
    *, spacing: float = 2.0, std: float = 0.2, samples: int = 0, raw: bool = False, within: float = 0.0
) -> Mixture:
    """Twenty-five equal Gaussians on a 5 x 5 grid, std .2 at spacing 2 where VEEGAN's has .05: see grid25_veegan."""
    positive_numbers("grid25", spacing=spacing)
    return Mixture("grid25", _grid(spacing), std, samples=samples, raw=raw, within=within)


def _grid(spacing: float) -> Tensor:
    axis = spacing * torch.arange(5, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


@register("problem", provides={"modes", "unequal_groups"}, later=LATER)
def ring8_imbalanced(
    *, radius: float = 2.0, std: float = 0.1, ratio: float = 8.0, samples: int = 0, raw: bool = False,
    within: float = 0.0,
) -> Mixture:  # fmt: skip
    """Eight Gaussians on a circle, their weights geometric: the heaviest holds `ratio` times the lightest."""
    positive_numbers("ring8_imbalanced", radius=radius, ratio=ratio)
    weights = ratio ** (-torch.arange(8, dtype=torch.float64) / 7)
    return Mixture("ring8_imbalanced", _ring(8, radius), std, weights, samples=samples, raw=raw, within=within)


@register("problem", provides={"modes"})
def ring8_metz(
    *, radius: float = 2.0, std: float = 0.02, samples: int = 0, raw: bool = True, within: float = 0.0
) -> Mixture:
    """Eight equal Gaussians of std .02 on a circle of radius 2, as published (Metz et al. 2017, Unrolled GANs).

    Lin et al. 2018 (PacGAN) have radius 1 and std .01 with 100 000 samples to train on, Gulrajani et al. 2017 the
    ring divided by 1.414, which `raw=False` is to four digits.
    """
    positive_numbers("ring8_metz", radius=radius)
    return Mixture("ring8_metz", _ring(8, radius), std, samples=samples, raw=raw, within=within)


@register("problem", provides={"modes"})
def grid25_veegan(
    *, spacing: float = 2.0, std: float = 0.05, samples: int = 0, raw: bool = True, within: float = 0.0
) -> Mixture:
    """Twenty-five equal Gaussians of std .05 on the grid {-4, -2, 0, 2, 4}^2 (Srivastava 2017, VEEGAN; PacGAN).

    Gulrajani et al. 2017 have the grid divided by 2.828, which `raw=False` is to three digits.
    """
    positive_numbers("grid25_veegan", spacing=spacing)
    centres = _grid(spacing) - 2 * spacing
    return Mixture("grid25_veegan", centres, std, samples=samples, raw=raw, within=within)


@register("problem", provides={"modes"})
def embedded_mixture(
    *, dimension: int = 16, intrinsic: int = 2, modes: int = 9, spacing: float = 2.0, std: float = 0.1,
    null_std: float = 0.02, samples: int = 0, raw: bool = False, within: float = 0.0,
) -> Mixture:  # fmt: skip
    """Equal Gaussians on a lattice of `intrinsic` dimensions, turned at random into `dimension`; the others are null.

    Null dimensions hold noise of `null_std` alone (at most `std`), and the rotation, always the same, lets every axis
    have a part in every direction. After the data of VEEGAN (Srivastava 2017) in 1200 dimensions. A sample's distance
    from its centre is counted in the standard deviations of each direction, and high quality reaches to the quantile of
    chi in `dimension`, so that 98.889 % of a perfect sampler's samples are of high quality whatever the dimension.
    """
    name = "embedded_mixture"
    positive_numbers(name, spacing=spacing, null_std=null_std)
    whole_number(name, "dimension", dimension, 1, MOST_DIMENSIONS)
    whole_number(name, "intrinsic", intrinsic, 1, dimension)
    whole_number(name, "modes", modes, 1, 1000)
    # samples are float32: what is narrower still is lost to the rounding of their coordinates
    if not std / 1000 <= null_std <= std:
        raise UserError(
            f"The problem '{name}' needs a null_std from {std / 1000:g} to its std {std:g}, got {null_std:g}."
        )
    side = next(side for side in range(1, modes + 1) if side**intrinsic >= modes)
    basis = _directions(dimension, intrinsic)
    centres = spacing * _lattice(modes, side, intrinsic) @ basis.T
    null = NullDirections(basis, null_std) if intrinsic < dimension else None
    return Mixture(name, centres, std, samples=samples, raw=raw, within=within, null=null)


def _directions(dimension: int, count: int) -> Tensor:
    """Return orthonormal columns [dimension, count] in random directions, always the same."""
    drawn = torch.randn(dimension, count, dtype=torch.float64, generator=stream("directions", 0))
    columns, upper = torch.linalg.qr(drawn)
    # the sign of a column is the library's choice
    return columns * upper.diagonal().sign()
