"""What a variant is built of: its problem and the two networks of one run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ganbench.binding import bind
from ganbench.gan.blocks import Passed
from ganbench.gan.conditioning import Untold
from ganbench.gan.networks import NetworkSpec, Normalize
from ganbench.plan import Variant
from ganbench.problems.base import Problem, stream
from ganbench.training.named import building
from ganbench.training.objective import batch_module, packed
from ganbench.training.parts import heads_of, parts_of

__all__ = ["build_networks", "building", "make_problem"]


def make_problem(variant: Variant) -> Problem:
    """Build the problem of a variant."""
    problem: Problem = bind(variant, "problem")()
    return problem


def build_networks(variant: Variant, problem: Problem, seed: int) -> tuple[nn.Module, nn.Module]:
    """Build one run's generator and discriminator; the initial weights depend on seed and architecture alone."""
    layers: dict[str, Normalize] = {}
    for role, axis in (("g", "g_normalization"), ("d", "normalization")):
        bound = bind(variant, axis)
        of_weights = bound.declared("acts_on") == "weights"
        normalization = _Normalization(bound, stream(f"{axis} at the start", seed), of_weights)
        layers[f"{role}_norm"] = normalization
        layers[f"{role}_weight"] = normalization if of_weights else _as_is
    parts = parts_of(variant)
    d_batch = partial(batch_module, parts) if any(part.sees_batch for part in parts) else None
    latents = variant.latent_dim + sum(part.code.size for part in parts if part.code)
    spec = NetworkSpec(problem.shape, problem.value_range, latents, **layers, d_batch=d_batch,
                       given=problem.gives, d_heads=heads_of(parts, problem))  # fmt: skip
    shape = packed(parts, torch.empty(1, variant.batch_size, *problem.shape)).shape[2:]
    untold = problem.gives is not None and any(part.untold for part in parts)
    generator, discriminator = _pair(variant, spec, seed)
    if shape != problem.shape or untold:
        told = None if untold else problem.gives
        discriminator = _pair(variant, replace(spec, shape=tuple(shape), given=told), seed)[1]
    return generator, Untold(discriminator) if untold else discriminator


class _Normalization:
    """A normalization whose draws are its own: the layers that are built after it start as without it.

    One of weights leaves what stands for a layer and has none, such as a sum, as it is.
    """

    def __init__(self, normalization: Normalize, generator: torch.Generator, of_weights: bool) -> None:
        self._normalization, self._state, self._of_weights = normalization, generator.get_state(), of_weights

    def __call__(self, layer: nn.Module) -> nn.Module:
        if self._of_weights and type(layer) is Passed:
            return layer
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self._state)
            module = self._normalization(layer)
            self._state = torch.random.get_rng_state()
        return module


def _pair(variant: Variant, spec: NetworkSpec, seed: int) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream("initial weights", seed).initial_seed())
        pair = bind(variant, "network")(spec)
    generator, discriminator = pair
    return generator, discriminator


def _as_is(layer: nn.Module) -> nn.Module:
    return layer
