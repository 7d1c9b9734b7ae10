"""Optimizers of the two players.

An optimizer is `(parameters, gradient, state, step, lr, *, hypers) -> None`: it moves `parameters` in place against
`gradient`, both `[..., size]`; `state` is a dictionary of its own tensors, empty at step 1; `lr` and the numeric
hyper-parameters are numbers or tensors that broadcast, one a run. `step` counts from 1, a tensor without axes. Every
optimizer declares `g_lr` and `d_lr`, the rates of G and D, and `decay`, their course over training; the engine makes
`lr` of them.

What it needs to know of the step it may declare as `numbers`, a function `(step, *, hypers) -> tuple` of a number of
Python, called outside the step: that tuple, its numbers as tensors, then comes in place of `step`.

`weight_decay` is L2 regularization, as in `torch.optim`: it adds so many times the parameters, all of them, to the
gradient of both players. `adamw` alone decouples it from the gradient's scale.

One that is linear may declare `linear`, `(gradient, last, *, hypers) -> (move, kept)` without rates and decay: what it
keeps is `last` in the next step.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganbench.errors import unknown
from ganbench.gan import linear
from ganbench.ranges import BelowOne, NotNegative
from ganbench.registry import Plugin, register

DECAYS = {
    "none": lambda progress: 1.0,
    "sqrt": lambda progress: math.sqrt(1.0 - progress),
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: (1.0 + math.cos(math.pi * progress)) / 2,
}


def rate_factor(decay: str, step: int, steps: int) -> float:
    """Return the factor on the learning rate at a step (from 0) of `steps`; UserError for an unknown decay."""
    if decay not in DECAYS:
        raise unknown("decay of the learning rate", decay, DECAYS)
    return float(DECAYS[decay](step / steps))


def at_step(optimizer: Plugin, step: int, hypers: Mapping[str, Any], device: torch.device | None = None) -> Any:
    """Return what an optimizer is handed of its step-th step, from 1: tensors, each without axes or one a run."""

    def placed(number: Any) -> Tensor:
        if isinstance(number, Tensor):
            return number.to(device)
        # as precise as a number of Python, until it meets a tensor
        return torch.full((), float(number), dtype=torch.float64, device=device)

    numbers = optimizer.declared("numbers")
    return placed(step) if numbers is None else tuple(placed(number) for number in numbers(step, **hypers))


def _with_decay(gradient: Tensor, parameters: Tensor, weight_decay: Any) -> Tensor:
    """Return the gradient with that of weight_decay / 2 times the squared parameters."""
    # a number of Python where all runs share it: without decay there is nothing to add, nor to pay for
    if not isinstance(weight_decay, Tensor) and weight_decay == 0:
        return gradient
    return gradient + weight_decay * parameters


@register("optimizer", linear=linear.heavy_ball, later="weight_decay")
def sgd(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    step: Tensor,
    lr: Any,
    *,
    g_lr: NotNegative = 1e-2,
    d_lr: NotNegative = 1e-2,
    momentum: float = 0.0,
    decay: str = "none",
    weight_decay: NotNegative = 0.0,
) -> None:
    """Gradient descent with heavy-ball momentum, which may be negative (Polyak 1964; Gidel 2019b)."""
    if not state:
        state["velocity"] = torch.zeros_like(parameters)
    velocity = state["velocity"].mul_(momentum).add_(_with_decay(gradient, parameters, weight_decay))
    parameters.sub_(velocity * lr)


@register("optimizer", later="weight_decay")
def rmsprop(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    step: Tensor,
    lr: Any,
    *,
    g_lr: NotNegative = 5e-4,
    d_lr: NotNegative = 5e-4,
    alpha: BelowOne = 0.99,
    eps: NotNegative = 1e-8,
    decay: str = "none",
    weight_decay: NotNegative = 0.0,
) -> None:
    """RMSProp without momentum, the optimizer of weight-clipped critics (Tieleman & Hinton 2012; Arjovsky 2017)."""
    if not state:
        state["square"] = torch.zeros_like(parameters)
    gradient = _with_decay(gradient, parameters, weight_decay)
    square = state["square"].lerp_(gradient.square(), 1 - alpha)
    parameters.sub_(gradient / (square.sqrt() + eps) * lr)


@register("optimizer", linear=linear.optimistic, later="weight_decay")
def optimistic_sgd(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    step: Tensor,
    lr: Any,
    *,
    g_lr: NotNegative = 1e-2,
    d_lr: NotNegative = 1e-2,
    decay: str = "none",
    weight_decay: NotNegative = 0.0,
) -> None:
    """Optimistic gradient descent: twice this gradient less the last one (Daskalakis 2018)."""
    _optimistic(parameters, _with_decay(gradient, parameters, weight_decay), state, lr)


def unbiased(step: int, *, beta1: Any = 0.5, beta2: Any = 0.999, **others: Any) -> tuple[Any, Any]:
    """Return what undoes the bias of Adam's two means: the first one's divisor, the factor on the second one's root."""
    return 1 - beta1**step, (1 - beta2**step) ** -0.5


