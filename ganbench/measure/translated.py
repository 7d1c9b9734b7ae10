"""Whether a translation is right, where all that is right for what is given is known (problems.base.Truth)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ganbench.metrics.inputs import exact
from ganbench.metrics.reference import Reference
from ganbench.problems.base import Truth
from ganbench.registry import Measure, positive, register, share

TRUTH = {"truth": "needs a problem that knows what is right for what is given"}

Columns = dict[str, Tensor]


@dataclass(frozen=True)
class Asked:
    """The inputs of one run's samples: those that differ [u, ...], which one each sample has [n], their answers."""

    given: Tensor
    place: Tensor
    answers: Tensor

    @cached_property
    def count(self) -> Tensor:
        """How many samples each input has [u], float64."""
        return exact(self.place.bincount(minlength=len(self.given)))


def _asked(given: Tensor, truth: Truth) -> Asked:
    if truth.source is not None:
        # one input stands for all of its class, which have the same answers
        kinds, place = truth.source.to(given.device)(given).unique(return_inverse=True)
        first = torch.stack([(place == each).nonzero()[0, 0] for each in range(len(kinds))])
        return Asked(given[first], place, truth.answers(given[first]))
    rows, place = given.reshape(len(given), -1).unique(dim=0, return_inverse=True)
    inputs = rows.reshape(-1, *given.shape[1:])
    return Asked(inputs, place, truth.answers(inputs))


Said = Callable[[Truth, Tensor, Asked], list[Tensor]]


def _by_run(real: Reference, fake: Tensor, given: Tensor, said: Said) -> list[Tensor]:
    """Return the columns [runs] of what is said of each run's fakes [n, d] and of its inputs."""
    truth = real.truth
    assert truth is not None
    given = given.expand(*fake.shape[:-1], *given.shape[fake.dim() - 1 :])
    rows, asked = [], None
    for own, beside in zip(fake, given, strict=True):
        # runs of a population have the same inputs
        if asked is None or not torch.equal(asked.given[asked.place], beside):
            asked = _asked(beside, truth)
        rows.append(torch.stack([exact(column) for column in said(truth, own, asked)]))
    return list(torch.stack(rows, 1))


