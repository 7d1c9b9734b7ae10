"""Random numbers of a run, drawn outside the vectorised code: a function of (seed, purpose, index) and nothing else.

Runs that share a seed share their latents, their data and their initial weights, whatever they are compared in
(common random numbers). All numbers are drawn on the CPU and moved, so that they are equal on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganbench.problems.base import stream

BLOCK = 32
Draw = Callable[[int, torch.Generator], Tensor]


def latents(kind: str, dim: int) -> Draw:
    """Return the draw of n latents [n, dim]: N(0, 1), or U(-1, 1)."""
    if kind == "uniform":
        return lambda n, generator: torch.rand(n, dim, generator=generator) * 2 - 1
    return lambda n, generator: torch.randn(n, dim, generator=generator)


def uniform(n: int, generator: torch.Generator) -> Tensor:
    """Draw n numbers of U[0, 1)."""
    return torch.rand(n, generator=generator)


def uniforms(count: int) -> Draw:
    """Return the draw of n rows of U[0, 1) numbers [n, count]."""
    return lambda n, generator: torch.rand(n, count, generator=generator)


def normal(shape: Sequence[int]) -> Draw:
    """Return the draw of n samples of N(0, 1) noise [n, *shape]."""
    return lambda n, generator: torch.randn(n, *shape, generator=generator)


class Stream:
    """Batches for several seeds; the batch at an index depends on seed, purpose and index alone."""

    def __init__(
        self, purpose: str, seeds: Sequence[int], batch: int, draw: Draw, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.purpose, self.seeds, self.batch, self.draw = purpose, seeds, batch, draw
        self.device, self.dtype = device, dtype
        self._held: tuple[int, Tensor] | None = None

    def at(self, index: int) -> Tensor:
        """Return the batches [seeds, batch, ...] at an index."""
        number, place = divmod(index, BLOCK)
        if self._held is None or self._held[0] != number:
            self._held = (number, self._block(number))
        return self._held[1][:, place]

    def _block(self, number: int) -> Tensor:
        # one generator for many batches: seeding one costs more than drawing a small batch
        blocks = [self.draw(BLOCK * self.batch, stream(f"{self.purpose}:{number}", seed)) for seed in self.seeds]
        return torch.stack([block.unflatten(0, (BLOCK, self.batch)) for block in blocks]).to(self.device, self.dtype)