@register("optimizer", numbers=unbiased, later="weight_decay")
def adam(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    bias: tuple[Any, Any],
    lr: Any,
    *,
    g_lr: NotNegative = 2e-3,
    d_lr: NotNegative = 2e-3,
    beta1: BelowOne = 0.5,
    beta2: BelowOne = 0.999,
    eps: NotNegative = 1e-8,
    decay: str = "sqrt",
    weight_decay: NotNegative = 0.0,
) -> None:
    """Adam with bias correction (Kingma & Ba 2015, alg. 1)."""
    if not state:
        state.update(mean=torch.zeros_like(parameters), square=torch.zeros_like(parameters))
    gradient = _with_decay(gradient, parameters, weight_decay)
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    square = state["square"].lerp_(gradient.square(), 1 - beta2)
    divisor, factor = bias
    size = square.sqrt().mul_(factor).add_(eps)
    parameters.addcdiv_(mean * (lr / divisor), size, value=-1)


@register("optimizer", numbers=unbiased)
def adamw(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    bias: tuple[Any, Any],
    lr: Any,
    *,
    g_lr: NotNegative = 2e-3,
    d_lr: NotNegative = 2e-3,
    beta1: BelowOne = 0.5,
    beta2: BelowOne = 0.999,
    eps: NotNegative = 1e-8,
    weight_decay: NotNegative = 0.01,
    decay: str = "sqrt",
) -> None:
    """Adam with decoupled weight decay: parameters shrink by lr x weight_decay a step (Loshchilov & Hutter 2019)."""
    parameters.mul_(1 - lr * weight_decay)
    adam(parameters, gradient, state, bias, lr, beta1=beta1, beta2=beta2, eps=eps)


@register("optimizer", numbers=unbiased, later="weight_decay")
def optimistic_adam(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    bias: tuple[Any, Any],
    lr: Any,
    *,
    g_lr: NotNegative = 2e-3,
    d_lr: NotNegative = 2e-3,
    beta1: BelowOne = 0.5,
    beta2: BelowOne = 0.999,
    eps: NotNegative = 1e-8,
    decay: str = "sqrt",
    weight_decay: NotNegative = 0.0,
) -> None:
    """Optimistic Adam: twice Adam's step less its last one (Daskalakis 2018, alg. 1)."""
    direction, gradient = torch.zeros_like(parameters), _with_decay(gradient, parameters, weight_decay)
    adam(direction, gradient, state, bias, -1.0, beta1=beta1, beta2=beta2, eps=eps)
    _optimistic(parameters, direction, state, lr)


def _optimistic(parameters: Tensor, direction: Tensor, state: dict[str, Tensor], lr: Any) -> None:
    # before the first step there is no other direction, and the step is an ordinary one
    last = state.setdefault("last", direction.clone())
    parameters.sub_((2 * direction - last) * lr)
    last.copy_(direction)
