"""Measures of a translation, against truths of one number that are counted by hand, and by plain loops."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from ganbench import registry
from ganbench.analysis.game import RULES, game_findings
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics.reference import Reference
from ganbench.problems.base import Targets, Truth, stream

LABELS = torch.tensor([0, 0, 1, 1])
"""Four samples of two inputs, each with the answers below."""
ANSWERS = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[10.0, 0.0], [10.0, 4.0]]], dtype=torch.float64)
TRUTH = Truth(
    answers=lambda label: ANSWERS[label],
    content=lambda x: (x[:, 0] > 7).long(),
    kinds=2,
    given_of=lambda x: (x[:, :1] > 7).long(),
)
REAL = Reference(torch.tensor([[0.0, 0.0], [4.0, 0.0], [10.0, 0.0], [10.0, 4.0]], dtype=torch.float64), truth=TRUTH)


def measured(*fakes):
    fake = torch.tensor(fakes, dtype=torch.float64)
    label = LABELS.expand(len(fake), -1)
    columns = {}
    for name in ("translation", "choices", "choice_spread", "consistency"):
        columns |= registry.get("metric", name).function(REAL, fake, label)
    return {name: column.tolist() for name, column in columns.items()}


def test_by_hand():
    """Root mean squares of two numbers: (3, 4) apart is 5 / sqrt 2."""
    right = [[0, 0], [4, 0], [10, 0], [10, 4]]
    off = [[3, 4], [4, 0], [10, 4], [10, 4]]  # 1, 4 from (4, 0); answers of its own and of one alone
    swapped = [[10, 0], [10, 4], [0, 0], [4, 0]]
    found = measured(right, off, swapped)
    assert found["truth_error"] == pytest.approx(
        [0.0, math.sqrt(17 / 2) / 4, (6 + math.sqrt(52) + 10 + 6) / 4 / 2**0.5]
    )
    assert found["given_used"][0] == 1.0
    # off: (3, 4) is 7 from (10, 4), (4, 0) 6 from (10, 0), and (10, 4) sqrt 52 from (4, 0), twice
    other = [7, 6, math.sqrt(52), math.sqrt(52)]
    assert found["given_used"][1] == pytest.approx(1 - math.sqrt(17) / sum(other))
    assert found["given_used"][2] < 0
    assert found["content_kept"] == [1.0, 1.0, 0.0]
    assert found["content_permuted"] == [1.0, 1.0, 1.0]
    # (3, 4) is 4.1 from (4, 0), more than half of the 4 to the other answer
    assert found["choices_covered"] == [1.0, 0.5, 0.0]
    assert found["consistency"] == [0.0, 0.0, 1.0]
    # two samples of each input as far apart as its answers: variance 8 of n - 1 against 4 of n
    assert found["choice_spread"] == pytest.approx([math.sqrt(2), math.sqrt((17 / 2 + 0) / 8), math.sqrt(2)])


def test_a_sample_may_show_several_things():
    """Two numbers that are given stand for two things: the first is kept, and the second swapped for the other one."""
    truth = Truth(answers=lambda given: given[:, None], content=lambda x: (x > 0).long(), kinds=2)
    given = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    fake = given * torch.tensor([1.0, -1.0])
    real = Reference(given, truth=truth)
    found = registry.get("metric", "translation").function(real, fake[None], given[None])
    assert found["content_kept"].tolist() == [0.5]
    assert found["content_permuted"].tolist() == [1.0]


def test_one_answer_for_every_noise_covers_one_choice():
    found = measured([[4, 0], [4, 0], [10, 4], [10, 4]])
    assert found["choices_covered"] == [0.5]
    assert found["choice_spread"] == [0.0]
    assert found["truth_error"] == [0.0]


@pytest.mark.parametrize("name", ["outlines", "upscaled_digits"])
def test_the_oracle_and_a_plain_loop(name):
    """numpy, one sample at a time, on held-out truth with more noise."""
    problem = registry.get("problem", name)()
    evaluator = Evaluator(problem, 96, 96)
    x, given = problem.oracle(96)
    fake = x + 0.2 * torch.randn(x.shape, generator=stream("noise", 0))
    found = {key: column.item() for key, column in evaluator.measure(fake[None], given[None]).items()}
    answers, flat = problem.truth.answers(given).flatten(2).double().numpy(), fake.flatten(1).double().numpy()
    own = [min(np.sqrt(((row - one) ** 2).mean()) for one in each) for row, each in zip(flat, answers, strict=True)]
    other = []
    for i in range(96):
        for j in range(96):
            if not torch.equal(given[i], given[j]):
                other.append((i, min(np.sqrt(((flat[i] - one) ** 2).mean()) for one in answers[j])))
    means = [np.mean([far for row, far in other if row == i]) for i in range(96)]
    assert found["truth_error"] == pytest.approx(np.mean(own))
    assert found["given_used"] == pytest.approx(1 - np.mean(own) / np.mean(means))
    if name == "outlines":
        keys = [given[i].numpy().tobytes() for i in range(96)]
        reached = set()
        for key, row, each in zip(keys, flat, answers, strict=True):
            away = np.sqrt(((row - each) ** 2).mean(1))
            apart = min(np.sqrt(((a - b) ** 2).mean()) for k, a in enumerate(each) for b in each[:k])
            if away.min() <= apart / 2:
                reached.add((key, int(away.argmin())))
        assert found["choices_covered"] == pytest.approx(len(reached) / (4 * len(set(keys))))
    else:
        squares = flat.reshape(96, 4, 2, 4, 2).mean((2, 4)) - given[:, 0].numpy()
        assert found["consistency"] == pytest.approx(np.sqrt((squares**2).mean((1, 2))).mean(), rel=1e-5)


UNPAIRED = ["inverted_digits", "rotated_digits", "coloured_digits"]


def courses(problem, fakes_of):
    """Return the columns of translation at six probes, of what is made of held-out truth and its inputs."""
    columns = {"step": []}
    metrics = [
        registry.get("metric", own) for own in ("translation", "choices", "choice_spread", "consistency", "targets")
    ]
    real = Reference(problem.reference(200).flatten(1), truth=problem.truth)
    for step in range(6):
        x, given = problem.oracle(200, seed=step)
        columns["step"].append(100 * step)
        for metric in metrics:
            if set(metric.needs) <= problem.capabilities:
                fake = fakes_of(x, given).flatten(1)
                for key, column in metric.function(real, fake[None], given[None]).items():
                    columns.setdefault(key, []).append(column.item())
    return columns


UNPAIRED = ["inverted_digits", "rotated_digits", "coloured_digits"]


@pytest.mark.parametrize(
    "name",
    ["outlines", "upscaled_digits", "enlarged_digits", "restyled_digits", "glyph_digits", "waveforms", *UNPAIRED],
)
def test_nothing_is_found_of_a_perfect_translator(name):
    columns = courses(registry.get("problem", name)(), lambda x, given: x)
    assert game_findings(pd.DataFrame(columns)) == ()
    assert {"G ignores its input", "G gives one answer for every noise"} <= {rule.name for rule in RULES}
    if name == "outlines":
        assert min(columns["choices_covered"]) == 1.0
    elif name in ("upscaled_digits", "enlarged_digits"):
        assert max(columns["consistency"]) < 1e-6
    else:
        # of held-out digits 98 % are nearest to one of their class
        assert min(columns["content_kept"]) > 0.95


DOMAIN = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 6.0]], dtype=torch.float64)
"""Where pictures stand in each of three domains, beside 100 x their content."""


def in_domains():
    """Return a truth of two numbers whose given is [content, domain]: 100 x content + the domain's place."""
    place = lambda given: torch.stack([100 * given[..., 0], 0 * given[..., 0]], -1) + DOMAIN[given[..., 1].long()]  # noqa: E731
    return Truth(
        answers=lambda given: place(given)[:, None],
        content=lambda x: (x[:, 0] > 50).long(),
        kinds=2,
        targets=Targets(
            asked=lambda given: given[:, 1].long(),
            shown=lambda x: torch.cdist(x - 100 * (x[:, :1] > 50) * torch.tensor([1, 0]), DOMAIN).argmin(1),
            every=lambda given: torch.stack(
                [torch.stack([given[:, 0], torch.full_like(given[:, 0], k)], 1) for k in range(3)], 1
            ),
        ),
    )


