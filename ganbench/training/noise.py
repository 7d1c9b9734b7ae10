"""Random numbers of a run, drawn outside the vectorised code: a function of (seed, purpose, index) and nothing else.

Runs that share a seed share their latents, their data and their initial weights, whatever they are compared in
(common random numbers). All numbers are drawn on the CPU and moved, so that they are equal on every device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Given, Problem, SampleTable, mapped, stacked, stream

BLOCK = 32
LIKE = 16  # samples by which a table is held to what is drawn
Draw = Callable[[int, torch.Generator], Tensor]
Source = Callable[[int, torch.Generator], Batch]


@dataclass(frozen=True)
class Places:
    """The draw of n places [n] in a table, from which the samples are taken where they are needed."""

    draw: Draw
    table: SampleTable


def latents(kind: str, dim: int, beside: int = 0, codes: Sequence[Draw] = ()) -> Draw:
    """Return the draw of n latents [n, dim + codes + beside]: N(0, 1), or U(-1, 1), codes, and numbers of N(0, 1)."""
    if kind == "uniform":
        own = lambda n, generator: torch.rand(n, dim, generator=generator) * 2 - 1  # noqa: E731
    else:
        own = lambda n, generator: torch.randn(n, dim, generator=generator)  # noqa: E731
    if not beside and not codes:
        return own
    # after the latents, which are those of a generator that takes nothing else
    parts: list[Draw] = [own, *codes, lambda n, generator: torch.randn(n, beside, generator=generator)]
    return lambda n, generator: torch.cat([part(n, generator) for part in parts], dim=1)


def uniform(n: int, generator: torch.Generator) -> Tensor:
    """Draw n numbers of U[0, 1)."""
    return torch.rand(n, generator=generator)


def uniforms(count: int) -> Draw:
    """Return the draw of n rows of U[0, 1) numbers [n, count]."""
    return lambda n, generator: torch.rand(n, count, generator=generator)


def normal(shape: Sequence[int]) -> Draw:
    """Return the draw of n samples of N(0, 1) noise [n, *shape]."""
    return lambda n, generator: torch.randn(n, *shape, generator=generator)


def source(problem: Problem, device: torch.device, weights: Tensor | None = None) -> Source | Places:
    """Return the draw of a problem's training samples, from groups of these weights [groups] where there are any."""
    draw = problem.draw if weights is None else partial(problem.draw_groups, weights)
    if problem.table is None:
        return draw
    places = problem.places if weights is None else partial(problem.places_in_groups, weights)
    x, _ = draw(LIKE, stream("table", 0))
    # whoever made a problem of another may draw otherwise and have its table still
    is_all = torch.equal(x, problem.table.samples(places(LIKE, stream("table", 0))))
    return Places(places, problem.table.to(device)) if is_all else draw


class Stream:
    """Batches for several seeds; the batch at an index depends on seed, purpose and index alone."""

    def __init__(
        self,
        purpose: str,
        seeds: Sequence[int],
        batch: int,
        draw: Draw | Source | Places,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.purpose, self.seeds, self.batch = purpose, seeds, batch
        self.draw: Draw | Source = draw.draw if isinstance(draw, Places) else draw
        self.table = draw.table if isinstance(draw, Places) else None
        self.device, self.dtype = device, dtype
        self._held: tuple[int, Batch] | None = None
        # a device that is faster than what is drawn for it: threads draw one block ahead
        self._ahead: dict[int, list[Future[Batch]]] | None = {} if device.type == "cuda" else None

    def at(self, index: int) -> Tensor:
        """Return the batches [seeds, batch, ...] at an index."""
        return self.samples(self.held(index))

    def given(self, index: int) -> Given:
        """Return what is given with the batches at an index, [seeds, batch, ...]."""
        return self.given_with(self.held(index))

    def samples(self, held: Batch) -> Tensor:
        """Return the batches of what is held of them."""
        return held.x if self.table is None else self.table.samples(held.x).to(self.dtype)

    def given_with(self, held: Batch) -> Given:
        """Return what is given with the batches."""
        return held.given if self.table is None else mapped(self._typed, self.table.given_at(held.x))

    def held(self, index: int) -> Batch:
        """Return what is held of the batches at an index, drawn on the host a block at a time."""
        number, place = divmod(index, BLOCK)
        if self._held is None or self._held[0] != number:
            self._held = (number, self._block(number))
        block = self._held[1]
        return Batch(block.x[:, place], mapped(lambda part: part[:, place], block.given))

    def _block(self, number: int) -> Batch:
        blocks = self._drawn(number)
        x = self._moved(torch.stack([block.x.unflatten(0, (BLOCK, self.batch)) for block in blocks]))
        return Batch(
            x if self.table else x.to(self.dtype), mapped(self._tidy, stacked([block.given for block in blocks]))
        )

    def _drawn(self, number: int) -> list[Batch]:
        """Return a block of every seed."""
        if self._ahead is None:
            return [self._drawn_of(number, seed) for seed in self.seeds]
        for one in (number, number + 1):
            if one not in self._ahead:
                self._ahead[one] = [_threads().submit(self._drawn_of, one, seed) for seed in self.seeds]
        blocks = [drawn.result() for drawn in self._ahead.pop(number)]
        self._ahead = {number + 1: self._ahead[number + 1]}
        return blocks

    def _drawn_of(self, number: int, seed: int) -> Batch:
        # one generator for many batches: seeding one costs more than drawing a small batch
        drawn = self.draw(BLOCK * self.batch, stream(f"{self.purpose}:{number}", seed))
        return drawn if isinstance(drawn, Batch) else Batch(drawn)

    def _moved(self, block: Tensor) -> Tensor:
        """Return a block on the device, without waiting for it where that can be."""
        if self.device.type != "cuda":
            return block.to(self.device)
        return block.pin_memory().to(self.device, non_blocking=True)

    def _tidy(self, given: Tensor) -> Tensor:
        """Return what is given [seeds, n, ...] by batches, on the device; labels stay whole numbers."""
        return self._typed(self._moved(given.unflatten(1, (BLOCK, self.batch))))

    def _typed(self, batches: Tensor) -> Tensor:
        return batches.to(self.dtype) if batches.is_floating_point() else batches


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that draw for devices, with the numerics of whoever trains (see training.loop)."""

    def steady() -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)

    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), "ganbench draws", steady)
