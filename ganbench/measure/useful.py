"""How right a classifier of real samples is that was trained on fakes: what samples are good for beyond their looks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganbench.measure.regression import Labelled, Sight, accuracy, softmax_regression, tested
from ganbench.metrics.reference import Reference
from ganbench.registry import register, share

MOST_TRAINED = 2000
"""Real samples that a classifier is trained on, the first of those that there are: a few times a probe's fakes."""


class _Setting(NamedTuple):
    """What all runs are measured by: how samples are seen, real ones to train on and to test on, and their accuracy."""

    sight: Sight
    known: Labelled
    test: Labelled
    kinds: int
    of_real: Tensor


def _setting(real: Reference, known: Tensor, classes: Tensor) -> _Setting:
    held_out = real.held_out
    assert held_out.labels is not None
    sight, device = Sight(known), known.device
    train = Labelled(sight(known[:MOST_TRAINED]), classes[:MOST_TRAINED].to(device))
    test = Labelled(sight(held_out.real.real), held_out.labels.to(device))
    kinds = int(max(classes.max(), held_out.labels.max())) + 1
    return _Setting(sight, train, test, kinds, accuracy(softmax_regression(train, kinds), test))


def _of_training(real: Reference) -> _Setting:
    training = real.training
    assert training.labels is not None
    return _setting(real, training.real.real, training.labels)


@register(
    "metric",
    asked=True,
    labelled=True,
    needs={"label": "needs a problem that gives labels"},
    measures={
        "accuracy_from_fakes": share(
            "accuracy on held-out samples of a classifier that is trained on fakes with the labels asked for (CAS)",
            "up",
            blind="One good picture a class gives most of it, of classes that lie apart.",
        ),
        "accuracy_with_fakes": share(
            "the same of one that is trained on training samples and fakes together: whether fakes augment them", "up",
            blind="Where training samples are many, fakes hardly move it: read it against accuracy_from_reals.",
        ),
        "accuracy_from_reals": share("the same of one that is trained on training samples alone, for every run"),
    },
)  # fmt: skip
def classification_accuracy(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Classification accuracy score, from fakes and from reals with fakes, beside reals alone (Ravuri & Vinyals 2019).

    Softmax regression on standardised features, where the paper has a ResNet-50 on pixels; at most 2000 training
    samples.
    """
    own: _Setting = real.once("classification accuracy", lambda: _of_training(real))
    label = label.expand(fake.shape[:-1])
    rows: list[Tensor] = []
    before: tuple[Tensor, Tensor] | None = None
    for each, asked in zip(fake, label, strict=True):
        # draws of a perfect sampler may all be the same
        if before is None or not (torch.equal(each, before[0]) and torch.equal(asked, before[1])):
            train = Labelled(own.sight(each), asked)
            rows.append(torch.stack([tested(train, beside, own.test, own.kinds) for beside in (None, own.known)]))
        else:
            rows.append(rows[-1])
        before = each, asked
    alone, together = torch.stack(rows, 1)
    return {
        "accuracy_from_fakes": alone, "accuracy_with_fakes": together,
        "accuracy_from_reals": own.of_real.expand(len(fake)),
    }  # fmt: skip
