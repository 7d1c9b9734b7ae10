"""What a variant is built of: its problem and the two networks of one run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ganbench.binding import bind
from ganbench.errors import UserError
from ganbench.gan.blocks import Passed
from ganbench.gan.conditioning import Untold
from ganbench.gan.networks import NetworkSpec, Normalize
from ganbench.plan import Variant
from ganbench.problems.base import Batch, Problem, stream
from ganbench.training.named import building
from ganbench.training.objective import batch_module, packed
from ganbench.training.parts import heads_of, parts_of

__all__ = ["build_networks", "building", "make_problem"]


TRIED = 16
"""Samples that somebody's problem is asked for before it is trained on."""


def make_problem(variant: Variant) -> Problem:
    """Build the problem of a variant."""
    bound = bind(variant, "problem")
    problem: Problem = bound()
    if not bound.plugin.is_own:
        _refuse_unfit(variant.problem, problem)
    return problem


def _refuse_unfit(name: str, problem: object) -> None:
    """Raise UserError where somebody's problem is none that can be trained on: see `ganbench verify` for all of it."""
    if not isinstance(problem, Problem):
        raise UserError(f"The problem '{name}' returns a {type(problem).__name__}, not a Problem.")
    batch = problem.draw(TRIED, stream("problem check", 0))
    if not isinstance(batch, Batch) or not isinstance(batch.x, Tensor):
        got = type(batch.x if isinstance(batch, Batch) else batch).__name__
        raise UserError(f"The problem '{name}' draws a {got}, not a Batch of samples and what is given with them.")
    wanted, x = (TRIED, *problem.shape), batch.x
    if tuple(x.shape) != wanted:
        raise UserError(f"The problem '{name}' draws samples of the shape {list(x.shape)}, asked for {list(wanted)}.")
    if x.dtype != torch.float32:
        raise UserError(f"The problem '{name}' draws samples of {str(x.dtype).removeprefix('torch.')}, not float32.")
    if not x.isfinite().all():
        raise UserError(f"The problem '{name}' draws samples with {x[~x.isfinite()][0].item()} in them.")


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
        network = bind(variant, "network")
        pair = network(spec)
    if not network.plugin.is_own:
        _refuse_odd(variant.network, pair)
    generator, discriminator = pair
    return generator, discriminator


def _refuse_odd(name: str, pair: object) -> None:
    """Raise UserError for networks of somebody's that would train as something else than they are."""
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(one, nn.Module) for one in pair):
        raise UserError(
            f"The network '{name}' returns a {type(pair).__name__}, not its generator and its discriminator, two "
            "modules."
        )
    weights = [{id(one) for one in module.parameters()} for module in pair]
    for module, own, player in zip(pair, weights, ("generator", "discriminator"), strict=True):
        if not own:
            raise UserError(f"The {player} of the network '{name}' has no parameters, so that nothing can train it.")
        if not all(one.requires_grad for one in module.parameters()):
            raise UserError(
                f"The {player} of the network '{name}' has parameters that are not to be trained, and here all are: "
                "register them as buffers."
            )
    if weights[0] & weights[1]:
        raise UserError(
            f"The generator and the discriminator of the network '{name}' share parameters, and here each trains its "
            "own."
        )


def _as_is(layer: nn.Module) -> nn.Module:
    return layer
