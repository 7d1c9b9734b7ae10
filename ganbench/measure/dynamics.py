"""Dynamics of a differentiable game: its gradient field, the field's spectrum, and what better players would reach.

Everything here knows two players only as flat parameters and their losses as functions of both, so that the same
code measures a population and a game with a closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganbench.arrays import Array
from ganbench.gan.optimizers import adam, unbiased
from ganbench.measure.spectrum import Operator, eigenvalue_extremes, symmetric_extremes
from ganbench.metrics.inputs import exact
from ganbench.problems.base import stream

Field = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DifferentiableGame:
    """Two players' parameters g and d, [runs, size] each, and `losses(g, d) -> (d_loss, g_loss)`, [runs] each."""

    g: Tensor
    d: Tensor
    losses: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def simultaneous_gradients(
    game: DifferentiableGame, g: Tensor, d: Tensor, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the gradient of each player's own loss in its own parameters, at parameters that require gradients."""
    d_loss, g_loss = game.losses(g, d)
    return _gradient(g_loss, g, create_graph, retain_graph=True), _gradient(d_loss, d, create_graph)


def _gradient(loss: Tensor, parameters: Tensor, create_graph: bool, retain_graph: bool = False) -> Tensor:
    # runs are independent, so the gradient of the sum holds each run's own gradient
    (gradient,) = torch.autograd.grad(
        loss.sum(), parameters, create_graph=create_graph, retain_graph=retain_graph or create_graph,
        materialize_grads=True,
    )  # fmt: skip
    return gradient


def _leaves(game: DifferentiableGame) -> tuple[Tensor, Tensor]:
    return game.g.detach().clone().requires_grad_(), game.d.detach().clone().requires_grad_()


def gradient_field(game: DifferentiableGame) -> Field:
    """Return the field of simultaneous gradient descent on flat parameters [runs, size of g + size of d]."""

    def field(parameters: Tensor) -> Tensor:
        g, d = parameters.detach().split([game.g.shape[1], game.d.shape[1]], dim=1)
        gradients = simultaneous_gradients(game, g.clone().requires_grad_(), d.clone().requires_grad_())
        return torch.cat(gradients, dim=1)

    return field


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine between vectors [..., size] in [-1, 1], NaN where one has no direction."""
    a, b = (exact(x) / exact(x).norm(dim=-1, keepdim=True) for x in (a, b))
    return (a * b).sum(-1).clamp(-1, 1)


def path_angle(field: Field, start: Tensor, end: Tensor, points: Tensor) -> Tensor:
    """Return the cosine between a field and the straight path from start to end (Berard et al. 2020), [..., points].

    `field` maps flat parameters [..., size] to vectors [..., size], gradients of the losses, which descent goes
    against; `points` [points] are places on the path, 0 at start, 1 at end, beyond it above 1. A change of sign from
    -1 to 1 at the end is attraction, a bump that keeps its sign is rotation. NaN where the field is zero.
    """
    path = end - start
    return torch.stack([cosine(path, field(start + place * path)) for place in points], dim=-1)


def jacobian_operator(game: DifferentiableGame) -> tuple[Operator, int]:
    """Return the transposed Jacobian of the gradient field of a game of one run, as an operator, and its size.

    The Jacobian of simultaneous gradient descent, whose eigenvalues the transposed one shares: all real parts
    positive means a locally attracting point, imaginary parts mean rotation.
    """
    g, d = _leaves(game)
    fields = simultaneous_gradients(game, g, d, create_graph=True)
    sizes = [g.shape[1], d.shape[1]]
    return _pulled_back(fields, (g, d), sizes), sum(sizes)


def hessian_operator(game: DifferentiableGame, player: str) -> tuple[Operator, int]:
    """Return the Hessian of a player's ("g" or "d") own loss in its own parameters, for a game of one run."""
    leaves = _leaves(game)
    which = 0 if player == "g" else 1
    own = leaves[which]
    gradient = simultaneous_gradients(game, *leaves, create_graph=True)[which]
    return _pulled_back((gradient,), (own,), [own.shape[1]]), own.shape[1]


def _pulled_back(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], sizes: list[int]) -> Operator:
    def apply(vector: Array) -> Array:
        like = inputs[0]
        cotangents = torch.from_numpy(np.array(vector)).to(like.dtype).to(like.device).unsqueeze(0).split(sizes, dim=1)
        linear = [(out, part) for out, part in zip(outputs, cotangents, strict=True) if out.requires_grad]
        if not linear:  # constant gradients: no curvature at all
            return np.zeros(sum(sizes))
        parts = torch.autograd.grad(
            [out for out, _ in linear], inputs, [part for _, part in linear],
            retain_graph=True, materialize_grads=True,
        )  # fmt: skip
        image: Array = torch.cat(parts, dim=1)[0].cpu().double().numpy()
        return image

    return apply


def game_eigenvalues(game: DifferentiableGame) -> tuple[float, float, float]:
    """Return smallest real part, largest imaginary part and largest modulus of the game Jacobian's eigenvalues."""
    return eigenvalue_extremes(*jacobian_operator(game))


def hessian_extremes(game: DifferentiableGame, player: str) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of the Hessian of a player's ("g" or "d") own loss."""
    return symmetric_extremes(*hessian_operator(game, player))


def worst_case(game: DifferentiableGame, player: str, *, steps: int, rate: float, noise: float) -> Tensor:
    """Return how far one player alone can push the zero-sum value its way, [runs].

    The value is minus D's loss for D, D's loss for G. Sought from the present player itself and by Adam from a copy
    perturbed by N(0, noise^2) noise: a stationary copy would never move (Sidheekh et al. 2021).
    """
    start = game.d if player == "d" else game.g

    def value(own: Tensor) -> Tensor:
        return -game.losses(game.g, own)[0] if player == "d" else game.losses(own, game.d)[0]

    with torch.no_grad():
        best = value(start)
    draw = torch.randn(start.shape[1], generator=stream("worst case", 0)).to(start.device, start.dtype)
    own = start.detach() + noise * draw
    state: dict[str, Tensor] = {}
    for step in range(1, steps + 1):
        reached = value(own.requires_grad_())
        best = torch.maximum(best, reached.detach())
        uphill = _gradient(reached, own, create_graph=False)
        own = own.detach()
        adam(own, -uphill, state, unbiased(step), rate)
    with torch.no_grad():
        return torch.maximum(best, value(own))
