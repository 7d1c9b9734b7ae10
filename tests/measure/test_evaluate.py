"""What an evaluator measures a problem with: how many fakes, what counts as modes, which runs have numbers."""

import math

import pytest
import torch

from ganbench import registry
from ganbench.measure.evaluate import ORACLE_DRAWS, Evaluator


def problem(name):
    plugin = registry.get("problem", name)
    return plugin(**plugin.hypers)


@pytest.mark.parametrize(("name", "modes"), [("ring8", 8), ("grid25", 25), ("digits", 10), ("dirac", None)])
def test_modes_are_those_of_a_mixture_or_classes(name, modes):
    assert Evaluator(problem(name), 40, 8).modes == modes


@pytest.mark.parametrize(("samples", "held"), [(40, 40), (500, 500), (501, 500), (10_000, 500)])
def test_no_more_fakes_are_asked_for_than_images_are_held_out(samples, held):
    assert Evaluator(problem("digits"), samples, 8, asked=()).samples == held


@pytest.mark.parametrize(("samples", "neighbours", "found"), [(40, 8, 8), (40, 40, 40), (40, 41, 40), (40, 500, 40)])
def test_no_more_neighbours_than_samples(samples, neighbours, found):
    evaluator = Evaluator(problem("ring8"), samples, neighbours)
    assert {reference.neighbours for reference in evaluator.references.values()} == {found}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_leaves_a_run_without_and_its_neighbours_with_theirs(wrong):
    evaluator = Evaluator(problem("ring8"), 40, 8)
    fakes = torch.stack([evaluator.problem.oracle_samples(40, seed) for seed in range(3)])
    expected = evaluator.measure(fakes)
    fakes[1, 7, 1] = wrong
    got = evaluator.measure(fakes)
    assert got.keys() == expected.keys()
    for name, column in got.items():
        assert column.dtype == torch.float64
        assert column[1].isnan(), name
        assert torch.equal(column[[0, 2]], expected[name][[0, 2]]), name
        assert column[[0, 2]].isfinite().all(), name


def test_the_oracle_is_the_mean_over_a_few_draws():
    evaluator = Evaluator(problem("ring8"), 40, 8)
    assert ORACLE_DRAWS > 1
    draws = torch.stack([evaluator.problem.oracle_samples(40, seed) for seed in range(ORACLE_DRAWS)])
    expected = {name: column.mean().item() for name, column in evaluator.measure(draws).items()}
    assert evaluator.oracle() == pytest.approx(expected, rel=1e-9)


def test_mixtures_are_compared_with_as_many_real_samples_and_images_with_all():
    assert len(Evaluator(problem("ring8"), 40, 8).references["data"].real) == 40
    assert len(Evaluator(problem("digits"), 40, 8).references["pixels"].real) == 1297


def test_columns_of_the_first_space_are_plain_and_the_others_are_named():
    evaluator = Evaluator(problem("digits"), 40, 8)
    columns = evaluator.measure(evaluator.problem.oracle_samples(40)[None])
    assert {"frechet", "frechet_pixels", "frechet_classifier"} <= columns.keys()
    assert "frechet_conv" not in columns
    assert "label_accuracy" not in columns
    assert evaluator.measure(evaluator.problem.oracle_samples(40)[None]).keys() == columns.keys()
