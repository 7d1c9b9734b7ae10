"""The laws of regularizers, whatever they act on: penalties are one number a run, weights and samples keep their shape.

A regularizer is tried on three runs at once, as the engine calls it; a critic whose gradient differs from sample to
sample stands for the discriminator. What a penalty is worth on a known critic is its paper's affair, and not a law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law, law_about
from ganbench.problems.base import stream
from ganbench.registry import Plugin

RUNS, BATCH, DIM, LATENT = 3, 11, 4, 3

Critic = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TermTrial:
    """One call of a regularizer.

    given: what it is called with, each [runs, ...]. shape: that of its result. learns: the names of what its result has
    to have a gradient in. batches: the names of what has a batch axis behind the runs.
    """

    given: dict[str, Tensor]
    call: Callable[[dict[str, Tensor]], Tensor]
    shape: tuple[int, ...]
    learns: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()

    def __call__(self, **changed: Tensor) -> Tensor:
        """Return what the regularizer gives where some of the tensors are changed."""
        return self.call({**self.given, **changed})


def on_inputs(plugin: Plugin) -> bool:
    """Tell whether a regularizer is a penalty on the critic's logits at samples."""
    return plugin.declared("acts_on") == "inputs"


def unsigned(plugin: Plugin) -> bool:
    """Tell whether a regularizer is a penalty that does not declare to be `signed`."""
    return plugin.declared("acts_on") in ("inputs", "matrices", "latents") and not plugin.declared("signed")


def learned(plugin: Plugin) -> bool:
    """Tell whether a regularizer's gradient is that of its value alone: what it remembers counts as constant there."""
    return plugin.declared("acts_on") not in ("nothing", "weights") and not plugin.declared("remembers")


def drawn(name: str, *shape: int) -> Tensor:
    """Return normal numbers of a name's own stream, float64."""
    return torch.randn(*shape, generator=stream(f"regularizer contract {name}", 0), dtype=torch.float64)


def linear(w: Tensor, x: Tensor) -> Tensor:
    """Return w.x [runs, batch] for weights [runs, size] and samples [runs, batch, *shape]."""
    return (x.flatten(2) * w.unsqueeze(1)).sum(-1)


def bent(w: Tensor, x: Tensor) -> Tensor:
    """Return logits [runs, batch] whose gradient differs from sample to sample and from run to run."""
    return linear(w, x).tanh() + linear(w.flip(-1), x).square()


def trial(plugin: Plugin, critic: Critic = bent, shape: tuple[int, ...] = (DIM,)) -> TermTrial:
    """Return how the engine calls a regularizer.

    `critic` maps weights [runs, size] and samples [runs, batch, *shape] to logits [runs, batch].
    """
    what, real = plugin.declared("acts_on"), drawn("real", RUNS, BATCH, *shape)
    if what == "weights":
        weights = drawn("weights", RUNS, 20)
        return TermTrial({"weights": weights}, lambda t: plugin(t["weights"], **plugin.hypers), (RUNS, 20))
    if what == "matrices":
        both = {"matrix 1": drawn("weights", RUNS, 5, 6), "matrix 2": drawn("matrix", RUNS, 2, 5)}
        return TermTrial(both, lambda t: plugin(list(t.values()), **plugin.hypers), (RUNS,), tuple(both))
    if what == "samples":
        given, progress = {"samples": real, "noise": drawn("numbers", *real.shape)}, torch.tensor(0.4).double()
        call = lambda t: plugin(t["samples"], t["noise"], progress, **plugin.hypers)  # noqa: E731
        return TermTrial(given, call, tuple(real.shape), ("samples",))
    if what == "latents":
        given = {"weights": drawn("weights", RUNS, DIM * LATENT), "latents": drawn("latents", RUNS, BATCH, LATENT),
                 "noise": drawn("numbers", RUNS, BATCH, DIM)}  # fmt: skip
        return TermTrial(given, _of_generator(plugin), (RUNS,), ("weights",), ("latents", "noise"))
    given = {"weights": drawn("weights", RUNS, real[0, 0].numel()), "real": real,
             "fake": drawn("fake", *real.shape) + 3, "numbers": _numbers(plugin, real)}  # fmt: skip
    learns = ("weights",) if what == "inputs" else ()
    return TermTrial(given, _penalty(plugin, critic), (RUNS,), learns, ("real", "fake", "numbers"))


