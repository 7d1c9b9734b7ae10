"""Losses of the two players, side by side under their papers' names.

A loss is `(real_logits, fake_logits, *, hypers) -> (d_loss, g_loss)`, always in the order real, fake. Logits are
`[..., batch]`, the results `[...]`: means over the last axis, so that one function serves one GAN and a stack of
them. A loss that reduces with a plain `.mean()` works too; the population then vectorises it with `vmap`.

`boundary` is the logit at which the discriminator is undecided between real and fake; None where a logit has no
absolute meaning (a critic's score, a difference of two logits).
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganbench.registry import register

Losses = tuple[Tensor, Tensor]


def _logistic_critic(real: Tensor, fake: Tensor, label_smoothing: float) -> Tensor:
    # cross-entropy to the target 1 - s is softplus(-x) + s x; only the real side is smoothed (Salimans 2016)
    return (softplus(-real) + label_smoothing * real).mean(-1) + softplus(fake).mean(-1)


@register("loss", boundary=0.0)
def minimax(real: Tensor, fake: Tensor, *, label_smoothing: float = 0.0) -> Losses:
    """Minimax or saturating loss: G minimises log(1 - D(G(z))) (Goodfellow 2014, eq. 1)."""
    return _logistic_critic(real, fake, label_smoothing), -softplus(fake).mean(-1)


@register("loss", boundary=0.0)
def nonsaturating(real: Tensor, fake: Tensor, *, label_smoothing: float = 0.0) -> Losses:
    """Non-saturating loss: G minimises -log D(G(z)) (Goodfellow 2014, sec. 3)."""
    return _logistic_critic(real, fake, label_smoothing), softplus(-fake).mean(-1)


@register("loss", boundary=0.5)
def least_squares(real: Tensor, fake: Tensor, *, label_smoothing: float = 0.0) -> Losses:
    """Least-squares loss: targets 1 for real and 0 for fake (Mao 2017, eq. 9)."""
    d_loss = (real - (1 - label_smoothing)).square().mean(-1) / 2 + fake.square().mean(-1) / 2
    return d_loss, (fake - 1).square().mean(-1) / 2


@register("loss", boundary=0.0)
def hinge(real: Tensor, fake: Tensor, *, margin: float = 1.0) -> Losses:
    """Hinge loss: the critic stops at the margin, G raises its score (Lim 2017, Tran 2017)."""
    return torch.relu(margin - real).mean(-1) + torch.relu(margin + fake).mean(-1), -fake.mean(-1)


@register("loss", boundary=None)
def wasserstein(real: Tensor, fake: Tensor) -> Losses:
    """Wasserstein loss: the critic maximises its mean on real less its mean on fake (Arjovsky 2017, eq. 3)."""
    return fake.mean(-1) - real.mean(-1), -fake.mean(-1)


@register("loss", boundary=None)
def relativistic_pairing(real: Tensor, fake: Tensor) -> Losses:
    """Relativistic pairing loss: each real sample against one fake (Jolicoeur-Martineau 2018, RSGAN)."""
    return softplus(fake - real).mean(-1), softplus(real - fake).mean(-1)
