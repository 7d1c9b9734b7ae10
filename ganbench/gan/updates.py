"""Optimizers of the two players.

An optimizer is `(parameters, gradient, state, step, lr, *, hypers) -> None`: it moves `parameters` in place against
`gradient`, both `[..., size]`; `state` is a dictionary of its own tensors, empty at step 1; `lr` and the numeric
hyper-parameters are numbers or tensors that broadcast, one a run. Every optimizer declares `g_lr` and `d_lr`, the
rates of G and D, and `decay`, their course over training; the engine makes `lr` of them.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ganbench.errors import unknown
from ganbench.registry import register

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


@register("optimizer")
def adam(
    parameters: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    step: int,
    lr: Any,
    *,
    g_lr: float = 2e-3,
    d_lr: float = 2e-3,
    beta1: float = 0.5,
    beta2: float = 0.999,
    eps: float = 1e-8,
    decay: str = "sqrt",
) -> None:
    """Adam with bias correction (Kingma & Ba 2015, alg. 1)."""
    if not state:
        state.update(mean=torch.zeros_like(parameters), square=torch.zeros_like(parameters))
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    square = state["square"].lerp_(gradient.square(), 1 - beta2)
    size = square.sqrt().mul_((1 - beta2**step) ** -0.5).add_(eps)
    parameters.addcdiv_(mean * (lr / (1 - beta1**step)), size, value=-1)
