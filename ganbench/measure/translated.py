"""Whether a translation is right, where all that is right for what is given is known (problems.base.Truth)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ganbench.metrics.inputs import exact
from ganbench.metrics.reference import Reference
from ganbench.problems.base import Truth
from ganbench.registry import Measure, positive, register, share

TRUTH = {"truth": "needs a problem that knows what is right for what is given"}

Columns = dict[str, Tensor]


def _by_run(real: Reference, fake: Tensor, given: Tensor, of_run: Callable[..., list[Tensor]]) -> list[Tensor]:
    """Return the columns [runs] of what is said of each run's fakes [n, d], what is given [n, ...] and its answers."""
    truth = real.truth
    assert truth is not None
    given = given.expand(*fake.shape[:-1], *given.shape[fake.dim() - 1 :])
    alike = bool((given == given[:1]).all())
    rows, answers = [], None
    for own, beside in zip(fake, given, strict=True):
        if answers is None or not alike:
            answers = truth.answers(beside)
        rows.append(torch.stack([exact(column) for column in of_run(truth, own, beside, answers)]))
    return list(torch.stack(rows, 1))


def distances(x: Tensor, answers: Tensor) -> Tensor:
    """Return the root mean square difference of elements of x [n, d] from answers [n, choices, ...], [n, choices]."""
    return (exact(x)[:, None] - exact(answers.flatten(2))).square().mean(-1).sqrt()


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs=TRUTH,
    measures={
        "truth_error": positive(
            "root mean square difference of a pixel from the nearest picture that is right for what is given", "down",
            blind="One of many right answers is as good as another: it does not see whether all are given.",
        ),
        "given_used": Measure(
            "share of the error to another input's truth that the own input takes away; 0: inputs are ignored",
            "up", (float("-inf"), 1.0),
        ),
        "content_kept": share(
            "share of samples that show what is given, by the nearest picture that is known", "up",
        ),
        "content_permuted": share(
            "the same where what is given stands for what is shown by the best one-to-one table", "up",
            blind="Of few samples of many kinds the best table is found by chance: read it against the oracle.",
        ),
    },
)  # fmt: skip
def translation(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """Whether samples are right for what is given with them, and for more than anything else that is given.

    The other input is that of the next sample, where it differs; NaN where all are the same.
    """

    def of_run(truth: Truth, x: Tensor, given: Tensor, answers: Tensor) -> list[Tensor]:
        own, other = (distances(x, each).amin(1) for each in (answers, answers.roll(1, 0)))
        differs = exact((given != given.roll(1, 0)).reshape(len(given), -1).any(1))
        used = 1 - (own * differs).sum() / (other * differs).sum()
        shape = answers.shape[2:]
        shown, asked = truth.content(x.unflatten(1, shape)), truth.content(answers[:, 0])
        table = exact(torch.zeros(truth.kinds, truth.kinds, device=x.device))
        table.index_put_((asked, shown), exact(torch.ones(len(x), device=x.device)), accumulate=True)
        best = table.cpu()[linear_sum_assignment(table.cpu().numpy(), maximize=True)].sum()
        return [own.mean(), used, table.diagonal().sum() / len(x), best.to(x.device) / len(x)]

    names = ("truth_error", "given_used", "content_kept", "content_permuted")
    return dict(zip(names, _by_run(real, fake, label, of_run), strict=True))


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"choices": "needs a problem that has several right answers for an input, and inputs that are seen often"},
    measures={
        "choices_covered": share(
            "share of the right answers that samples of one input reach: within half the way to the nearest other one",
            "up",
        ),
        "choice_spread": positive(
            "how far the samples of one input lie apart, over how far right answers do; 0: one answer for every noise",
            blind="Noise in pixels spreads samples, too: read it beside choices_covered.",
        ),
    },
)  # fmt: skip
def choices(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """What other noise makes of the same input; means over inputs of two samples or more, NaN where there is none."""

    def of_run(truth: Truth, x: Tensor, given: Tensor, answers: Tensor) -> list[Tensor]:
        _, place = given.reshape(len(given), -1).unique(dim=0, return_inverse=True)
        away, apart = distances(x, answers), _apart(answers)
        hit = exact(away == away.amin(1, keepdim=True)) * exact(away <= apart[:, None] / 2)
        count = place.bincount()
        seen = count >= FEWEST
        reached = _sums(hit, place).clamp(max=1).mean(1)
        mean = _sums(exact(x), place) / count[:, None]
        within = _sums((exact(x) - mean[place]).square().sum(1), place) / (count - 1)
        right = exact(answers.flatten(2))
        wide = _sums((right - right.mean(1, keepdim=True)).square().sum(2).mean(1), place) / count
        return [reached[seen].mean(), (within[seen].sum() / wide[seen].sum()).sqrt()]

    return dict(zip(("choices_covered", "choice_spread"), _by_run(real, fake, label, of_run), strict=True))


FEWEST = 2
"""Samples of an input that tell how far they lie apart."""


def _apart(answers: Tensor) -> Tensor:
    """Return the root mean square difference of the two answers [n, choices, ...] that are nearest, [n]."""
    pairs = torch.stack([distances(answers[:, place].flatten(1), answers) for place in range(answers.shape[1])], 1)
    own = torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(own, float("inf")).flatten(1).amin(1)


def _sums(values: Tensor, place: Tensor) -> Tensor:
    """Return the sums of values [n, ...] by their places, [places, ...]."""
    sums = torch.zeros(int(place.max()) + 1, *values.shape[1:], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, place, values)


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"consistency": "needs a problem whose samples decide what is given with them"},
    measures={
        "consistency": positive(
            "root mean square difference of a pixel of what samples would be given with from what is given", "down",
        )
    },
)  # fmt: skip
def consistency(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """Whether what is given can be had back from samples, as the low resolution from the high one."""

    def of_run(truth: Truth, x: Tensor, given: Tensor, answers: Tensor) -> list[Tensor]:
        assert truth.given_of is not None
        back = exact(truth.given_of(x.unflatten(1, answers.shape[2:])).flatten(1))
        return [(back - exact(given.reshape(len(given), -1))).square().mean(1).sqrt().mean()]

    return {"consistency": _by_run(real, fake, label, of_run)[0]}
