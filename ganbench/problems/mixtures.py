"""Gaussian mixtures with known modes: low-dimensional problems on which a dropped mode can be counted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Batch, Label, Modes, Problem, stream
from ganbench.registry import register


class Mixture(Problem):
    """A mixture of isotropic Gaussians, standardised to mean 0 and, averaged over the axes, variance 1.

    One scale serves all axes, so that the modes stay isotropic. It comes from the mixture's exact variance, not
    from a sample's; `modes` and samples share the standardised coordinates.
    """

    capabilities = frozenset({"modes"})

    def __init__(self, name: str, centres: Tensor, std: float, weights: Tensor | None = None) -> None:
        """Take the modes in any coordinates: centres [K, d], std > 0, weights [K] > 0 (None: equal)."""
        if not std > 0 or not math.isfinite(std):
            raise UserError(f"The problem '{name}' needs a std above 0, got {std}.")
        centres = centres.double()
        if weights is None:
            weights = torch.ones(len(centres), dtype=torch.float64)
        else:
            self.capabilities = self.capabilities | {"unequal_groups"}
        weights = weights.double()
        weights = weights / weights.sum()
        mean = weights @ centres
        variance = (weights @ (centres - mean).square()).mean().item() + std**2
        self.name = name
        self.shape = (centres.shape[1],)
        self.modes: Modes = Modes((centres - mean) / math.sqrt(variance), std / math.sqrt(variance), weights)
        self._centres = self.modes.centres.float()

    def group_weights(self) -> Tensor:
        """Return the weights of the modes [K]."""
        return self.modes.weights

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, d] float32 samples from the generator's stream."""
        return self.sample_groups(self.modes.weights, n, generator)

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, d] float32 samples of the same modes at other weights [K] that sum to 1."""
        return self._drawn(weights, n, generator)[0]

    def _drawn(self, weights: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw samples [n, d] with their modes [n]."""
        uniform = torch.rand(n, dtype=torch.float64, generator=generator)
        # the cumulated weights may end a rounding error below 1
        mode = torch.searchsorted(weights.cumsum(0), uniform, right=True).clamp_(max=len(self._centres) - 1)
        noise = torch.randn(n, *self.shape, generator=generator)
        return self._centres[mode].add_(noise, alpha=self.modes.std), mode


class LabelledMixture(Mixture):
    """A mixture that gives the mode of each sample as its label."""

    def __init__(self, name: str, centres: Tensor, std: float, weights: Tensor | None = None) -> None:
        super().__init__(name, centres, std, weights)
        self.gives, self.capabilities = Label(len(self.modes.centres)), self.capabilities | {"label"}

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self.draw_groups(self.modes.weights, n, generator)

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        return Batch(*self._drawn(weights, n, generator))

    def oracle(self, n: int, seed: int = 0) -> Batch:
        return self.draw(n, stream("oracle", seed))


def _ring(modes: int, radius: float) -> Tensor:
    # arange, not linspace(0, 2 pi, modes), whose two ends are one and the same mode
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def _positive(problem: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0 or not math.isfinite(value):
            raise UserError(f"The problem '{problem}' needs a {name} above 0, got {value}.")


@register("problem", provides={"modes"})
def line(*, modes: int = 5, spacing: float = 2.0, std: float = 0.2) -> Mixture:
    """Equal Gaussians in a row, in one dimension: the smallest problem with modes to drop."""
    _positive("line", modes=modes, spacing=spacing)
    return Mixture("line", spacing * torch.arange(modes, dtype=torch.float64)[:, None], std)


@register("problem", provides={"modes"})
def ring8(*, radius: float = 2.0, std: float = 0.1) -> Mixture:
    """Eight equal Gaussians on a circle (Metz et al. 2017, Unrolled GANs)."""
    _positive("ring8", radius=radius)
    return Mixture("ring8", _ring(8, radius), std)


@register("problem", gives="label", provides={"modes", "label"})
def ring8_labelled(*, radius: float = 2.0, std: float = 0.1) -> LabelledMixture:
    """Eight equal Gaussians on a circle, the mode of each sample given as its label."""
    _positive("ring8_labelled", radius=radius)
    return LabelledMixture("ring8_labelled", _ring(8, radius), std)


@register("problem", provides={"modes"})
def grid25(*, spacing: float = 2.0, std: float = 0.2) -> Mixture:
    """Twenty-five equal Gaussians on a 5 x 5 grid (Dumoulin et al. 2017, ALI; Srivastava et al. 2017, VEEGAN)."""
    _positive("grid25", spacing=spacing)
    axis = spacing * torch.arange(5, dtype=torch.float64)
    return Mixture("grid25", torch.cartesian_prod(axis, axis), std)


@register("problem", provides={"modes", "unequal_groups"})
def ring8_imbalanced(*, radius: float = 2.0, std: float = 0.1, ratio: float = 8.0) -> Mixture:
    """Eight Gaussians on a circle, their weights geometric: the heaviest holds `ratio` times the lightest."""
    _positive("ring8_imbalanced", radius=radius, ratio=ratio)
    weights = ratio ** (-torch.arange(8, dtype=torch.float64) / 7)
    return Mixture("ring8_imbalanced", _ring(8, radius), std, weights)
