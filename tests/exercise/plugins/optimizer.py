"""An optimizer of one's own."""

import torch

from ganbench import register


@register("optimizer")
def nesterov(parameters, gradient, state, step, lr, *, g_lr=1e-2, d_lr=1e-2, momentum=0.5, decay="none"):
    """Gradient descent with Nesterov's momentum (Nesterov 1983)."""
    if not state:
        state["velocity"] = torch.zeros_like(parameters)
    velocity = state["velocity"].mul_(momentum).add_(gradient)
    parameters.sub_((gradient + momentum * velocity) * lr)
