"""Codebooks, and the weight of an adversarial term beside a reconstruction: pure functions, for one run or a stack.

Codes are [..., n, size], codebooks [..., K, size], places in them [..., n].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

SMOOTHED = 1e-5
"""Added to how often each code is chosen: one that never is has a mean still (van den Oord 2017, as published)."""
SILENT = 1e-4
"""Added to the norm that the adaptive weight divides by (Esser 2021, as published with the code)."""


def nearest(codes: Tensor, book: Tensor) -> Tensor:
    """Return the place in a codebook that is nearest to each code (van den Oord 2017, eq. 1)."""
    with torch.no_grad():
        # the codes' own squares are the same for all places
        return (book.square().sum(-1).unsqueeze(-2) - 2 * codes @ book.mT).argmin(-1)


def looked_up(places: Tensor, book: Tensor) -> Tensor:
    """Return the codes [..., n, size] at places of a codebook."""
    return book.gather(-2, places.unsqueeze(-1).expand(*places.shape, book.shape[-1]))


def straight_through(codes: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen codes, with the gradient of those that they are chosen for (van den Oord 2017, sec. 3.2)."""
    return codes + (chosen - codes).detach()


def codebook_loss(codes: Tensor, chosen: Tensor) -> Tensor:
    """Return |sg[z] - e|^2, what draws a codebook to its codes, an element [...] (van den Oord 2017, eq. 3)."""
    return (codes.detach() - chosen).square().mean((-2, -1))


def commitment_loss(codes: Tensor, chosen: Tensor) -> Tensor:
    """Return |z - sg[e]|^2, what holds codes to their codebook, an element [...] (van den Oord 2017, eq. 3)."""
    return (codes - chosen.detach()).square().mean((-2, -1))


def gathered(codes: Tensor, places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return how many codes are at each place of a codebook [..., K], and their sums [..., K, size]."""
    at = one_hot(places, size).to(codes.dtype)
    return at.sum(-2), at.mT @ codes


def averaged(counts: Tensor, sums: Tensor) -> Tensor:
    """Return the codebook of averages of what was gathered (van den Oord 2017, app. A.1), smoothed as published."""
    total = counts.sum(-1, keepdim=True)
    smooth = (counts + SMOOTHED) / (total + counts.shape[-1] * SMOOTHED) * total
    return sums / smooth.unsqueeze(-1)


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor, cap: float) -> Tensor:
    """Return |d rec / d last| / (|d adv / d last| + delta), at most `cap` [runs] (Esser 2021, eq. 7).

    Of both losses [runs] and the weights of the decoder's last layer [runs, ...].
    """
    ours, theirs = (
        torch.autograd.grad(loss.sum(), last, retain_graph=True)[0].flatten(1).norm(dim=1)
        for loss in (reconstruction, adversarial)
    )
    return (ours / (theirs + SILENT)).clamp(max=cap)