def test_targets_by_hand():
    """Distances of two numbers over sqrt 2: domains are 4, 6 and sqrt 52 apart, contents 100."""
    given = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 2]], dtype=torch.float64)
    right = [[0, 0], [4, 0], [104, 0], [100, 6]]
    first = [[0, 0], [0, 0], [100, 0], [100, 0]]  # as if the first domain were always asked for
    other = [[100, 0], [104, 0], [4, 0], [0, 6]]  # in the right domain, of the other content
    truth, fake = in_domains(), torch.tensor([right, first, other], dtype=torch.float64)
    label = given.expand(3, 4, 2)
    found = registry.get("metric", "targets").function(Reference(fake[0], truth=truth), fake, label)
    assert found["target_reached"].tolist() == [1.0, 0.25, 1.0]
    assert found["target_used"][0].item() == 1.0
    # own errors 0, 4, 4, 6; to the two other domains 4 + 6, 0 + 6, 0 + 6, 0 + 4, half of each
    assert found["target_used"][1].item() == pytest.approx(1 - 14 / (26 / 2))
    # of the other content both are about 100 away
    assert abs(found["target_used"][2].item()) < 0.01
    # inputs of which the same domain is asked are alike: the second and the third alone have another one
    used = registry.get("metric", "translation").function(
        Reference(fake[0], truth=truth), fake[:1, 1:3], label[:1, 1:3]
    )
    assert used["given_used"].tolist() == [1.0]


