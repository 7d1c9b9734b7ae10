"""What a network is built for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ganbench.gan.conditioning import Headed
from ganbench.gan.networks.layers import Normalize, started
from ganbench.problems.base import Label, Picture


def _to_one(features: int) -> nn.Module:
    return nn.Linear(features, 1)


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built for: data shape, pixel range, latent size, and the layers' normalizations.

    `g_norm` and `d_norm` wrap a layer that the paper normalizes, `g_weight` and `d_weight` a layer where only a
    normalization of weights applies (outputs, a critic's first convolution). A network that builds the end of D by
    `d_last` provides "batch_features", and its D has heads of the sizes `d_heads` beside its logit; one whose D has a
    known activation before its end provides "hidden_features". Under packing it is called twice: G is built for a
    sample's shape, D for a pack's; so it is where D is not told what is given. `given` is what the problem gives: then
    both players take it as a second argument. A generator with an attribute `noise` takes so many numbers of N(0, 1)
    behind each sample's latents, [batch, latent_dim + noise]. A buffer whose name ends in `progress`, without axes, of
    either player holds the share of the training that is over.
    """

    shape: tuple[int, ...]
    value_range: tuple[float, float] | None
    latent_dim: int
    g_norm: Normalize
    g_weight: Normalize
    d_norm: Normalize
    d_weight: Normalize
    d_batch: Callable[[int], nn.Module] | None = None
    given: Label | Picture | None = None
    d_heads: tuple[int, ...] = ()

    def d_last(self, features: int, linear: Callable[[int], nn.Module] = _to_one) -> nn.Module:
        """Return D's last layers, [batch, features] to [batch, 1]; before the linear one D may look at its batch.

        linear: makes the linear one for so many features.
        """
        if self.d_batch is None:
            return self._headed(self.d_weight(linear(features)), features)
        seen: Any = self.d_batch(features)
        return self._headed(nn.Sequential(seen, self.d_weight(linear(seen.out_features))), features)

    def _headed(self, last: nn.Module, features: int) -> nn.Module:
        if not self.d_heads:
            return last
        # what is built before and after them starts as it does without
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + 1)
            heads = [self.d_weight(nn.Linear(features, size)) for size in self.d_heads]
        return Headed(last, heads)

    def started(self, network: str, init: str, scale: float) -> NetworkSpec:
        """Return the spec whose layers have other initial weights when they are normalized (see layers.INITIAL)."""
        if (init, scale) == ("default", 1.0):
            return self

        def behind(norm: Normalize) -> Normalize:
            return lambda layer: norm(started(layer, network, init, scale))

        g_norm, g_weight, d_norm, d_weight = map(behind, (self.g_norm, self.g_weight, self.d_norm, self.d_weight))
        return replace(self, g_norm=g_norm, g_weight=g_weight, d_norm=d_norm, d_weight=d_weight)
