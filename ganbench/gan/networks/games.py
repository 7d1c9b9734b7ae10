"""The players of the games in closed form (problems.games): a few parameters each, and nothing to normalize.

They start in a random direction from the equilibrium, at a distance that is known, or where they are told to. What
they declare as `linear` is the game that they play near it: `(problem, slopes, *, hypers) -> LinearGame`, for the
derivatives of the losses there.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganbench.errors import UserError, quoted
from ganbench.gan.linear import LinearGame, Slopes, Unknown
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.problems.base import Problem
from ganbench.registry import register

START = 0.1
PLAIN = {"plain": "the players of a game in closed form are single layers without normalization"}


class _One(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return torch.ones_like(latents[:, :1])


class _Sign(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        # latents are zero with probability 0, and then positive
        return torch.where(latents[:, :1] < 0, -1.0, 1.0).to(latents.dtype)


class _Square(nn.Module):
    def forward(self, samples: Tensor) -> Tensor:
        return samples.square()


class _Scaled(nn.Module):
    """A x for the diagonal matrix A of a bilinear game, which nobody trains."""

    factors: Tensor

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.register_buffer("factors", factors)

    def forward(self, samples: Tensor) -> Tensor:
        return samples * self.factors


def _layer(weights: Tensor, rows: int) -> nn.Linear:
    layer = nn.Linear(weights.numel() // rows, rows, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights.reshape(layer.weight.shape))
    return layer


def _start(size: int) -> Tensor:
    drawn = torch.randn(size)
    return START * drawn / drawn.norm()


def _placed(drawn: Tensor, start: float | None, key: str) -> Tensor:
    """Return where a player starts [n]: as drawn, or at one number in every dimension."""
    if start is None:
        return drawn
    if isinstance(start, bool) or not isinstance(start, int | float):
        raise UserError(f"The key 'network.{key}' takes a number, got {quoted(start)}.")
    return torch.full_like(drawn, start)


def interactions(dimension: int, condition: float) -> Tensor:
    """Return the diagonal of a bilinear game's matrix [dimension], float64, from 1 down to 1 / condition."""
    exponents = torch.linspace(0, -1, dimension, dtype=torch.float64)
    return torch.tensor(condition, dtype=torch.float64) ** exponents


def _of_points(problem: Problem, slopes: Slopes, *, condition: float, **start: Any) -> LinearGame:
    """Return the game at the origin, where all data are: D's slope in a sample is A y."""
    (size,) = problem.shape
    a = interactions(size, condition).numpy()
    added = dict.fromkeys(("real", "fake", "between"), a**2)
    if curvature := slopes.rr + slopes.ff:
        added["noise"] = curvature * a**2  # without a curvature of the loss, noise makes a random walk
    return LinearGame(slopes.push * a, slopes.pull * a, np.zeros_like(a), added, np.zeros_like(a), dirac=size == 1)


def _of_scales(problem: Problem, slopes: Slopes, **start: Any) -> LinearGame:
    """Return the game at v = 1, w = 0: D's slope in w is x^2 = 1, in x it is 2 w x."""
    if abs(slopes.real + slopes.pull) > 1e-12:
        raise Unknown  # D's real and fake sides do not balance there
    push, pull, own = (
        np.array([of]) for of in (2 * slopes.push, 2 * slopes.pull, slopes.rr + 2 * slopes.rf + slopes.ff)
    )
    added = dict.fromkeys(("real", "fake"), np.array([4.0]))
    return LinearGame(push, pull, own, added, np.zeros(1), None if slopes.rf else slopes.g_ff - slopes.rr)


@register(
    "network",
    needs={"game_of_points": "it plays the games 'dirac' and 'bilinear'", **PLAIN},
    provides={"point"},
    linear=_of_points,
    later=("g_start", "d_start"),
)
def point(
    spec: NetworkSpec, *, condition: float = 1.0, g_start: float | None = None, d_start: float | None = None
) -> tuple[nn.Module, nn.Module]:
    """G puts out one point x, D is linear: D(s) = y^T A s (Mescheder 2018); A is diagonal, from 1 to 1 / condition.

    Both start a distance of START from the equilibrium, near enough for the game to be linear; G at g_start and D at
    d_start in every dimension where these are given (1 and 1 in Mescheder 2018).
    """
    if not condition >= 1:
        raise UserError(f"The network 'point' needs a condition of at least 1, got {condition:g}.")
    (size,) = spec.shape
    x, y = _start(2 * size).split(size)
    x, y = _placed(x, g_start, "point.g_start"), _placed(y, d_start, "point.d_start")
    generator = nn.Sequential(_One(), _layer(x, size))
    return generator, nn.Sequential(_Scaled(interactions(size, condition).float()), _layer(y, 1))


@register(
    "network",
    needs={"game_of_scales": "it plays the game 'covariance'", **PLAIN},
    provides={"scale"},
    linear=_of_scales,
    later=("g_start", "d_start"),
)
def scale(
    spec: NetworkSpec, *, g_start: float | None = None, d_start: float | None = None
) -> tuple[nn.Module, nn.Module]:
    """G puts out v and -v, D(s) = w s^2; both start a distance of START from v = 1, w = 0.

    v starts at g_start and w at d_start where these are given.
    """
    v, w = _start(2) + torch.tensor([1.0, 0.0])
    v, w = _placed(v, g_start, "scale.g_start"), _placed(w, d_start, "scale.d_start")
    return nn.Sequential(_Sign(), _layer(v, 1)), nn.Sequential(_Square(), _layer(w, 1))
