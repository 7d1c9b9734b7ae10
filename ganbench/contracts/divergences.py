"""The laws of a declared divergence: what the best critic of two known Gaussians loses, by numerical integration."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, NotDeclared, Outcome, law, law_about
from ganbench.contracts.losses import engine
from ganbench.errors import UserError
from ganbench.gan.losses import Divergence
from ganbench.registry import Plugin

# p is N(0, 1), q is N(SHIFT, SCALE^2); the trapezoid rule is exact to 1e-5 at this step, kinks included
SHIFT, SCALE = 1.0, 1.5
X = torch.linspace(-12, 14, 2601, dtype=torch.float64)
LOG_P = -X.square() / 2 - math.log(2 * math.pi) / 2
LOG_Q = -((X - SHIFT) / SCALE).square() / 2 - math.log(SCALE) - math.log(2 * math.pi) / 2
P, Q = LOG_P.exp(), LOG_Q.exp()
WITHIN = 1e-3


def critics_loss(plugin: Plugin, logits: Tensor, p: Tensor = P, q: Tensor = Q) -> float:
    """Return d_loss on all of p and q for a critic's logits at X, from batches of one.

    Raises UserError for a loss that compares real with fake logits: it has no pointwise optimum.
    """
    loss, fixed = engine(plugin), torch.zeros_like(logits)

    def one(real: Tensor, fake: Tensor) -> Tensor:
        return loss(real.unsqueeze(1), fake.unsqueeze(1))[0]

    on_real, on_fake, apart = one(logits, fixed), one(fixed, logits), one(fixed, fixed)
    if not torch.allclose(one(logits, logits) + apart, on_real + on_fake, rtol=1e-9, atol=1e-9):
        raise UserError("d_loss is no sum of a term of real and a term of fake logits, and has no optimal critic")
    return (torch.trapezoid(p * (on_real - apart), X) + torch.trapezoid(q * on_fake, X)).item()


def value(divergence: Divergence, p: Tensor = P, q: Tensor = Q) -> float:
    """Return a divergence of p to q, densities at X."""
    return torch.trapezoid(divergence.between(p, q), X).item()


def measuring(plugin: Plugin) -> bool:
    """Tell whether a loss declares a divergence."""
    return isinstance(plugin.declared("divergence"), Divergence)


@law
def optimum_is_the_divergence(plugin: Plugin) -> Outcome:
    """At the optimal critic of two Gaussians the critic's loss is the declared divergence, to 1e-3."""
    claim = plugin.declared("divergence")
    if not isinstance(claim, Divergence):
        return NotDeclared(str(claim or "`divergence`, what the loss of the optimal critic measures"))
    expected = claim.offset + claim.scale * value(claim)
    got = critics_loss(plugin, claim.critic(LOG_P - LOG_Q))
    if not abs(got - expected) < WITHIN:
        return Breach(f"d_loss is {got:.5g} at the declared critic, and {expected:.5g} by the {claim.name} divergence")
    return None


@law_about(measuring)
def no_critic_is_better(plugin: Plugin) -> Outcome:
    """No other critic of two Gaussians has a smaller loss than the declared one."""
    best = plugin.declared("divergence").critic(LOG_P - LOG_Q)
    least = critics_loss(plugin, best)
    away = {"1": torch.ones_like(X), "-1": -torch.ones_like(X), "sin x": X.sin(), "cos 3x": (3 * X).cos(),
            "its opposite": -best / best.abs().max()}  # fmt: skip
    for name, direction in away.items():
        for step in (0.01, 0.1, 0.5):
            got = critics_loss(plugin, best + step * direction)
            if not got >= least - 1e-9:
                return Breach(f"d_loss is {least:.6g} at the declared critic, and {got:.6g} {step:g} x {name} from it")
    return None


@law_about(measuring)
def equals_leave_the_boundary(plugin: Plugin) -> Outcome:
    """Between equal densities the declared critic stands at the `boundary`, and the divergence is 0."""
    claim, boundary = plugin.declared("divergence"), plugin.declared("boundary")
    at_rest = claim.critic(torch.zeros_like(X))
    if boundary is None or not bool((at_rest == boundary).all()):
        return Breach(f"the declared critic is {at_rest[0].item():.4g} where p = q, and the boundary {boundary}")
    apart, got = value(claim, P, P), critics_loss(plugin, at_rest, P, P)
    if not abs(apart) < 1e-9:
        return Breach(f"the declared divergence of a Gaussian to itself is {apart:.4g}")
    return None if abs(got - claim.offset) < 1e-6 else Breach(f"d_loss is {got:.6g} where p = q, not {claim.offset:g}")
