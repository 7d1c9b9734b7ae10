"""The laws of normalizations: what stands in a layer's place, at a linear layer and at two kinds of convolution."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganbench.contracts.base import Breach, NotDeclared, Outcome, law
from ganbench.problems.base import stream
from ganbench.registry import Plugin
from ganbench.training import batched

BATCH, FEATURES = 16, 8
AXES = {"batch": 0, "group": 2, "channels": 2, "pixels": 3}
"""Axes of outputs viewed as [batch, groups, channels of a group, pixels]; without groups all channels are one."""
ROUNDS = 100


@dataclass(frozen=True)
class Place:
    """A layer to be normalized: how it is built, the shape of a sample, and of one that its weight covers once."""

    name: str
    build: Callable[[], nn.Module]
    sample: tuple[int, ...]
    covered: tuple[int, ...]


LINEAR = Place("a linear layer", lambda: nn.Linear(6, FEATURES), (6,), (6,))
CONVOLUTION = Place("a convolution", lambda: nn.Conv2d(3, FEATURES, 4), (3, 6, 6), (3, 4, 4))
PLACES = (
    LINEAR,
    CONVOLUTION,
    Place("a transposed convolution", lambda: nn.ConvTranspose2d(6, FEATURES, 2), (6, 1, 1), (6, 1, 1)),
)


def places(plugin: Plugin) -> Iterator[Place]:
    """Yield the layers that a normalization is for: convolutions alone where it needs feature maps."""
    yield from (place for place in PLACES if place is not LINEAR or "feature_maps" not in plugin.needs)


def layers(plugin: Plugin, place: Place, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Return a plain layer and what a normalization puts in its place, float64, from the same initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        plain = place.build().double()
        return copy.deepcopy(plain), plugin.function(plain, **plugin.hypers).double()


def batch(place: Place, seed: int = 0) -> Tensor:
    """Return samples of 100 times normal numbers, beside which nobody's epsilon counts, float64."""
    drawn = torch.randn(BATCH, *place.sample, generator=stream("normalization contract", seed), dtype=torch.float64)
    return drawn * 100


@torch.no_grad()
def acting_matrix(module: nn.Module, place: Place) -> Tensor:
    """Return the weight in force [out, in x kernel], read off the responses to unit inputs."""
    basis = torch.eye(torch.Size(place.covered).numel(), dtype=torch.float64).reshape(-1, *place.covered)
    response = module(basis) - module(torch.zeros_like(basis))
    if response.dim() == 4 and response.shape[-1] > 1:
        # each 1 x 1 input spreads over the kernel: [in, out, taps] to [out, in x taps]
        return response.flatten(2).transpose(0, 1).flatten(1)
    return response.flatten(1).T


@law
def keeps_what_it_declares(plugin: Plugin) -> Outcome:
    """Its outputs or its weight in force have what it declares in `keeps`, to 1e-3 (statistics: 2 %)."""
    if "keeps" not in plugin.meta:
        return NotDeclared("`keeps`, what is invariant about its outputs or its weight")
    keeps = plugin.meta["keeps"]
    checks = {
        "row lengths": _row_lengths,
        "spectral norm 1": _spectral_norm,
        "root mean square 1": _root_mean_square,
        "the layer": _layer_itself,
    }
    for place in places(plugin):
        breach = checks[keeps](plugin, place) if isinstance(keeps, str) else _statistics(plugin, place, keeps)
        if breach:
            return Breach(f"{breach} at {place.name}")
    return None


def _spectral_norm(plugin: Plugin, place: Place) -> str:
    _, module = layers(plugin, place)
    for _ in range(ROUNDS):
        module(batch(place))
    largest = torch.linalg.svdvals(acting_matrix(module.eval(), place))[0].item()
    return "" if abs(largest - 1) < 1e-3 else f"the largest singular value is {largest:.6g} after {ROUNDS} batches"


def _root_mean_square(plugin: Plugin, place: Place) -> str:
    _, module = layers(plugin, place)
    with torch.no_grad():
        size = module(batch(place)).square().mean(1).sqrt()
    error = (size - 1).abs().max().item()
    return "" if error < 1e-3 else f"the root mean square over channels is {1 + error:.6g} or {1 - error:.6g}"


