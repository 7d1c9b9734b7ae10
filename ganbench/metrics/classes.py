"""Metrics of a histogram over known modes or classes, and of a classifier's probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.inputs import Samples, exact, measured, numbers, samples, whole
from ganbench.registry import Measure, positive

# probabilities in float32 over a thousand classes sum to 1 within this
SUM_TOLERANCE = 1e-3


class HistogramDivergences(NamedTuple):
    """Divergences [...] of a histogram h from the true weights w, in nats."""

    kl: Tensor
    reverse_kl: Tensor
    jsd: Tensor


@measured(inception_score=Measure("exponential of the classes' mutual information", "up", (1.0, float("inf"))))
def inception_score(probabilities: Samples, *, splits: int = 1) -> Tensor:
    """Inception score (Salimans et al. 2016) of class probabilities [..., n, classes], as [...]; 1 to classes.

    exp(H(mean p) - mean H(p)): equal to the usual exp(mean KL(p || mean p)), but finite where a classifier is sure.
    One-hot over K equally used classes: K; a collapsed generator: 1. With `splits`, the mean over as many consecutive
    parts of equal size (the customary 10 on 50 000; what is left over is not used). Raises InputError for logits.

    >>> float(inception_score(np.eye(4)))
    4.0
    """
    p = _distributions(probabilities, splits)
    size = p.shape[-2] // splits
    parts = p[..., : splits * size, :].reshape(*p.shape[:-2], splits, size, p.shape[-1])
    information = torch.special.entr(parts.mean(-2)).sum(-1) - torch.special.entr(parts).sum(-1).mean(-1)
    return information.clamp(min=0).exp().mean(-1)


def _distributions(probabilities: Samples, splits: int) -> Tensor:
    given = samples(probabilities, "probabilities", least=whole(splits, "splits"))
    p = given.double()
    # each is rounded to its own last digit, and together they are 1
    tolerance = max(SUM_TOLERANCE, torch.finfo(given.dtype).eps)
    if bool((p < 0).any()) or bool(((p.sum(-1) - 1).abs() > tolerance).any()):
        raise InputError("'probabilities' must be 0 or more and sum to 1 along the last axis: apply softmax to logits.")
    return p / p.sum(-1, keepdim=True)


@measured(
    kl=positive("KL divergence of the histogram from the true weights", "down", "nats", perfect=0.0),
    reverse_kl=positive("KL divergence of the true weights from the histogram", "down", "nats", perfect=0.0),
    jsd=Measure("Jensen-Shannon divergence of the histogram", "down", (0.0, float(np.log(2))), "nats", 0.0),
)
def histogram_divergences(counts: Samples, weights: Samples | None = None) -> HistogramDivergences:
    """KL(h || w), KL(w || h) and Jensen-Shannon divergence of histograms h from true weights w, in nats.

    counts [..., K] of samples per mode or class; weights [K] > 0 (None: equal). KL(h || w), customary for stacked
    digits, is at most -log min w, and is that where nothing was counted; KL(w || h) is infinite as soon as one mode is
    never hit. A perfect sampler is above 0 by `kl_floor`. Raises InputError for unusable counts or weights.

    >>> round(float(histogram_divergences(np.array([8, 0])).kl), 4)
    0.6931
    """
    counts = _counts(counts)
    w = _weights(counts.shape[-1] if weights is None else weights).to(counts.device)
    if len(w) != counts.shape[-1]:
        raise InputError(f"'counts' has {counts.shape[-1]} entries and 'weights' {len(w)}: one for each mode.")
    total = counts.sum(-1, keepdim=True)
    h = counts / total.clamp(min=1)
    empty = total.squeeze(-1) == 0
    middle = (h + w) / 2
    return HistogramDivergences(
        torch.where(empty, -w.min().log(), _kl(h, w)),
        _kl(w, h),
        torch.where(empty, np.log(2), (_kl(h, middle) + _kl(w, middle)) / 2),
    )


def _kl(p: Tensor, q: Tensor) -> Tensor:
    # the sum of terms around 0 may end a rounding error below it
    return torch.special.xlogy(p, p / q).sum(-1).clamp(min=0)


def _counts(value: object) -> Tensor:
    counts = numbers(value)
    if counts.dim() < 1 or not counts.shape[-1]:
        raise InputError(f"'counts' must be [..., K], got the shape {list(counts.shape)}.")
    counts = counts.double()
    if not bool((counts.isfinite() & (counts >= 0)).all()):
        raise InputError("'counts' must be numbers of samples, 0 or more; it holds negative ones, NaN or infinity.")
    return counts


def _weights(value: object) -> Tensor:
    """Return weights [K] that sum to 1, float64; an integer K stands for K equal ones."""
    if isinstance(value, int):
        value = [1.0] * value
    w = exact(value) if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    if w.dim() != 1 or not len(w) or not bool((w.isfinite() & (w > 0)).all()):
        raise InputError("'weights' must be one row [K] of finite numbers above 0, or how many equal modes there are.")
    return w / w.sum()


def kl_floor(weights: Samples | int, n: int) -> float:
    """Expected KL(h || w) in nats of a perfect sampler's histogram of n samples; weights [K], or K for equal ones.

    Exact: sum_k E[(c/n) log(c/n)] - w_k log w_k with c binomial(n, w_k); about (K - 1) / (2 n) where every mode expects
    many samples. `histogram_divergences` at the same n is to be read against it.

    >>> round(kl_floor(2, 1), 4)
    0.6931
    """
    from scipy.stats import binom  # most of a second, for this alone

    w, same = np.unique(_weights(weights).cpu().numpy(), return_counts=True)
    shares = np.arange(1, whole(n, "n") + 1) / n
    information = shares * np.log(shares)
    expected = [float(binom.pmf(np.arange(1, n + 1), n, each) @ information) - each * np.log(each) for each in w]
    return float(same @ expected)
