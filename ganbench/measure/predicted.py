"""What a classifier of the data takes samples for, how sure it is, and what it says of a perfect sampler."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganbench.metrics.reference import Reference

MANY = 32  # classes from which on probabilities are not held for all samples at once
HELD = 2**22


class Expected(NamedTuple):
    """What a perfect sampler shows of each class [classes], float64.

    bar: how sure the classifier has to be for a sample to count. share: the share of samples that count. weights: these
    shares as a law, of which none is 0.
    """

    bar: Tensor
    share: Tensor
    weights: Tensor


def classes_of(real: Reference) -> int:
    """Return how many classes a reference's classifier tells apart."""
    assert real.class_head is not None
    return real.class_head(real.real[:1]).shape[-1]


def predictions(real: Reference, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest probability of samples [..., n, d] and its class, both [..., n]."""
    assert real.class_head is not None
    if (classes := classes_of(real)) <= MANY:
        best, label = real.class_head(samples).max(-1)
        return best, label
    flat = samples.flatten(0, -2).split(max(1, HELD // classes))
    parts = [real.class_head(part).max(-1) for part in flat]
    best, label = (torch.cat(each).unflatten(0, samples.shape[:-1]) for each in zip(*parts, strict=True))
    return best, label


def expected_classes(real: Reference, confidence: float) -> Expected:
    """Return what a perfect sampler shows of each class, where it is asked to be as sure as `confidence` at most.

    Of classes that it tells badly a classifier is rarely sure, of real samples too: there the bar is its median
    confidence. Without a perfect sampler's samples: equal classes, of which it can be sure.
    """
    return real.once(("expected classes", confidence), lambda: _expected(real, confidence))


def _expected(real: Reference, confidence: float) -> Expected:
    classes = classes_of(real)
    bar = torch.full((classes,), confidence, dtype=torch.float64)
    if real.perfect is None:
        share = torch.full_like(bar, 1 / classes)
        return Expected(bar, share, share)
    best, label = (each.cpu() for each in predictions(real, real.perfect()))
    for place in range(classes):
        own = best[label == place]
        if len(own):
            bar[place] = min(confidence, own.double().median().item())
    counts = label[best.double() >= bar[label]].bincount(minlength=classes).double()
    # half a sample more on each: a class that a perfect sampler misses by chance is not impossible
    return Expected(bar, counts / len(label), (counts + 0.5) / (counts + 0.5).sum())
