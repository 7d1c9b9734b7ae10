"""What every problem offers: samples to train on, samples to measure against, and a perfect generator's samples."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Modes:
    """The exact modes of a mixture of isotropic Gaussians: centres [K, d], one std, weights [K]; all float64."""

    centres: Tensor
    std: float
    weights: Tensor


class Problem(ABC):
    """A data distribution, with its oracle (what a perfect generator would score).

    shape: the shape of one sample. capabilities: what networks and metrics may rely on ("image", "modes", "classes").
    value_range: the declared range of an image's pixels. feature_spaces: where metrics compare samples, main one first.
    labels: the class of each sample of `reference()`, for problems with classes.
    """

    name: str
    shape: tuple[int, ...]
    capabilities: frozenset[str] = frozenset()
    value_range: tuple[float, float] | None = None
    feature_spaces: tuple[str, ...] = ("data",)
    modes: Modes | None = None
    labels: Tensor | None = None

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw training samples [n, *shape], float32 on the CPU, from nothing but the generator's stream."""

    def group_weights(self) -> Tensor:
        """Return the weights [groups] of its modes or classes, for problems with "unequal_groups"; they sum to 1."""
        raise NotImplementedError

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw training samples [n, *shape] as `sample` does, from groups of these weights [groups] that sum to 1."""
        raise NotImplementedError

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return the fixed real samples [n, *shape] that generators are measured against (None: 10 000)."""
        return self.sample(10_000 if n is None else n, stream("reference", seed))

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return what a perfect generator would give, [n, *shape]: independent of every reference."""
        return self.sample(n, stream("oracle", seed))


def stream(purpose: str, seed: int) -> torch.Generator:
    """Return a CPU generator of its own for a purpose and a seed, so that no two purposes share random numbers."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
