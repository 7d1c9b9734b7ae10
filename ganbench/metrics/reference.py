"""The real side of every metric, prepared once: what depends on the real samples alone is computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics import moments
from ganbench.metrics.distances import Points, middle, neighbour_distances, neighbour_radii, squared_distances
from ganbench.metrics.inputs import Samples, real_samples, same_dimension, samples
from ganbench.problems.base import Modes, Truth, stream

__all__ = ["Reference", "neighbour_radii", "prepared", "squared_distances"]

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """What a generator is trained on, in a Reference's space: samples [n, d], their labels [n] where there are any.

    All of them, or a fresh draw where they have no end. So are samples that no generator is trained on.
    """

    real: Reference
    labels: Tensor | None = None


class Reference:
    """Real samples [n, d] in one feature space, with all that metrics need of them, each computed when first needed.

    real: array or tensor, on the device where metrics are computed. modes: the true modes in that space; class_head:
    the map from features [..., n, d] to class probabilities [..., n, classes]; neighbours: how many samples (of real
    and of fake) the k-nearest-neighbour metrics use, always the same random ones, None for all; shuffled: that samples
    come in random order, so that the first of them will do; training: what a generator is trained on, when it is asked
    for; held_out: samples that it is not trained on, with their labels; perfect: a perfect generator's samples [n, d],
    by which classes are counted (None: as equally likely ones, of which the classifier is sure); truth: what is right
    for what is given; labels: the class of each sample [n], where that is known. Raises InputError as `inputs.samples`
    does, and for real samples that are all equal.

    >>> reference = Reference(np.array([[0.0], [1.0], [2.0], [3.0]]))
    >>> reference.radii(1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        real: Samples | Reference,
        *,
        modes: Modes | None = None,
        class_head: Callable[[Tensor], Tensor] | None = None,
        neighbours: int | None = None,
        shuffled: bool = False,
        training: Callable[[], Training] | None = None,
        held_out: Callable[[], Training] | None = None,
        perfect: Callable[[], Tensor] | None = None,
        truth: Truth | None = None,
        labels: Tensor | None = None,
    ) -> None:
        self.real = real_samples(real)
        self.modes, self.class_head = modes, class_head
        self.neighbours, self.shuffled = neighbours, shuffled
        self._training, self._held_out, self.perfect, self.truth = training, held_out, perfect, truth
        self.labels = labels
        self.centre = moments.mean(self.real)
        self._kept: dict[Hashable, Any] = {}

    @property
    def provides(self) -> set[str]:
        """What a metric may ask for in `needs`."""
        offers = {"modes": self.modes, "classes": self.class_head}
        return {name for name, value in offers.items() if value is not None}

    @cached_property
    def training(self) -> Training:
        """What the generator was trained on; without other word the real samples themselves."""
        return self._training() if self._training else Training(self)

    @cached_property
    def held_out(self) -> Training:
        """Samples that the generator was not trained on, with their labels; without other word the real ones."""
        return self._held_out() if self._held_out else Training(self)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what a metric needs of the real samples: computed at the first call with this key, then kept."""
        if key not in self._kept:
            self._kept[key] = compute()
        return cast(T, self._kept[key])

    def some(self, samples: Tensor) -> Tensor:
        """Return `neighbours` of samples [..., n, d], or all where there are no more."""
        count = samples.shape[-2]
        if self.neighbours is None or self.neighbours >= count:
            return samples
        if self.shuffled:
            return samples[..., : self.neighbours, :]
        chosen = torch.randperm(count, generator=stream("neighbours", 0))[: self.neighbours]
        return samples[..., chosen.to(samples.device), :]

    @cached_property
    def close(self) -> Tensor:
        """Those real samples [neighbours, d] that the k-nearest-neighbour metrics use."""
        return self.some(self.real)

    def centred(self, samples: Tensor) -> Tensor:
        """Return samples [..., n, d] centred like the real ones, float64."""
        return samples.double() - self.centre

    @cached_property
    def points(self) -> Points:
        """The samples of `close`, ready for products."""
        return Points(self.close[None], middle(self.close[None]))

    @cached_property
    def tree(self) -> cKDTree:
        """The samples of `close` as a tree, for few dimensions on the CPU."""
        return cKDTree(self.centred(self.close).numpy())

    def radii(self, k: int) -> Tensor:
        """Return the squared distance of each sample of `close` to its k-th neighbour among the others, float64."""
        known: Tensor | None = self._kept.get("neighbours")
        if known is None or known.shape[1] < k:
            self._kept["neighbours"] = known = neighbour_distances(self.close, k)
        return known[:, k - 1]

    @cached_property
    def covariance(self) -> Tensor:
        """Unbiased covariance [d, d], float64."""
        return moments.covariance(self.real, self.centre)

    @cached_property
    def root(self) -> Tensor:
        """A factor L [d, rank] of the covariance L L^T, float64."""
        return moments.root(self.covariance)


def prepared(real: Samples | Reference, fake: Samples, *, least: int = 1) -> tuple[Reference, Tensor]:
    """Return real [n, d] (or its Reference) as a Reference and fake [..., m, d] as a tensor on the same device.

    Arrays and tensors meet on the fakes' device, a Reference stays where it is. Raises InputError where an argument is
    not as `inputs.samples` wants it, has fewer than `least` samples, or has not the other's dimension.
    """
    fake = samples(fake, "fake", least=least)
    if not isinstance(real, Reference):
        real = Reference(real_samples(real, least=least).to(fake.device))
    elif len(real.real) < least:
        raise InputError(f"'real' has {len(real.real)} samples, and this metric needs at least {least}: give it more.")
    same_dimension(real.real.shape[-1], fake)
    return real, fake.to(real.real.device)
