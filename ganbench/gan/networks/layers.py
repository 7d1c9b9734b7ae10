"""What the shipped networks are made of: hidden layers player by player, activations, initial weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganbench.errors import UserError, unknown

Pair = tuple[nn.Module, nn.Module]
Normalize = Callable[[nn.Module], nn.Module]


class Maxout(nn.Module):
    """The largest of each `pieces` neighbours on the last axis, [..., n x pieces] to [..., n] (Goodfellow 2013)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.pieces)).amax(-1)


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
}
"""Activations of any layer."""
MAXOUT = "maxout"
"""That of a perceptron's layers which has several linear pieces a unit."""


def _normal(weight: Tensor) -> Tensor:
    return nn.init.normal_(weight, std=0.02)


def _he(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


INITIAL: dict[str, Callable[[Tensor], Tensor] | None] = {
    "default": None,
    "normal": _normal,
    "he": _he,
    "orthogonal": nn.init.orthogonal_,
}
"""Initial weights of linear and convolution layers: torch's own, which are uniform; normal of standard deviation 0.02
(Radford 2016); normal of variance 2 / inputs (He 2015); orthogonal matrices (Saxe 2014). But for torch's own, biases
start at 0."""


def started(layer: nn.Module, network: str, init: str, scale: float) -> nn.Module:
    """Return a layer with its initial weights drawn by a name of INITIAL, and times `scale`; UserError for another."""
    if init not in INITIAL:
        raise unknown(f"initial weights of 'network.{network}.init'", init, INITIAL)
    draw, weight, bias = INITIAL[init], layer.weight, layer.bias
    with torch.no_grad():
        if draw is not None:
            draw(weight)  # type: ignore[arg-type]
            if isinstance(bias, Tensor):
                bias.zero_()
        weight.mul_(scale)  # type: ignore[operator]
    return layer


PLAYERS_LATER = (
    "g_width", "d_width", "g_depth", "d_depth", "g_activation", "d_activation", "pieces", "init", "init_scale",
)  # fmt: skip
"""The settings of perceptrons that came when studies of them were made already."""


@dataclass(frozen=True)
class Body:
    """The hidden layers of one player: units or channels, how many layers, their activation, the pieces of a unit."""

    width: int
    depth: int
    activation: str
    pieces: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What decides how many numbers its weights are drawn from."""
        return self.width, self.depth, self.pieces

    def act(self) -> nn.Module:
        """Return the activation of a layer."""
        return Maxout(self.pieces) if self.activation == MAXOUT else PLAIN[self.activation]()

    def layer(self, norm: Normalize, inputs: int) -> list[nn.Module]:
        """Return a linear layer, [..., inputs] to [..., width], as `norm` has it, with its activation behind."""
        return [norm(nn.Linear(inputs, self.width * self.pieces)), self.act()]


Choice = tuple[int, int, str]
"""Width and depth, 0 for those that both players share, and activation."""


def bodies(network: str, shared: tuple[int, int], g: Choice, d: Choice, pieces: int = 0) -> tuple[Body, Body]:
    """Return what both players are made of; UserError for what no layer can be. pieces: 0 where maxout has no place."""
    width, depth = shared
    if width < 1 or depth < 1:
        raise UserError(f"The network '{network}' needs a width and a depth of at least 1, got {width} and {depth}.")
    return _body(network, "g", shared, g, pieces), _body(network, "d", shared, d, pieces)


def _body(network: str, player: str, shared: tuple[int, int], choice: Choice, pieces: int) -> Body:
    width, depth, activation = choice
    for what, value in (("width", width), ("depth", depth)):
        if value < 0:
            raise UserError(
                f"The key 'network.{network}.{player}_{what}' must be at least 1, or 0 for the {what} that both "
                f"players share, got {value}."
            )
    known = [*PLAIN, *([MAXOUT] if pieces else [])]
    if activation not in known:
        raise unknown(f"activation of 'network.{network}.{player}_activation'", activation, known)
    if activation == MAXOUT and pieces < 2:
        raise UserError(f"The key 'network.{network}.pieces' must be at least 2, got {pieces}.")
    return Body(width or shared[0], depth or shared[1], activation, pieces if activation == MAXOUT else 1)


def apart(build: Callable[[Body, Body], Pair], g: Body, d: Body) -> Pair:
    """Return G and D as `build` makes them, each with the initial weights that it has beside another of its own size.

    Both draw in turn from one stream. So G starts where it starts whatever D's sizes are: variants that differ in one
    player share the other one.
    """
    if g.sizes == d.sizes:
        return build(g, d)
    state = torch.random.get_rng_state()
    generator, _ = build(g, g)
    torch.random.set_rng_state(state)
    return generator, build(d, d)[1]