def restyled(make):
    """Return what is found of what is made of pictures and of which domain is asked for, and the last columns."""
    problem = registry.get("problem", "restyled_digits")()
    columns = courses(problem, lambda x, given: make(problem, x, given))
    names = [one.finding for one in game_findings(pd.DataFrame(columns))]
    return names, {name: values[-1] for name, values in columns.items()}


def test_pictures_that_stay_ignore_the_domain_asked_for():
    """A third of targets are the own domain, and what stays is as near to the others' truth as to its own."""
    names, last = restyled(lambda problem, x, given: given[:, :3])
    assert names == ["G ignores the domain asked for"]
    assert last["content_kept"] > 0.95
    assert last["target_reached"] == pytest.approx(1 / 3, abs=0.1)
    assert last["target_used"] == pytest.approx(0, abs=0.1)


def test_one_digit_in_every_domain_ignores_the_picture():
    """That the domain is right hides nothing: other pictures of which the same one is asked are what counts."""

    def make(problem, x, given):
        one = given[:1].expand_as(given)
        return problem.truth.answers(torch.cat([one[:, :3], given[:, 3:6], one[:, 6:]], 1))[:, 0]

    names, last = restyled(make)
    assert names == ["G ignores its input"]
    assert last["target_reached"] == 1.0
    assert last["target_used"] > 0.3


def test_other_digits_in_the_right_domain_are_permuted():
    def swap(problem, x, given):
        kinds, domains = problem.truth.content(x), problem.truth.targets.asked(given)
        wanted = (kinds + 1) % 10
        chosen = [((kinds == kind) & (domains == domain)).nonzero().flatten().tolist() or [place]
                  for place, (kind, domain) in enumerate(zip(wanted, domains, strict=True))]  # fmt: skip
        return x[[options[place % len(options)] for place, options in enumerate(chosen)]]

    names, last = restyled(swap)
    assert names == ["G permutes what it is given"]
    assert last["content_permuted"] > 0.95
    assert last["target_reached"] == 1.0


ROTATION = torch.arange(10).roll(1)
TWO_SWAPPED = torch.tensor([0, 1, 2, 5, 4, 3, 6, 7, 8, 9])


@pytest.mark.parametrize(("table", "least"), [(ROTATION, 0.9), (TWO_SWAPPED, 0.15)])
@pytest.mark.parametrize("name", UNPAIRED)
def test_a_planted_permutation_is_found_and_nothing_else(name, table, least):
    """Each picture becomes the right one of another held-out digit, of the class that the table has for its own."""
    problem = registry.get("problem", name)()
    x, _ = problem.oracle(500)
    kinds = problem.truth.content(x)[:, 0]

    def swap(fake, given):
        wanted = problem.truth.content(fake)
        halves = []
        for side, half in enumerate((x[..., :8], x[..., 8:])):
            shown = problem.truth.content(x)[:, side]
            chosen = [int((shown == table[kind]).nonzero()[place % 20]) for place, kind in enumerate(wanted[:, side])]
            halves.append(half[chosen])
        return torch.cat(halves, -1)

    assert len(kinds.unique()) == 10
    columns = courses(problem, swap)
    assert [one.finding for one in game_findings(pd.DataFrame(columns))] == ["G permutes what it is given"]
    assert min(columns["content_permuted"]) == 1.0
    gap = [one - other for one, other in zip(columns["content_permuted"], columns["content_kept"], strict=True)]
    assert min(gap) > least


@pytest.mark.parametrize("name", UNPAIRED)
def test_samples_that_have_nothing_to_do_with_their_input_are_no_permutation(name):
    problem = registry.get("problem", name)()
    columns = courses(problem, lambda x, given: x.roll(1, 0))
    assert [one.finding for one in game_findings(pd.DataFrame(columns))] == ["G ignores its input"]