def _row_lengths(plugin: Plugin, place: Place) -> str:
    plain, module = layers(plugin, place)
    size = max(parameter.numel() for parameter in plain.parameters())
    before = acting_matrix(module.eval(), place).norm(dim=1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() == size:
                parameter.mul_(7)
    change = (acting_matrix(module, place).norm(dim=1) / before - 1).abs().max().item()
    return "" if change < 1e-3 else f"a row's length changes by {change:.3g} of it where the trained weight grows 7 x"


def _layer_itself(plugin: Plugin, place: Place) -> str:
    layer = place.build()
    return "" if plugin.function(layer, **plugin.hypers) is layer else "it returns another module than the layer"


def _statistics(plugin: Plugin, place: Place, axes: tuple[str, ...]) -> str:
    groups = int(plugin.hypers.get("groups", 1)) if "group" in axes else 1
    dims = [AXES[axis] for axis in axes]
    out = layers(plugin, place)[1](batch(place)).detach().reshape(BATCH, groups, FEATURES // groups, -1)
    over = f"over {' and '.join(axes)}"
    mean, variance = out.mean(dims).abs().max().item(), out.var(dims, correction=0)
    if not mean < 1e-3:
        return f"a mean {over} is {mean:.3g}"
    off = (variance - 1).abs().max().item()
    return "" if off < 2e-2 else f"a variance {over} is off 1 by {off:.3g}"


@law
def shape_is_the_layers(plugin: Plugin) -> Outcome:
    """What stands in a layer's place has outputs of the layer's shape."""
    for place in places(plugin):
        plain, module = (tuple(part(batch(place)).shape) for part in layers(plugin, place))
        if plain != module:
            return Breach(f"outputs are {list(module)} instead of {list(plain)} at {place.name}")
    return None


@law
def finite(plugin: Plugin) -> Outcome:
    """Outputs and gradients are finite, also for samples that are all equal, and some parameter learns."""
    for place in places(plugin):
        for name, x in {"normal samples": batch(place), "equal samples": torch.ones_like(batch(place))}.items():
            module = layers(plugin, place)[1]
            out = module(x)
            found = _gradients(out.square().sum(), [part for part in module.parameters() if part.requires_grad])
            if not all(bool(part.isfinite().all()) for part in (out, *found)):
                return Breach(f"not all outputs and gradients are finite for {name} at {place.name}")
            if name == "normal samples" and not any(bool(part.any()) for part in found):
                return Breach(f"no parameter has a gradient at {place.name}")
    return None


def _gradients(value: Tensor, tensors: list[nn.Parameter]) -> tuple[Tensor, ...]:
    if not value.requires_grad or not tensors:
        return ()
    return torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True)


@law
def measuring_moves_nothing(plugin: Plugin) -> Outcome:
    """In measuring (`eval`) the same batch gives the same outputs, and no buffer moves."""
    for place in places(plugin):
        module = layers(plugin, place)[1].eval()
        before = {name: buffer.clone() for name, buffer in module.named_buffers()}
        first, second = module(batch(place)), module(batch(place))
        if not torch.equal(first, second):
            return Breach(f"outputs change by {(first - second).abs().max().item():.3g} at {place.name}")
        moved = [name for name, buffer in module.named_buffers() if not torch.equal(before[name], buffer)]
        if moved:
            return Breach(f"the buffer {moved[0]} moves at {place.name}")
    return None


@law
def samples_are_as_independent_as_declared(plugin: Plugin) -> Outcome:
    """A sample's output does not look at the other samples where it provides `independent_samples`."""
    change = 0.0
    for place in places(plugin):
        module, x = layers(plugin, place)[1].eval(), batch(place)
        others = torch.cat([x[:1], 3 * x[1:] + 1])
        out = module(x)[0]
        change = max(change, ((module(others)[0] - out).abs().max() / out.abs().max().clamp(min=1e-9)).item())
        if change > 1e-9 and "independent_samples" in plugin.provides:
            return Breach(f"a sample's output changes by {change:.3g} of it with the others at {place.name}")
    if change <= 1e-9 and "independent_samples" not in plugin.provides:
        return NotDeclared("provides={'independent_samples'}: it is so, and penalties on gradients are skipped")
    return None


@law
def a_population_is_its_runs(plugin: Plugin) -> Outcome:
    """Stacked over runs, it gives what each run gives alone."""
    for place in places(plugin):
        for training in (False, True):
            modules = [layers(plugin, place, seed)[1].train(training) for seed in range(3)]
            states = [dict(module.named_parameters()) | dict(module.named_buffers()) for module in modules]
            stacked = {name: torch.stack([own[name].detach() for own in states]) for name in states[0]}
            x = torch.stack([batch(place, seed) for seed in range(3)])
            together = batched.forward(modules[0], stacked, x)
            alone = torch.stack([module(part) for module, part in zip(modules, x, strict=True)])
            off = ((together - alone).abs().max() / alone.abs().max()).item()
            if not off < 1e-9:
                return Breach(f"outputs are {off:.3g} of them off in {'training' * training or 'eval'} at {place.name}")
    return None
