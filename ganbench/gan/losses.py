"""Losses of the two players, side by side under their papers' names.

A loss is `(real_logits, fake_logits, *, hypers) -> (d_loss, g_loss)`, always in the order real, fake. Logits are
`[..., batch]`, the results `[...]`: means over the last axis, so that one function serves one GAN and a stack of
them. A loss that reduces with a plain `.mean()` works too; the population then vectorises it with `vmap`.

What a loss declares beside itself, each optional for a user's own:

- `boundary`: the logit at which the discriminator is undecided between real and fake; None where a logit has no
  absolute meaning (a critic's score, a difference of two logits).
- `saturates`: whether the slope of G's loss vanishes where the critic is sure of a fake (logit -20, real at the
  boundary), so that a rejected generator learns nothing.
- `divergence`: the `Divergence` that the critic's loss is at its optimum, or the reason why it is none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from ganbench.ranges import BelowOne, NotNegative
from ganbench.registry import register

Losses = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Divergence:
    """What the best of all critics says about data of density p and samples of density q.

    d_loss, with its default hyper-parameters, is `offset + scale * integral of between(p, q)` at `critic(log p/q)` and
    larger at any other critic. All act pointwise: `critic` maps log density ratios [...] to logits [...], `between`
    densities p, q [...] to the integrand [...] of the divergence called `name`.
    """

    name: str
    critic: Callable[[Tensor], Tensor]
    between: Callable[[Tensor, Tensor], Tensor]
    scale: float
    offset: float = 0.0


def _jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    middle = (p + q) / 2
    return (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)) / 2


def _total_variation(p: Tensor, q: Tensor) -> Tensor:
    return (p - q).abs() / 2


LOGISTIC = Divergence("Jensen-Shannon", lambda ratio: ratio, _jensen_shannon, scale=-2.0, offset=2 * math.log(2))
# Mao's theorem (p + q to 2 q) is of another coding: of targets 1 and 0, d_loss is half the integral of p q / (p + q)
SQUARES = Divergence(
    "Pearson chi^2 of p to (p + q) / 2",
    torch.sigmoid,
    lambda p, q: (p - q).square() / (2 * (p + q)),
    scale=-0.25,
    offset=0.25,
)
MARGINS = Divergence("total variation", torch.sign, _total_variation, scale=-2.0, offset=2.0)
KL = Divergence("KL of p to q", lambda ratio: 1 + ratio, lambda p, q: torch.xlogy(p, p / q), scale=-1.0)
REVERSE_KL = Divergence("KL of q to p", lambda ratio: ratio, lambda p, q: torch.xlogy(q, q / p), scale=-1.0)
PEARSON = Divergence(
    "Pearson chi^2 of p to q", lambda ratio: 2 * ratio.expm1(), lambda p, q: (p - q).square() / q, scale=-1.0
)
HELLINGER = Divergence(
    "squared Hellinger", lambda ratio: ratio / 2, lambda p, q: (p.sqrt() - q.sqrt()).square(), scale=-1.0
)
JENSEN_SHANNON = Divergence("Jensen-Shannon", lambda ratio: ratio, _jensen_shannon, scale=-2.0)
# the bound is reached in the limit: tanh(1e4) is 1 in every precision
TOTAL_VARIATION = Divergence("total variation", lambda ratio: 1e4 * ratio.sign(), _total_variation, scale=-1.0)

UNBOUNDED = "no optimal critic: scaling a critic that ranks right lowers its loss without end, a constraint bounds it"
COMPARES = "no pointwise optimum: a logit's loss depends on the logits of the other side"
TRANSCENDENTAL = "no closed form: the optimum solves a transcendental equation of p / q"

# exp is continued by its tangent from here: float32 then holds the value and the squared gradient of logits of 1e4,
# and only a density ratio beyond e^30, which no batch can show, would see the difference
TANGENT = 30.0


def _logistic_critic(real: Tensor, fake: Tensor, label_smoothing: float) -> Tensor:
    # cross-entropy to the target 1 - s is softplus(-x) + s x; only the real side is smoothed (Salimans 2016)
    return (softplus(-real) + label_smoothing * real).mean(-1) + softplus(fake).mean(-1)


@register("loss", boundary=0.0, saturates=True, divergence=LOGISTIC)
def minimax(real: Tensor, fake: Tensor, *, label_smoothing: BelowOne = 0.0) -> Losses:
    """Minimax or saturating loss: G minimises log(1 - D(G(z))) (Goodfellow 2014, eq. 1)."""
    return _logistic_critic(real, fake, label_smoothing), -softplus(fake).mean(-1)


@register("loss", boundary=0.0, saturates=False, divergence=LOGISTIC)
def nonsaturating(real: Tensor, fake: Tensor, *, label_smoothing: BelowOne = 0.0) -> Losses:
    """Non-saturating loss: G minimises -log D(G(z)) (Goodfellow 2014, sec. 3)."""
    return _logistic_critic(real, fake, label_smoothing), softplus(-fake).mean(-1)


@register("loss", boundary=0.5, saturates=False, divergence=SQUARES)
def least_squares(real: Tensor, fake: Tensor, *, label_smoothing: BelowOne = 0.0) -> Losses:
    """Least-squares loss: targets 1 for real and 0 for fake (Mao 2017, eq. 9)."""
    d_loss = (real - (1 - label_smoothing)).square().mean(-1) / 2 + fake.square().mean(-1) / 2
    return d_loss, (fake - 1).square().mean(-1) / 2


@register("loss", boundary=0.0, saturates=False, divergence=MARGINS)
def hinge(real: Tensor, fake: Tensor, *, margin: float = 1.0) -> Losses:
    """Hinge loss: the critic stops at the margin, G raises its score (Lim 2017, Tran 2017)."""
    return torch.relu(margin - real).mean(-1) + torch.relu(margin + fake).mean(-1), -fake.mean(-1)


@register("loss", boundary=None, saturates=False, divergence=UNBOUNDED)
def wasserstein(real: Tensor, fake: Tensor) -> Losses:
    """Wasserstein loss: the critic maximises its mean on real less its mean on fake (Arjovsky 2017, eq. 3)."""
    return fake.mean(-1) - real.mean(-1), -fake.mean(-1)


@register("loss", boundary=None, saturates=False, divergence=COMPARES)
def relativistic_pairing(real: Tensor, fake: Tensor) -> Losses:
    """Relativistic pairing loss: each real sample against one fake (Jolicoeur-Martineau 2018, RSGAN)."""
    return softplus(fake - real).mean(-1), softplus(real - fake).mean(-1)


@register("loss", boundary=None, saturates=False, divergence=COMPARES)
def relativistic_average(real: Tensor, fake: Tensor) -> Losses:
    """Relativistic average loss: each sample against the mean of the other side (Jolicoeur-Martineau 2018, RaSGAN).

    G's loss is D's with real and fake exchanged: its step looks at real logits too.
    """
    over_fake = real - fake.mean(-1, keepdim=True)
    over_real = fake - real.mean(-1, keepdim=True)
    d_loss = softplus(-over_fake).mean(-1) + softplus(over_real).mean(-1)
    return d_loss, softplus(over_fake).mean(-1) + softplus(-over_real).mean(-1)


def _focal(logits: Tensor, gamma: float) -> Tensor:
    # -(1 - p)^gamma log p with p = sigmoid(logits); the power by its logarithm: its slope is finite where 1 - p = 0
    return (torch.exp(-gamma * softplus(logits)) * softplus(-logits)).mean(-1)


@register("loss", boundary=0.0, saturates=False, divergence=TRANSCENDENTAL)
def focal(real: Tensor, fake: Tensor, *, gamma: NotNegative = 2.0) -> Losses:
    """Focal loss: the non-saturating loss, what is classified well weighs (1 - p)^gamma (Lin 2017, eq. 4).

    `gamma` is 0 or larger; 0 is the non-saturating loss.
    """
    return _focal(real, gamma) + _focal(-fake, gamma), _focal(fake, gamma)


def _exp(x: Tensor) -> Tensor:
    """Return e^x [...], above TANGENT the tangent there."""
    below = x.clamp(max=TANGENT)
    return below.exp() * (1 + (x - below))


def _f_gan(real: Tensor, fake: Tensor, conjugate: Tensor, nonsaturating: bool) -> Losses:
    """Return the losses for outputs g_f(V) [..., batch] on real and fake and f*(g_f(V)) on fake (Nowozin 2016, eq. 6).

    `nonsaturating`: G raises g_f(V) instead of f*(g_f(V)), their heuristic of sec. 3.2.
    """
    return conjugate.mean(-1) - real.mean(-1), -(fake if nonsaturating else conjugate).mean(-1)


@register("loss", boundary=1.0, saturates=True, divergence=KL)
def fgan_kl(real: Tensor, fake: Tensor, *, nonsaturating: bool = False) -> Losses:
    """f-GAN of the Kullback-Leibler divergence of data to samples (Nowozin 2016, Table 2)."""
    return _f_gan(real, fake, _exp(fake - 1), nonsaturating)


@register("loss", boundary=0.0, saturates=False, divergence=REVERSE_KL)
def fgan_reverse_kl(real: Tensor, fake: Tensor, *, nonsaturating: bool = False) -> Losses:
    """f-GAN of the Kullback-Leibler divergence of samples to data (Nowozin 2016, Table 2)."""
    return _f_gan(-_exp(-real), -_exp(-fake), fake - 1, nonsaturating)


@register("loss", boundary=0.0, saturates=False, divergence=PEARSON)
def fgan_pearson(real: Tensor, fake: Tensor, *, nonsaturating: bool = False) -> Losses:
    """f-GAN of Pearson's chi^2, the integral of (p - q)^2 / q (Nowozin 2016, Table 2).

    The paper's conjugate turns round at -2, the output where p is 0: below it G is pushed the wrong way.
    """
    return _f_gan(real, fake, fake.square() / 4 + fake, nonsaturating)


@register("loss", boundary=0.0, saturates=True, divergence=HELLINGER)
def fgan_hellinger(real: Tensor, fake: Tensor, *, nonsaturating: bool = False) -> Losses:
    """f-GAN of the squared Hellinger distance (Nowozin 2016, Table 2)."""
    return _f_gan(1 - _exp(-real), 1 - _exp(-fake), _exp(fake) - 1, nonsaturating)


@register("loss", boundary=0.0, saturates=True, divergence=JENSEN_SHANNON)
def fgan_jensen_shannon(real: Tensor, fake: Tensor, *, nonsaturating: bool = False) -> Losses:
    """f-GAN of the Jensen-Shannon divergence: the minimax loss less 2 log 2 (Nowozin 2016, Table 2)."""
    output_real, output_fake = (math.log(2) + logsigmoid(logits) for logits in (real, fake))
    return _f_gan(output_real, output_fake, softplus(fake) - math.log(2), nonsaturating)


@register("loss", boundary=0.0, saturates=True, divergence=TOTAL_VARIATION)
def fgan_total_variation(real: Tensor, fake: Tensor) -> Losses:
    """f-GAN of the total variation: scores within 1/2, by a tanh (Nowozin 2016, Table 2)."""
    output_real, output_fake = torch.tanh(real) / 2, torch.tanh(fake) / 2
    return _f_gan(output_real, output_fake, output_fake, nonsaturating=False)
