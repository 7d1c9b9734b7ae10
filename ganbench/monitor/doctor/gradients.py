"""Which loss a gradient at D's scores is of: what comes back to them tells, up to a weight."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ganbench.monitor.doctor.trace import Call, Scores

# how exactly a gradient has to follow from a loss, and how much less from any other
EXACT, CLEARLY = 1e-4, 10.0
# scores by which two numbers are fitted
FEWEST = 4


def parts_of(call: Call, scores: Scores) -> Iterator[tuple[str, Tensor]]:
    """Yield "real" and "fake" with the gradient at the scores of each in a call; nothing where they cannot be told."""
    if call.kind != "mixed":
        yield call.kind, scores.gradient
    elif call.fake_entries is not None:
        own = call.fake_entries.flatten()[: len(scores.gradient)]
        yield "fake", scores.gradient[: len(own)][own]
        yield "real", scores.gradient[: len(own)][~own]
    elif len(scores.gradient) % call.count == 0:
        each = scores.gradient.view(call.count, -1)
        fake = torch.zeros(call.count, dtype=torch.bool, device=each.device)
        fake[call.fake_rows or slice(0, 0)] = True
        yield "fake", each[fake].flatten()
        yield "real", each[~fake].flatten()


def target_of(scores: Scores) -> float | None:
    """Return where a gradient that is linear in the scores vanishes, None for any other."""
    s, gradient = scores.outputs.double(), scores.gradient.double()
    if len(s) < FEWEST or not float(s.std()) > 0 or not bool(gradient.isfinite().all()):
        return None
    basis = torch.stack([s, torch.ones_like(s)], 1)
    (slope, start), miss = _fitted(basis, gradient)
    return -start / slope if slope > 0 and miss < EXACT * float(gradient.std()) else None


def classes_asked(scores: Scores, classes: int) -> set[int] | None:
    """Return the classes that a cross-entropy of logits asks for, None where the gradient is of another loss."""
    if classes < 2 or len(scores.gradient) % classes or not bool(scores.gradient.any()):
        return None
    gradient, asked = _by_class(scores.gradient, classes)
    rows = asked.sum(1)
    sums = gradient.sum(1).abs().max() <= 1e-3 * gradient.abs().max()
    return set(asked.int().argmax(1).tolist()) if bool((rows == 1).all()) and bool(sums) else None


def is_of_logits_by_class(scores: Scores, classes: int) -> bool:
    """Tell whether the gradient at a softmax is a cross-entropy's of logits, softmax(p) - label, up to a weight."""
    if classes_asked(scores, classes) is None:
        return False
    gradient, asked = _by_class(scores.gradient, classes)
    again = torch.softmax(scores.outputs.view(-1, classes), 1)
    weights = gradient[~asked] / again[~asked]
    return float(weights.std()) <= 1e-3 * float(weights.mean())


def is_of_difference(scores: Scores, others: Scores, count: int, shown: int) -> bool:
    """Tell whether the gradient at probabilities p is a relativistic loss's for logits, of p less the others' mean.

    count, shown: of samples in both calls. The mean is of all, or of each place of a map. A weight and a number that is
    added are free; least squares and the cross-entropy of probabilities have to fit less.
    """
    if len(scores.outputs) % count or len(others.outputs) % shown or len(scores.outputs) < 2 * FEWEST:
        return False
    p, gradient = (x.double().view(count, -1) for x in (scores.outputs, scores.gradient))
    each = others.outputs.double().view(shown, -1)
    if each.shape[1] != p.shape[1] or float(p.min()) <= 0 or float(p.max()) >= 1 or not float(gradient.std()) > 0:
        return False

    def missed(*forms: Tensor) -> float:
        own = [(one - one.mean(0)).flatten() for one in (*forms, gradient)]
        return _fitted(torch.stack(own[:2] if len(forms) > 1 else [own[0], torch.zeros_like(own[0])], 1), own[-1])[1]

    least = min(missed(p), missed(1 / p, 1 / (1 - p)))
    apart = min(missed(torch.sigmoid(p - own)) for own in (each.mean(), each.mean(0)))
    return apart < EXACT * float(gradient.std()) and apart * CLEARLY < least


def _by_class(gradient: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    rows = gradient.view(-1, classes)
    return rows, rows < 0


def is_linear(scores: Scores) -> bool:
    """Tell whether scores that differ get one gradient, up to its sign; parts of a loss may be weighed."""
    sizes, spread = scores.gradient.abs(), float(scores.outputs.max() - scores.outputs.min())
    # of scores that hardly differ any loss has nearly one gradient
    near = min(EXACT, 0.1 * spread)
    return len(sizes) > 1 and spread > 2e-5 and float((sizes - sizes[0]).abs().max()) < near * float(sizes[0])


def is_of_logits(scores: Scores) -> bool:
    """Tell whether the gradient at probabilities p is that of a loss for logits, sigmoid(p) - label."""
    p, gradient = scores.outputs, scores.gradient
    label = torch.sigmoid(p) - gradient
    # one label for all, or real and fake samples, or entries of them, in one batch
    one = float(label.max() - label.min()) <= 1e-3 and -0.01 < float(label.mean()) < 1.01
    whole = _is_whole(label) and float(label.min()) > -0.01 and float(label.max()) < 1.01
    # where BCELoss explains it with a label of 0 or 1 the other is chance
    if one or whole:
        return not _is_whole(p - gradient * p * (1 - p))
    return _is_weighed_logit_loss(p.double(), gradient.double())


def _is_weighed_logit_loss(p: Tensor, gradient: Tensor) -> bool:
    """Tell whether a gradient is w (sigmoid(p) - y) for some weight and label, and no least squares or cross-entropy.

    Those are w (p - y) and w ((1 - y) / (1 - p) - y / p): all three are fitted.
    """
    if len(p) < 2 * FEWEST:
        return False
    ones, spread = torch.ones_like(p), float(gradient.std())
    if not 0 < spread < math.inf or float(p.min()) <= 0 or float(p.max()) >= 1:
        return False
    logistic = torch.stack([torch.sigmoid(p), ones], 1)
    (w, minus_wy), miss = _fitted(logistic, gradient)
    others = (torch.stack([p, ones], 1), torch.stack([1 / p, 1 / (1 - p)], 1))
    least = min(_fitted(one, gradient)[1] for one in others)
    return w > 0 and -0.01 < -minus_wy / w < 1.01 and miss < EXACT * spread and miss * CLEARLY < least


def _fitted(basis: Tensor, gradient: Tensor) -> tuple[list[float], float]:
    """Return the two weights that fit a gradient [n] best by a basis [n, 2], and by how much it is missed at most."""
    found = torch.linalg.lstsq(basis, gradient[:, None]).solution
    return found[:, 0].tolist(), float((basis @ found - gradient[:, None]).abs().max())


def _is_whole(labels: Tensor) -> bool:
    return bool((labels - labels.round()).abs().max() <= 1e-3)