def _penalty(plugin: Plugin, critic: Critic) -> Callable[[dict[str, Tensor]], Tensor]:
    def call(given: dict[str, Tensor]) -> Tensor:
        real, fake = (given[name].detach().clone().requires_grad_() for name in ("real", "fake"))
        # what remembers is held to its laws at its first batch
        memory: tuple[dict[str, Tensor], ...] = ({},) if plugin.declared("remembers") else ()
        penalty: Tensor = plugin(
            lambda x: critic(given["weights"], x), real, fake, given["numbers"], *memory, **plugin.hypers
        )  # fmt: skip
        return penalty

    return call


def _of_generator(plugin: Plugin) -> Callable[[dict[str, Tensor]], Tensor]:
    def call(given: dict[str, Tensor]) -> Tensor:
        def generator(latents: Tensor) -> Tensor:
            mapped = latents @ given["weights"].unflatten(1, (LATENT, DIM))
            return mapped.tanh() + 0.1 * mapped.square()

        # what remembers is held to its laws at its first batch
        memory: tuple[dict[str, Tensor], ...] = ({},) if plugin.declared("remembers") else ()
        penalty: Tensor = plugin(generator, given["latents"], given["noise"], *memory, **plugin.hypers)
        return penalty

    return call


def _numbers(plugin: Plugin, samples: Tensor) -> Tensor:
    if plugin.declared("draws") == "normal":
        return drawn("numbers", *samples.shape)
    uniform = stream("regularizer contract uniform", 0)
    return torch.rand(samples.shape[:2], generator=uniform, dtype=torch.float64)


def _moved(before: Tensor, after: Tensor, where: str, within: float = 0.0) -> Outcome:
    """Return the breach where a result changes by more than a share of it."""
    error = (after - before).abs() - within * before.abs().clamp(min=1e-3)
    if bool((error <= 0).all()):
        return None
    at = int(error.nan_to_num(nan=torch.inf).argmax())
    return Breach(f"it goes from {before.flatten()[at].item():.6g} to {after.flatten()[at].item():.6g} {where}")


@law
def shape_is_kept(plugin: Plugin) -> Outcome:
    """A penalty is one number a run; weights and samples come back in their shape."""
    own = trial(plugin)
    got = tuple(own().shape)
    if got == own.shape:
        return None
    hint = "" if got else ": take the mean over the last axis, .mean(-1)"
    return Breach(f"{RUNS} runs come back in the shape {list(got)}, not {list(own.shape)}{hint}")


@law
def finite(plugin: Plugin) -> Outcome:
    """Values and gradients are finite, also for a critic that ignores its input and for samples that are all equal."""
    own = trial(plugin)
    flat = [name for name in own.given if "weights" in name or "matrix" in name]
    cases = {
        "ordinary ones": own.given,
        "weights of 0": {**own.given, **{name: torch.zeros_like(own.given[name]) for name in flat}},
        "samples that are all 1": {
            name: torch.ones_like(part) if name in ("real", "fake", "samples") else part
            for name, part in own.given.items()
        },
    }
    for where, given in cases.items():
        learns = {name: given[name].clone().requires_grad_() for name in own.learns}
        value = own.call({**given, **learns})
        parts = {"it": value, **dict(zip(learns, _gradients(value, learns), strict=True))}
        for name, part in parts.items():
            if not part.isfinite().all():
                bad = part[~part.isfinite()][0].item()
                return Breach(f"{name if name == 'it' else f'its gradient in {name}'} is {bad:g} at {where}")
    return None


def _gradients(value: Tensor, learns: dict[str, Tensor]) -> list[Tensor]:
    """Return the gradients, zeros where there are none; runs weigh 1, 2, 3, so that none is handed its neighbour's."""
    if not learns or not value.requires_grad:
        return [torch.zeros_like(part) for part in learns.values()]
    return list(torch.autograd.grad(_weighed(value), list(learns.values()), allow_unused=True, materialize_grads=True))


