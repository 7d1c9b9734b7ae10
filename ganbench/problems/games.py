"""Games in closed form: no data to learn, but an equilibrium that is known, and how fast each method reaches it.

Their samples are no distribution worth measuring, so they have no feature space: what counts is how far both players
are from the equilibrium (the diagnostic `equilibrium`), which `displacement` tells. The networks that play them declare
what is linear near it, from which `analysis.theory` tells what becomes of each method.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Problem
from ganbench.registry import register


class ClosedFormGame(Problem):
    """A game of two players of as many parameters each, for a network of its own."""

    feature_spaces = ()

    def displacement(self, g: Tensor, d: Tensor) -> Tensor:
        """Return how far G [runs, n] and D [runs, n] are from the nearest equilibrium, [runs, 2 n]."""
        return torch.cat([g, d], dim=1)


class PointGame(ClosedFormGame):
    """All data at the origin of n dimensions, where both players end."""

    capabilities = frozenset({"game", "game_of_points"})

    def __init__(self, name: str, dimension: int) -> None:
        if dimension < 1:
            raise UserError(f"The problem '{name}' needs a dimension of at least 1, got {dimension}.")
        self.name, self.shape = name, (dimension,)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n times the origin [n, dimension]."""
        return torch.zeros(n, *self.shape)


class ScaleGame(ClosedFormGame):
    """Data at 1 and -1 in turn, so that every batch of even size has variance 1; G learns the scale."""

    capabilities = frozenset({"game", "game_of_scales"})
    name, shape = "covariance", (1,)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n samples [n, 1], 1 and -1 in turn."""
        return 1 - 2.0 * (torch.arange(n) % 2).unsqueeze(1)

    def displacement(self, g: Tensor, d: Tensor) -> Tensor:
        """Return how far the scale [runs, 1] is from 1 or -1, whichever is nearer, and D [runs, 1] from 0: [runs, 2]"""
        return torch.cat([g.abs() - 1, d], dim=1)


NEEDS_POINT = {"point": "its equilibrium is known for the network 'point'"}


@register("problem", needs=NEEDS_POINT, provides={"game", "game_of_points"})
def dirac() -> PointGame:
    """The Dirac-GAN: all data at one point, G one parameter, D linear; equilibrium at (0, 0) (Mescheder 2018).

    For the network `point`.
    """
    return PointGame("dirac", 1)


@register("problem", needs=NEEDS_POINT, provides={"game", "game_of_points"})
def bilinear(*, dimension: int = 2) -> PointGame:
    """The bilinear game min max x^T A y with the Wasserstein loss; equilibrium at 0 (Gidel 2019).

    For the network `point`, which sets A.
    """
    return PointGame("bilinear", dimension)


@register(
    "problem",
    needs={"scale": "its equilibrium is known for the network 'scale'"},
    provides={"game", "game_of_scales"},
    # a step of a twentieth of it next to 1 is known to 1 % in float32
    resolution=3e-4,
)
def covariance() -> ScaleGame:
    """Learning a variance in one dimension: data +-1, samples +-v, D(x) = w x^2 (after Daskalakis 2018).

    Equilibria at v = 1 and -1 with w = 0. For the network `scale`.
    """
    return ScaleGame()
