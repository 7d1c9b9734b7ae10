"""What the players make of what is given: D of what it is told beside samples, G of its own translations."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.measure.diagnostics import Game
from ganbench.metrics.inputs import exact
from ganbench.problems.base import stream
from ganbench.registry import positive, register, share


@register(
    "diagnostic",
    late=True,
    needs={"label": "needs a problem that gives labels"},
    measures={
        "d_label_effect": positive(
            "how far real samples' logits move with other labels or pictures, over the spread of logits; 0: D ignores "
            "what it is told"
        ),
        "d_label_ranking": share(
            "share of real samples that D scores higher with their own label or picture than with another one's; 0.5: "
            "cannot tell"
        ),
    },
)
def labels(game: Game) -> dict[str, Tensor]:
    """What other labels do to D's logits of real samples, where D is told any: those of their neighbours in the batch.

    So do other pictures, where these are given. NaN where the whole batch has one. Several logits of a sample count by
    their mean.
    """
    other = game.relabelled(game.real.detach()) if game.relabelled else None
    if other is None:
        return {}
    real = _of_samples(game.real_logits, game.real)
    spread = torch.cat([real, _of_samples(game.fake_logits, game.fake)], 1).std(1, keepdim=True)
    logits, differs = _of_samples(other[0], game.real), exact(other[1])
    counted = differs.sum(1)
    higher = exact(real > logits) + 0.5 * exact(real == logits)
    effect = exact((real - logits).abs()) / exact(spread).clamp(min=1e-12)
    return {
        "d_label_effect": (effect * differs).sum(1) / counted,
        "d_label_ranking": (higher * differs).sum(1) / counted,
    }


NOISE = 0.05
"""The standard deviation of noise on translated pictures, in pixels of [-1, 1]: hardly seen on digits."""


@register(
    "diagnostic",
    late=True,
    needs={"there_and_back": "needs a problem of two domains, or several"},
    measures={
        "cycle_error": positive(
            "root mean square difference of a pixel of what is translated there and back from what it was", "down",
            blind="Where all is swapped for something else and back, it is as small as where all is right.",
        ),
        "cycle_noise_gain": positive(
            "how many times as large noise on translated pictures is when these are translated back; about 1 where the "
            "way back is right and keeps lengths",
            blind="Much above 1, what comes back stands in differences too small to be seen.",
        ),
    },
)  # fmt: skip
def cycles(game: Game) -> dict[str, Tensor]:
    """Whether pictures come back from their translation (Zhu 2017), and from one under noise (after Chu et al. 2017).

    Translations hold what only the way back sees where little noise on them changes much of what comes back.
    """
    fake = game.fake.detach()
    back = game.returned(game.latents, fake) if game.returned else None
    if back is None or game.returned is None:
        return {}
    numbers = torch.randn(fake.shape[1:], generator=stream("cycle noise", 0)).to(fake)
    noisy = game.returned(game.latents, fake + NOISE * numbers)
    assert noisy is not None
    return {
        "cycle_error": _apart(back, game.real.detach() if game.origin is None else game.origin),
        "cycle_noise_gain": _apart(noisy, back) / NOISE,
    }


def _apart(x: Tensor, other: Tensor) -> Tensor:
    """Return the root mean square difference of elements [runs, batch, *shape], [runs]."""
    return exact(x - other).square().flatten(1).mean(1).sqrt()


def _of_samples(logits: Tensor, samples: Tensor) -> Tensor:
    """Return the logit of each sample [runs, batch]: the mean of its own, of which D may say several."""
    return logits.detach().unflatten(1, (samples.shape[1], -1)).mean(2)
