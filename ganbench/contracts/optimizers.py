"""The laws of optimizers, on flat parameters [runs, size] with one rate a run, as the engine steps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law
from ganbench.errors import unknown
from ganbench.gan.optimizers import DECAYS, at_step
from ganbench.problems.base import stream
from ganbench.registry import Plugin

RUNS, SIZE, STEPS = 3, 7, 20
RATE = 1e-2


def gradients(scale: float = 1.0) -> Tensor:
    """Return a gradient for each step [steps, runs, size], float64, over eight orders of magnitude."""
    drawn = torch.randn(STEPS, RUNS, SIZE, generator=stream("optimizer contract", 0), dtype=torch.float64)
    return drawn * torch.logspace(-6, 2, SIZE, dtype=torch.float64) * scale


def rates(*values: float) -> Tensor:
    """Return one rate a run [runs, 1]."""
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def advance(
    plugin: Plugin,
    position: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    step: int,
    lr: Tensor,
    hypers: Mapping[str, Any] | None = None,
) -> None:
    """Make one step, the step-th from 1, as the engine does."""
    hypers = plugin.hypers if hypers is None else hypers
    plugin(position, gradient, state, at_step(plugin, step, hypers), lr, **hypers)


def walk(plugin: Plugin, course: Tensor, lr: Tensor, hypers: Mapping[str, Any] | None = None) -> Tensor:
    """Return the positions after each step [steps, runs, size], from ones, for gradients [steps, runs, size]."""
    position, state, places = torch.ones_like(course[0]), {}, []  # type: ignore[var-annotated]
    for step, gradient in enumerate(course, 1):
        advance(plugin, position, gradient.clone(), state, step, lr, hypers)
        places.append(position.clone())
    return torch.stack(places)


def _differs(expected: Tensor, got: Tensor, where: str, within: float = 0.0) -> Outcome:
    error = (got - expected).abs() - within * expected.abs()
    if bool((error <= 0).all()):
        return None
    at = int(error.nan_to_num(nan=torch.inf).argmax())
    step = at // (expected.numel() // STEPS) + 1
    values = expected.flatten()[at].item(), got.flatten()[at].item()
    return Breach(f"a parameter is at {values[1]:.8g} instead of {values[0]:.8g} in step {step} {where}")


@law
def rates_are_declared(plugin: Plugin) -> Outcome:
    """It declares `g_lr`, `d_lr` and `decay`, of which the engine makes the rate."""
    missing = [name for name in ("g_lr", "d_lr", "decay") if name not in plugin.hypers]
    if missing:
        return Breach(f"it has no keyword-only parameter {', '.join(missing)}")
    if plugin.hypers["decay"] not in DECAYS:
        raise unknown("decay of the learning rate", plugin.hypers["decay"], DECAYS)
    return None


@law
def moves_in_place(plugin: Plugin) -> Outcome:
    """It moves the parameters in place, against the gradient in the first step, and leaves the gradient as it is."""
    position, gradient = torch.ones(RUNS, SIZE, dtype=torch.float64), gradients()[0]
    given = gradient.clone()
    advance(plugin, position, given, {}, 1, rates(RATE, RATE, RATE))
    along = ((position - 1) * gradient).sum().item()
    if not along < 0:
        return Breach(f"the first step along the gradient is {along:.3g} x its length, and should be below 0")
    return None if torch.equal(given, gradient) else Breach("it writes into the gradient")


@law
def descends_a_bowl(plugin: Plugin) -> Outcome:
    """It comes from 3 to within 0.3 of the minimum of x^2 in 200 steps, at a rate of 1, 0.1 or 0.01."""
    position, state = torch.full((RUNS, SIZE), 3.0, dtype=torch.float64), {}  # type: ignore[var-annotated]
    for step in range(1, 201):
        advance(plugin, position, 2 * position, state, step, rates(1.0, 0.1, 0.01))
    ends = position.abs().amax(1)
    if bool((ends < 0.3).any()):
        return None
    return Breach(f"it ends at a distance of {', '.join(f'{end:.3g}' for end in ends.tolist())}")


@law
def rate_of_zero_freezes(plugin: Plugin) -> Outcome:
    """A run with rate 0 stays exactly where it is, whatever its gradient; the others move."""
    places = walk(plugin, gradients(), rates(RATE, 0.0, RATE))
    off = (places[:, 1] - 1).abs().max().item()
    if off != 0:
        return Breach(f"a run with rate 0 moves by {off:.3g} in {STEPS} steps")
    still = (places[-1, [0, 2]] - 1).abs().max().item()
    return None if still > 0 else Breach(f"a run with rate {RATE:g} does not move in {STEPS} steps")


@law
def runs_are_alone(plugin: Plugin) -> Outcome:
    """A run's course does not change, bit for bit, when another run's gradients and rate do, to whatever values."""
    course, lr = gradients(), rates(RATE, RATE, RATE)
    alone = walk(plugin, course, lr)[:, [0, 2]]
    for other in (5.0, 1e30, float("nan")):
        moved = course.index_fill(1, torch.tensor([1]), other)
        got = walk(plugin, moved, rates(RATE, 1.0, RATE))[:, [0, 2]]
        if breach := _differs(alone, got, f"where another run's gradients are {other:g}"):
            return breach
    return None


@law
def memory_is_in_its_state(plugin: Plugin) -> Outcome:
    """Its memory is the tensors in `state`: a run that goes on from a copy of them goes on bit for bit."""
    course, lr = gradients(), rates(RATE, RATE, RATE)
    whole = walk(plugin, course, lr)
    position, state, places = torch.ones_like(course[0]), {}, []  # type: ignore[var-annotated]
    for step, gradient in enumerate(course, 1):
        strange = [name for name, part in state.items() if not isinstance(part, Tensor)]
        if strange:
            return Breach(f"state['{strange[0]}'] is a {type(state[strange[0]]).__name__}, and not a tensor")
        # what is kept elsewhere than in the state, by a name or by an identity, is not copied
        position, state = position.clone(), {name: part.clone() for name, part in state.items()}
        advance(plugin, position, gradient.clone(), state, step, lr)
        places.append(position)
    return _differs(whole, torch.stack(places), "where it goes on from copies of its state")


@law
def finite(plugin: Plugin) -> Outcome:
    """It stays finite at gradients of exactly 0, of 1e-20 and of 1e10."""
    for size in (0.0, 1e-20, 1e10):
        places = walk(plugin, torch.full((STEPS, RUNS, SIZE), size, dtype=torch.float64), rates(RATE, RATE, RATE))
        if not places.isfinite().all():
            return Breach(f"a parameter is {places[~places.isfinite()][0].item():g} at gradients of {size:g}")
    return None


@law
def numbers_may_differ(plugin: Plugin) -> Outcome:
    """Its numbers may be tensors, one number a run: a column of equal ones changes nothing."""
    columns = {
        name: torch.full((RUNS, 1), value, dtype=torch.float64) if isinstance(value, float) else value
        for name, value in plugin.hypers.items()
    }
    course, lr = gradients(), rates(RATE, RATE, RATE)
    got = walk(plugin, course, lr, columns)
    return _differs(walk(plugin, course, lr), got, "where its numbers are tensors", 1e-9)
