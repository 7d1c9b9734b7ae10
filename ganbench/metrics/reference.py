"""The real side of every metric, prepared once: what depends on the real samples alone is computed once and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ganbench.problems.base import Modes, stream

PROJECTIONS = 32
# pairwise distances at a time: on a processor what its cache holds, on a GPU what fills it and still fits
PAIRS = {"cpu": 250_000, "cuda": 4_000_000}


class Reference:
    """Real samples [n, d] in one feature space, centred on their mean for the sake of distances.

    modes: the true modes in that space; class_head: the map from features [..., n, d] to class probabilities
    [..., n, classes]; neighbours: how many samples (of real and of fake) the k-nearest-neighbour metrics use.
    """

    def __init__(
        self,
        real: Tensor,
        *,
        modes: Modes | None = None,
        class_head: Callable[[Tensor], Tensor] | None = None,
        neighbours: int | None = None,
    ) -> None:
        self.real = real
        self.modes, self.class_head = modes, class_head
        self.neighbours = min(neighbours or len(real), len(real))
        self.centre = real.double().mean(0)
        self._radii: dict[int, Tensor] = {}

    @property
    def provides(self) -> set[str]:
        """What a metric may ask for in `needs`."""
        offers = {"modes": self.modes, "classes": self.class_head}
        return {name for name, value in offers.items() if value is not None}

    def near(self, samples: Tensor) -> Tensor:
        """Return the first `neighbours` of samples [..., n, d], centred like the real ones, float64.

        Squares of what a diverging run emits are beyond float32, where every one of them would equal every other.
        """
        return samples[..., : self.neighbours, :].double() - self.centre

    @cached_property
    def tree(self) -> cKDTree:
        """The real samples of `near` as a tree, for few dimensions on the CPU."""
        return cKDTree(self.near(self.real).numpy())

    def radii(self, k: int) -> Tensor:
        """Return the squared distance of each real sample to its k-th neighbour among the others, [neighbours]."""
        if k not in self._radii:
            self._radii[k] = neighbour_radii(self.near(self.real), k)
        return self._radii[k]

    @cached_property
    def covariance(self) -> Tensor:
        """Unbiased covariance [d, d], float64."""
        return torch.cov(self.real.double().T).reshape(self.real.shape[1], -1)

    @cached_property
    def root(self) -> Tensor:
        """Symmetric square root of the covariance [d, d], float64; exact where the covariance is singular."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    @cached_property
    def directions(self) -> Tensor:
        """Fixed unit vectors [d, projections] to project on."""
        drawn = torch.randn(self.real.shape[1], PROJECTIONS, generator=stream("projections", 0))
        return (drawn / drawn.norm(dim=0)).to(self.real)

    @cached_property
    def sorted_projections(self) -> Tensor:
        """Real samples along each direction, sorted, [n, projections]."""
        return (self.real @ self.directions).sort(0).values


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances [..., n, m] between a [..., n, d] and b [..., m, d].

    Differences where d is small, otherwise the product form in float64: both keep the distance of a point to itself
    at rounding error for samples that are centred.
    """
    if a.shape[-1] > 3:
        a, b = a.double(), b.double()
        cross = a @ b.transpose(-1, -2)
        return (a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2) - 2 * cross).clamp_(min=0)
    total = (a[..., :, None, 0] - b[..., None, :, 0]).square_()
    for axis in range(1, a.shape[-1]):
        total += (a[..., :, None, axis] - b[..., None, :, axis]).square_()
    return total


def neighbour_radii(samples: Tensor, k: int) -> Tensor:
    """Return the squared distance of each sample [..., n, d] to its k-th neighbour, itself left out by index."""
    distances = squared_distances(samples, samples)
    distances.diagonal(dim1=-2, dim2=-1).fill_(float("inf"))
    return distances.topk(k, largest=False).values[..., -1]
