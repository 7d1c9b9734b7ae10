"""Random numbers of a run, drawn outside the vectorised code: a function of (seed, purpose, index) and nothing else.

Runs that share a seed share their latents, their data and their initial weights, whatever they are compared in
(common random numbers). All numbers are drawn on the CPU and moved, so that they are equal on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Given, mapped, stacked, stream

BLOCK = 32
Draw = Callable[[int, torch.Generator], Tensor]
Source = Callable[[int, torch.Generator], Batch]


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
        self,
        purpose: str,
        seeds: Sequence[int],
        batch: int,
        draw: Draw | Source,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.purpose, self.seeds, self.batch, self.draw = purpose, seeds, batch, draw
        self.device, self.dtype = device, dtype
        self._held: tuple[int, Batch] | None = None

    def at(self, index: int) -> Tensor:
        """Return the batches [seeds, batch, ...] at an index."""
        return self.samples(self.held(index))

    def given(self, index: int) -> Given:
        """Return what is given with the batches at an index, [seeds, batch, ...]."""
        return self.given_with(self.held(index))

    def samples(self, held: Batch) -> Tensor:
        """Return the batches of what is held of them."""
        return held.x

    def given_with(self, held: Batch) -> Given:
        """Return what is given with the batches."""
        return held.given

    def held(self, index: int) -> Batch:
        """Return what is held of the batches at an index, drawn on the host a block at a time."""
        number, place = divmod(index, BLOCK)
        if self._held is None or self._held[0] != number:
            self._held = (number, self._block(number))
        block = self._held[1]
        return Batch(block.x[:, place], mapped(lambda part: part[:, place], block.given))

    def _block(self, number: int) -> Batch:
        # one generator for many batches: seeding one costs more than drawing a small batch
        drawn = [self.draw(BLOCK * self.batch, stream(f"{self.purpose}:{number}", seed)) for seed in self.seeds]
        blocks = [block if isinstance(block, Batch) else Batch(block) for block in drawn]
        x = torch.stack([block.x.unflatten(0, (BLOCK, self.batch)) for block in blocks]).to(self.device, self.dtype)
        return Batch(x, mapped(self._tidy, stacked([block.given for block in blocks])))

    def _tidy(self, given: Tensor) -> Tensor:
        """Return what is given [seeds, n, ...] by batches, on the device; labels stay whole numbers."""
        batches = given.unflatten(1, (BLOCK, self.batch)).to(self.device)
        return batches.to(self.dtype) if batches.is_floating_point() else batches