def distances(x: Tensor, answers: Tensor) -> Tensor:
    """Return root mean square differences of elements of x [n, d] from answers [u, choices, ...], [n, u, choices]."""
    flat = exact(answers.flatten(2).flatten(0, 1))
    # by differences: products lose the last digits of small ones
    apart = torch.cdist(exact(x), flat, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.unflatten(1, answers.shape[:2]) / x.shape[1] ** 0.5


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
            "share of the error to other inputs' truth that the own input takes away; 0: inputs are ignored",
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
    """Whether samples are right for what is given with them, and nearer to that than to what is right for others.

    Other inputs count as often as they are asked for; NaN where there is one alone. Where one of several domains is
    asked for, other inputs are other pictures of which the same one is; where pictures stand for a class, those of
    other classes.
    """

    def said(truth: Truth, x: Tensor, asked: Asked) -> list[Tensor]:
        away, rows = _from_right(x, truth, asked), torch.arange(len(x), device=x.device)
        own, (total, others) = away[rows, asked.place].mean(), _of_alike(away, truth, asked)
        others = others - asked.count[asked.place]
        other = ((total - away[rows, asked.place] * asked.count[asked.place]) / others).mean()
        shown = truth.content(x.unflatten(1, asked.answers.shape[2:]))
        wanted = truth.content(asked.answers[:, 0])[asked.place]
        tables = _tables(shown.reshape(len(x), -1), wanted.reshape(len(x), -1), truth.kinds)
        kept = torch.stack([table.diagonal().sum() for table in tables]).mean() / len(x)
        best = [table.cpu()[linear_sum_assignment(table.cpu().numpy(), maximize=True)].sum() for table in tables]
        return [own, 1 - own / other, kept, torch.stack(best).mean().to(x.device) / len(x)]

    names = ("truth_error", "given_used", "content_kept", "content_permuted")
    return dict(zip(names, _by_run(real, fake, label, said), strict=True))


def _from_right(x: Tensor, truth: Truth, asked: Asked) -> Tensor:
    """Return how far samples are from the nearest that is right for each input, [n, u]."""
    if truth.away is None:
        return distances(x, asked.answers).amin(2)
    return truth.away(x.unflatten(1, asked.answers.shape[2:]), asked.given)


def _of_alike(away: Tensor, truth: Truth, asked: Asked) -> tuple[Tensor, Tensor]:
    """Return the sum of distances [n, u] over all that is asked for like a sample's own input, and its count, [n]."""
    if truth.targets is None:
        return away @ asked.count, torch.full_like(asked.count[asked.place], len(away))
    domain = truth.targets.asked(asked.given)
    alike = exact(domain[asked.place, None] == domain) * asked.count
    return (away * alike).sum(1), alike.sum(1)


def _tables(shown: Tensor, wanted: Tensor, kinds: int) -> list[Tensor]:
    """Return how often a kind is shown where one is wanted [kinds, kinds], a table for each of things [n, things]."""
    tables = exact(torch.zeros(shown.shape[1], kinds, kinds, device=shown.device))
    once = exact(torch.ones(len(shown), device=shown.device))
    for table, is_shown, is_wanted in zip(tables, shown.unbind(1), wanted.unbind(1), strict=True):
        table.index_put_((is_wanted, is_shown), once, accumulate=True)
    return list(tables)


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
    },
)
def choices(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """Which right answers other noise makes of the same input; the mean over inputs that are seen more than once."""

    def said(truth: Truth, x: Tensor, asked: Asked) -> list[Tensor]:
        away = distances(x, asked.answers)[torch.arange(len(x), device=x.device), asked.place]
        hit = (away == away.amin(1, keepdim=True)) & (away <= _apart(asked.answers)[asked.place, None] / 2)
        reached = _sums(exact(hit), asked).clamp(max=1).mean(1)
        return [reached[asked.count >= FEWEST].mean()]

    return {"choices_covered": _by_run(real, fake, label, said)[0]}


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"several": "needs a problem that has several right answers for an input, and inputs that are seen often"},
    measures={
        "choice_spread": positive(
            "how far the samples of one input lie apart, over how far right answers do; 0: one answer for every noise",
            blind="Noise in pixels spreads samples, too: read it beside choices_covered.",
        ),
    },
)  # fmt: skip
def choice_spread(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """How much other noise changes what is made of the same input, of all inputs that are seen more than once."""

    def said(truth: Truth, x: Tensor, asked: Asked) -> list[Tensor]:
        place, seen, right = asked.place, asked.count >= FEWEST, exact(asked.answers.flatten(2))
        mean = _sums(exact(x), asked) / asked.count[:, None]
        within = _sums((exact(x) - mean[place]).square().sum(1), asked) / (asked.count - 1)
        wide = (right - right.mean(1, keepdim=True)).square().sum(2).mean(1)
        return [(within[seen].sum() / wide[seen].sum()).sqrt()]

    return {"choice_spread": _by_run(real, fake, label, said)[0]}


FEWEST = 2
"""Samples of an input that tell how far they lie apart."""


def _apart(answers: Tensor) -> Tensor:
    """Return the root mean square difference of the two answers [u, choices, ...] that are nearest, [u]."""
    pairs = torch.stack([distances(own.flatten(1), own[None])[:, 0] for own in answers])
    same = torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(same, float("inf")).flatten(1).amin(1)


def _sums(values: Tensor, asked: Asked) -> Tensor:
    """Return the sums of values [n, ...] of the samples of each input, [u, ...]."""
    sums = torch.zeros(len(asked.given), *values.shape[1:], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, asked.place, values)


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"reversible": "needs a problem whose samples decide what is given with them"},
    measures={
        "consistency": positive(
            "root mean square difference of a pixel of what samples would be given with from what is given", "down",
        )
    },
)  # fmt: skip
def consistency(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """Whether what is given can be had back from samples, as the low resolution from the high one."""

    def said(truth: Truth, x: Tensor, asked: Asked) -> list[Tensor]:
        assert truth.given_of is not None
        back = exact(truth.given_of(x.unflatten(1, asked.answers.shape[2:])).flatten(1))
        given = exact(asked.given[asked.place].flatten(1) if asked.given.dim() > 1 else asked.given[asked.place, None])
        return [(back - given).square().mean(1).sqrt().mean()]

    return {"consistency": _by_run(real, fake, label, said)[0]}


@register(
    "metric",
    labelled=True,
    space="pixels",
    needs={"targets": "needs a problem that asks for one of several domains"},
    measures={
        "target_reached": share(
            "share of samples that are in the domain asked for, by the nearest picture that is known", "up",
            blind="It does not see what they show: read it beside content_kept.",
        ),
        "target_used": Measure(
            "share of the error to truth in other domains that the domain asked for takes away; 0: it is ignored",
            "up", (float("-inf"), 1.0),
        ),
    },
)  # fmt: skip
def targets(real: Reference, fake: Tensor, label: Tensor) -> Columns:
    """Whether samples are in the domain asked for, and nearer to what is right there than to that in other domains.

    Every domain counts alike. Pictures that stay what they are have a target_used of 0 where every domain is asked for
    as often as the others.
    """

    def said(truth: Truth, x: Tensor, asked: Asked) -> list[Tensor]:
        of = truth.targets
        assert of is not None
        every, domain = of.every(asked.given), of.asked(asked.given)[asked.place]
        right = truth.answers(every.flatten(0, 1)).unflatten(0, every.shape[:2]).flatten(3)[asked.place]
        # of samples, domains, choices and elements
        away = (exact(x)[:, None, None] - exact(right)).square().mean(3).sqrt().amin(2)
        own = away.gather(1, domain[:, None]).mean()
        other = (away.sum(1).mean() - own) / (away.shape[1] - 1)
        shown = of.shown(x.unflatten(1, asked.answers.shape[2:]))
        return [exact(shown == domain).mean(), 1 - own / other]

    return dict(zip(("target_reached", "target_used"), _by_run(real, fake, label, said), strict=True))
