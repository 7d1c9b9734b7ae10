"""Tensors that outlast a step, each in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Kept(dict[str, Tensor]):
    """What a plug-in remembers, by name; it may bind other tensors within a step.

    `settle` writes their values where the first of each name lies, so that the next step finds them at one address.
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[str, Tensor] = {}

    def settle(self) -> None:
        """Bring every value to its place; one that is new, or of another form than before, gets one of its own."""
        for name, value in self.items():
            place = self._places.get(name)
            if place is value:
                continue
            if isinstance(place, Tensor) and place.shape == value.shape and place.dtype == value.dtype:
                place.copy_(value.detach())
            else:
                # a copy: its owner may have handed out the tensor itself
                self._places[name] = place = value.detach().clone()
            self[name] = place

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take the values of a checkpoint."""
        self.update(saved)
        self.settle()


def settle(kept: Iterable[Kept]) -> None:
    """Bring all that several owners remember to its places."""
    with torch.no_grad():
        for own in kept:
            own.settle()
