"""The classifier by which samples are judged for what can be learned of them.

It is softmax regression with a ridge penalty: its optimum is one, so that it depends on no start, no order
and no random numbers, and what differs between two runs is their samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from ganbench.metrics.inputs import exact

STEPS = 60
"""Of accelerated descent: on digits' 64 features the accuracy is within .01 of that at the optimum."""

FOLDS = 4
"""Parts of the test samples, where fakes are copies of some: these train no classifier of their own part."""

COPY = 1e-5
"""How far from a test sample a copy of it may be, in standard deviations a feature: rounding is a tenth of it."""

FARTHEST = 30.0
"""Standard deviations from the mean of real samples beyond which a feature counts as that far, and squares are tame."""


class Labelled(NamedTuple):
    """Rows [n, d] that a classifier sees, float64 and the last of them 1, with their classes [n]."""

    rows: Tensor
    classes: Tensor


def softmax_regression(
    data: Labelled, kinds: int, weights: Tensor | None = None, *, penalty: float = 1.0, steps: int = STEPS
) -> Tensor:
    """Return W [d, kinds] that lowers sum_i w_i CE(x_i W, y_i) + penalty / 2 |W|^2, after so many steps from 0.

    Nesterov's steps with the fixed matrix that bounds the curvature from above (Boehning 1992): diag(p) - p p^T is at
    most 1/2, whatever p. weights: w [n], None for ones.
    """
    x, right = data.rows, one_hot(data.classes, kinds).to(data.rows)
    w = torch.ones_like(x[:, :1]) if weights is None else weights.to(x)[:, None]
    bound = 0.5 * x.T @ (w * x) + penalty * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    way = torch.linalg.inv(bound)
    here = ahead = torch.zeros(x.shape[1], kinds, dtype=x.dtype, device=x.device)
    turn = 1.0
    for _ in range(steps):
        slope = x.T @ (w * ((x @ ahead).softmax(1) - right)) + penalty * ahead
        there = ahead - way @ slope
        after = (1 + (1 + 4 * turn**2) ** 0.5) / 2
        ahead = there + (turn - 1) / after * (there - here)
        here, turn = there, after
    return here


class Sight:
    """Samples as classifiers see them: in standard deviations of real samples [n, d], and a 1 behind them."""

    def __init__(self, real: Tensor) -> None:
        real = exact(real)
        self.mean, spread = real.mean(0), real.std(0)
        # what no real sample varies in tells nothing of them
        self.scale = torch.where(spread > 0, spread, 1.0)

    def __call__(self, samples: Tensor) -> Tensor:
        rows = ((exact(samples) - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        return pad(rows, (0, 1), value=1.0)


def accuracy(found: Tensor, test: Labelled) -> Tensor:
    """Return the share of test rows that W [d, kinds] tells the class of."""
    return exact((test.rows @ found).argmax(1) == test.classes).mean()


def fold_of_copies(rows: Tensor, test: Tensor) -> Tensor:
    """Return in which part of the test rows [m, d] each row [n, d] has its copy, int64 [n]; -1: it is a copy of none.

    Test rows belong to the parts in turn.
    """
    away, place = torch.cdist(rows, test).min(1)
    return torch.where(away <= COPY * rows.shape[1] ** 0.5, place % FOLDS, -1)


def tested(train: Labelled, beside: Labelled | None, test: Labelled, kinds: int) -> Tensor:
    """Return the accuracy on test samples after training on some, with others `beside` them that are none of these.

    Where those of `train` are copies of test samples, each part of these is told by what has no copy of it.
    """
    copied = fold_of_copies(train.rows, test.rows)
    every = train if beside is None else Labelled(*(torch.cat(pair) for pair in zip(train, beside, strict=True)))
    if bool((copied < 0).all()):
        return accuracy(softmax_regression(every, kinds), test)
    right, part = torch.zeros_like(test.rows[:, 0]), torch.arange(len(test.rows), device=test.rows.device) % FOLDS
    for fold in range(FOLDS):
        counted = pad(exact(copied != fold), (0, len(every.rows) - len(copied)), value=1.0)
        found = softmax_regression(every, kinds, counted)
        right = torch.where(part == fold, exact((test.rows @ found).argmax(1) == test.classes), right)
    return right.mean()