def _weighed(value: Tensor) -> Tensor:
    return (torch.arange(1.0, value.numel() + 1, dtype=value.dtype).reshape(value.shape) * value).sum()


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same inputs give the same result: no memory, no random numbers but those that it is given."""
    own = trial(plugin)
    return _moved(own().detach(), own().detach(), "at a second call with the same inputs")


@law
def runs_are_alone(plugin: Plugin) -> Outcome:
    """What a run gets does not change, bit for bit, when another run's weights and samples do, to whatever values."""
    own = trial(plugin)
    before = own().detach()
    for other in (5.0, float("inf"), float("nan")):
        changed = {name: part.index_fill(0, torch.tensor([1]), other) for name, part in own.given.items()}
        after = own(**changed).detach()
        if before.shape != after.shape or not before.dim():
            return Breach("there is no run's own result to compare")
        if breach := _moved(before[[0, 2]], after[[0, 2]], f"where another run's weights and samples are {other:g}"):
            return breach
    return None


@law_about(on_inputs)
def order_is_free(plugin: Plugin) -> Outcome:
    """The order of the batch does not matter, where samples and their random numbers move together."""
    own = trial(plugin)
    order = torch.randperm(BATCH, generator=stream("regularizer contract order", 0))
    moved = own(**{name: own.given[name][:, order] for name in own.batches})
    return _moved(own().detach(), moved.detach(), "with the batch in another order", 1e-9)


@law_about(on_inputs)
def shape_of_samples_is_free(plugin: Plugin) -> Outcome:
    """Images count as their flattened pixels do."""
    flat, images = trial(plugin, shape=(18,))().detach(), trial(plugin, shape=(2, 3, 3))().detach()
    return _moved(flat, images, "for samples of shape [2, 3, 3] instead of [18]", 1e-9)


@law_about(unsigned)
def never_negative(plugin: Plugin) -> Outcome:
    """A penalty is never negative, unless it declares `signed=True`."""
    for name, critic in {"a linear critic": linear, "a bent critic": bent}.items():
        for scale in (0.1, 1.0, 10.0):
            own = trial(plugin, critic)
            weights = [name for name in own.given if name not in own.batches]
            least = own(**{name: scale * own.given[name] for name in weights}).min().item()
            if least < 0:
                on = name if on_inputs(plugin) else "normal matrices"
                return Breach(f"it is {least:.4g} on {on} with {scale:g} times the weights")
    return None


@law_about(learned)
def gradient_is_the_values(plugin: Plugin) -> Outcome:
    """Its gradient is that of its value, by finite differences in float64, and is not zero."""
    own, step = trial(plugin), 1e-6
    for name in own.learns:
        part = own.given[name].clone().requires_grad_()
        (gradient,) = _gradients(own(**{name: part}), {name: part})
        if not gradient.any():
            return Breach(f"it has no gradient in {name}")
        direction = drawn(f"direction {name}", *part.shape)
        ends = [_weighed(own(**{name: own.given[name] + side * step * direction})) for side in (1, -1)]
        difference, analytic = ((ends[0] - ends[1]) / (2 * step)).item(), (gradient * direction).sum().item()
        if not abs(difference - analytic) < 1e-4 * abs(difference) + 1e-5:
            return Breach(f"along {name} it changes by {difference:.5g}, and {analytic:.5g} by its gradient")
    return None


@law_about(on_inputs)
def needs_are_declared(plugin: Plugin) -> Outcome:
    """A penalty on the critic's gradients declares that it needs independent samples."""

    def twin(w: Tensor, x: Tensor) -> Tensor:
        # the logits of the linear critic with the gradient of another
        other = (3 * x.flatten(2)).sum(-1)
        return linear(w, x) + other - other.detach()

    values, other = (trial(plugin, critic)().detach() for critic in (linear, twin))
    if "independent_samples" in plugin.needs:
        return None
    where = "with the critic's gradient alone, and needs={'independent_samples': ...} is missing"
    return _moved(values, other, where, 1e-9)
