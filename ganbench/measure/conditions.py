"""What the discriminator makes of what it is told beside samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.measure.diagnostics import Game
from ganbench.metrics.inputs import exact
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


def _of_samples(logits: Tensor, samples: Tensor) -> Tensor:
    """Return the logit of each sample [runs, batch]: the mean of its own, of which D may say several."""
    return logits.detach().unflatten(1, (samples.shape[1], -1)).mean(2)
