"""What networks for images ask first: the steps between an image's side and the smallest map, and ways of a label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganbench.errors import UserError, unknown
from ganbench.gan.networks.spec import NetworkSpec

SMALLEST = range(4, 8)
"""Sides of the smallest feature map: one of them, doubled so many times, is the image's."""

WAYS = ("projection", "concatenation")
"""How labels reach the players: gains of G and a projection in D, or beside G's latents and as planes beside images."""

EITHER = "either_given"
"""What networks provide that are for problems with labels and without."""

SEVERAL = "several_logits"
"""What networks provide whose D puts out several logits a sample: a loss is their mean, a penalty sees their sum."""


@dataclass(frozen=True)
class Grid:
    """An image's channels and side, the side of the smallest map, and how many times it is doubled to the image's."""

    channels: int
    side: int
    base: int
    stages: int

    @property
    def halvings(self) -> tuple[int, ...]:
        """The sides from the image's down to the smallest map's."""
        return tuple(self.base * 2**stage for stage in reversed(range(self.stages + 1)))


def grid(network: str, shape: tuple[int, ...], least: int = 1) -> Grid:
    """Return how an image of a shape [channels, side, side] is built; UserError for a side that is not 4 to 7 doubled.

    So 8, 16, 32, 64 and 128 pixels go down to 4 x 4, and 28 to 7 x 7; further where a network doubles at least so many
    times.
    """
    channels, height, width = shape
    base, stages = height, 0
    while base > SMALLEST[-1] and base % 2 == 0:
        base, stages = base // 2, stages + 1
    sound = height == width and base in SMALLEST and stages
    while stages < least and base % 2 == 0:
        base, stages = base // 2, stages + 1
    if not sound or stages < least:
        raise UserError(
            f"The network '{network}' takes square images of 8, 16, 28, 32, 64, 128 and other sides that are 4 to 7 "
            f"pixels doubled, not {height} x {width}."
        )
    return Grid(channels, height, base, stages)


def counts(network: str, **settings: int) -> None:
    """Raise UserError for a setting that counts something and is below 1."""
    for name, value in settings.items():
        if value < 1:
            raise UserError(f"The key 'network.{network}.{name}' must be at least 1, got {value}.")


def classes_of(network: str, spec: NetworkSpec, how: str) -> tuple[int, int]:
    """Return how many classes of labels G's gains and D's projection have, and how many planes stand beside images."""
    if how not in WAYS:
        raise unknown(f"way of 'network.{network}.how'", how, WAYS)
    classes = spec.given.classes if spec.given else 0
    return (classes, 0) if how == "projection" else (0, classes)


class Planes(nn.Module):
    """A body that sees images beside their label: a plane of ones for its class, of zeros for the others."""

    def __init__(self, body: nn.Module, classes: int) -> None:
        super().__init__()
        self.body, self.classes = body, classes

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        row = (label.unsqueeze(-1) == torch.arange(self.classes, device=label.device)).to(x.dtype)
        planes = row[..., None, None].expand(*row.shape, *x.shape[-2:])
        out: Tensor = self.body(torch.cat([x, planes], dim=-3))
        return out
