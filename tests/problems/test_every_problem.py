"""What holds for every problem in the registry: its draws agree with each other, and nobody changes it from outside."""

import pytest
import torch

from ganbench import registry
from ganbench.problems.base import places_of_groups, stream
from ganbench.problems.features import spaces

SHIPPED = [plugin.name for plugin in registry.plugins("problem") if not plugin.declared("external")]
every_problem = pytest.mark.parametrize("name", SHIPPED)
N = 40


def built(name):
    return registry.get("problem", name)()


def tensors(batch):
    return [batch.x, *([] if batch.given is None else [batch.given])]


@every_problem
def test_what_draws_with_what_is_given_draws_the_same_samples(name):
    problem = built(name)
    assert torch.equal(problem.draw(N, stream("test", 3)).x, problem.sample(N, stream("test", 3)))
    for seed in (0, 3):
        assert torch.equal(problem.oracle(N, seed).x, problem.oracle_samples(N, seed))
    assert torch.equal(problem.oracle(N).x, problem.oracle(N, 0).x)
    assert problem.sample(N, stream("test", 0)).dtype == torch.float32


@every_problem
def test_seeds_and_purposes_have_samples_of_their_own(name):
    problem = built(name)
    if problem.sample(2 * N, stream("test", 0)).unique(dim=0).shape[0] <= 2:
        pytest.skip("a game whose data are fixed")
    drawn = [problem.reference(N), problem.reference(N, 1), problem.oracle_samples(N), problem.oracle_samples(N, 1)]
    assert all(not torch.equal(a, b) for place, a in enumerate(drawn) for b in drawn[:place])
    assert torch.equal(problem.reference(N), problem.reference(N, 0))


@every_problem
def test_no_sample_that_is_handed_out_is_the_problems_own(name):
    problem = built(name)
    ways = {
        "reference": lambda: [problem.reference(N)], "whole reference": lambda: [problem.reference()],
        "oracle": lambda: tensors(problem.oracle(10**4)), "few of the oracle": lambda: tensors(problem.oracle(N)),
        "draw": lambda: tensors(problem.draw(N, stream("test", 0))),
    }  # fmt: skip
    for way, take in ways.items():
        before = [tensor.clone() for tensor in take()]
        for tensor in take():
            tensor.add_(1)
        assert all(torch.equal(a, b) for a, b in zip(take(), before, strict=True)), way


@pytest.mark.parametrize(
    "name", [p.name for p in registry.plugins("problem") if "unequal_groups" in p.provides and p.name in SHIPPED]
)
def test_groups_are_drawn_with_their_weights(name):
    problem = built(name)
    weights = problem.group_weights()
    assert weights.sum().item() == pytest.approx(1)
    assert torch.equal(problem.draw_groups(weights, N, stream("test", 1)).x,
                       problem.sample_groups(weights, N, stream("test", 1)))  # fmt: skip
    for group in (0, len(weights) - 1):
        alone = torch.nn.functional.one_hot(torch.tensor(group), len(weights)).double()
        batch = problem.draw_groups(alone, N, stream("test", 1))
        if "label" in problem.capabilities:
            assert batch.given.tolist() == [group] * N
        if problem.modes is not None:
            apart = (batch.x.double()[:, None] - problem.modes.centres).norm(dim=-1)
            assert (apart.argmin(1) == group).all()
        else:
            own = {tuple(image) for image in problem.images[problem.labels == group].flatten(1).tolist()}
            assert {tuple(image) for image in batch.x.flatten(1).tolist()} <= own


@pytest.mark.parametrize(
    "name", [p.name for p in registry.plugins("problem") if "label" in p.provides and p.name in SHIPPED]
)
def test_labels_are_those_of_their_samples(name):
    problem = built(name)
    assert set(problem.draw(4000, stream("test", 3)).given.tolist()) == set(range(problem.gives.classes))
    for batch in (problem.draw(N, stream("test", 2)), problem.oracle(N), problem.oracle(10**4)):
        assert batch.given.dtype == torch.int64
        assert len(batch.given) == len(batch.x)
        assert set(batch.given.tolist()) <= set(range(problem.gives.classes))
        if problem.modes is not None:
            apart = (batch.x.double()[:, None] - problem.modes.centres).norm(dim=-1)
            assert (apart.argmin(1) == batch.given).double().mean() > 0.99  # neighbours lie many deviations apart
        else:
            labelled = zip([*problem.images, *problem.held_out_images],
                           [*problem.labels.tolist(), *problem.held_out_labels.tolist()], strict=True)  # fmt: skip
            known = {tuple(image.flatten().tolist()): label for image, label in labelled}
            assert [known[tuple(image)] for image in batch.x.flatten(1).tolist()] == batch.given.tolist()


@every_problem
def test_spaces_that_are_asked_for_are_those_that_fit(name):
    problem = built(name)
    every = [space for space in registry.plugins("feature_space") if not space.declared("external")]
    got = spaces(problem, [space.name for space in every])
    offered = problem.capabilities
    fitting = [s.name for s in every if s.needs.keys() <= offered]
    if not problem.feature_spaces:
        assert got == {}
    else:
        assert [*got] == list(dict.fromkeys((*problem.feature_spaces, *fitting)))
        assert ({"conv", "pixels"} <= set(got)) is ("image" in offered)
        assert ("classifier" in got) is ("classes" in offered)
    for own in got.values():
        assert (own.class_head is not None) is (own.name == "classifier")


def test_every_place_of_a_group_is_drawn_the_last_one_too():
    groups = torch.tensor([0, 0, 1, 1])
    drawn = places_of_groups(groups, torch.tensor([0.25, 0.75], dtype=torch.float64), 2000, stream("places", 0))
    shares = drawn.bincount(minlength=4) / 2000
    # each place has its group's weight over the group's size; four standard errors
    assert shares.tolist() == pytest.approx([0.125, 0.125, 0.375, 0.375], abs=4 * (0.24 / 2000) ** 0.5)
    # the third group is not there, and of the others the last place alone has weight
    alone = places_of_groups(torch.tensor([0, 1]), torch.tensor([0.0, 0.5, 0.5]).double(), 50, stream("places", 0))
    assert alone.tolist() == [1] * 50
