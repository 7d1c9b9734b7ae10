"""How right a classifier of real samples is that was trained on fakes: what samples are good for beyond their looks."""

from __future__ import annotations

from collections.abc import Sequence
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
    alone, together = _of_each(own, fake, label.expand(fake.shape[:-1]), (None, own.known))
    return {
        "accuracy_from_fakes": alone, "accuracy_with_fakes": together,
        "accuracy_from_reals": own.of_real.expand(len(fake)),
    }  # fmt: skip


def _of_each(own: _Setting, fake: Tensor, label: Tensor, besides: Sequence[Labelled | None]) -> Tensor:
    """Return the accuracy of each run's fakes with each of what may be beside them, [besides, runs]."""
    rows: list[Tensor] = []
    before: tuple[Tensor, Tensor] | None = None
    for each, asked in zip(fake, label, strict=True):
        # draws of a perfect sampler may all be the same
        if before is None or not (torch.equal(each, before[0]) and torch.equal(asked, before[1])):
            train = Labelled(own.sight(each), asked)
            rows.append(torch.stack([tested(train, beside, own.test, own.kinds) for beside in besides]))
        else:
            rows.append(rows[-1])
        before = each, asked
    return torch.stack(rows, 1)


class _Ends(NamedTuple):
    """What translations stand between: the accuracy after training on what is given, and on real samples."""

    setting: _Setting
    of_source: Tensor


def _of_source(real: Reference) -> _Ends:
    source = real.truth.source if real.truth else None
    assert source is not None
    assert real.labels is not None
    own = _setting(real, real.real, real.labels)
    rows = Labelled(own.sight(source.pictures.flatten(1).to(real.real.device)), source.classes.to(real.real.device))
    return _Ends(own, accuracy(softmax_regression(rows, own.kinds), own.test))


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"source": "needs a problem that gives pictures with classes"},
    measures={
        "adapted_accuracy": share(
            "accuracy on held-out samples of a classifier that is trained on translated pictures with their classes",
            "up",
            blind="One good sample a class gives most of it, of classes that lie apart.",
        ),
        "source_only_accuracy": share("the same of one that is trained on the pictures themselves, for every run"),
        "target_only_accuracy": share("the same of one that is trained on training samples with their classes"),
    },
)  # fmt: skip
def adaptation(real: Reference, fake: Tensor, label: Tensor) -> dict[str, Tensor]:
    """What a classifier of samples learns from translations, beside source only and target only (Bousmalis 2017).

    Softmax regression on standardised pixels, where the paper has a deep network.
    """
    own: _Ends = real.once("adaptation", lambda: _of_source(real))
    source = real.truth.source if real.truth else None
    assert source is not None
    label = label.expand(*fake.shape[:-1], *label.shape[fake.dim() - 1 :])
    (found,) = _of_each(own.setting, fake, source.to(fake.device)(label), (None,))
    return {
        "adapted_accuracy": found, "source_only_accuracy": own.of_source.expand(len(fake)),
        "target_only_accuracy": own.setting.of_real.expand(len(fake)),
    }  # fmt: skip
