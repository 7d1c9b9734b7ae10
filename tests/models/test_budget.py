"""The suite whose models have one budget of arithmetic: what it counts for each, as a run's own column does."""

import pytest
import torch

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

BUDGET = 40.0


@pytest.mark.slow
def test_every_model_has_the_same_arithmetic():
    plan = resolve("models_gflop")
    problem = make_problem(plan.variants[0])
    found = {}
    for variant in plan.variants:
        runs = [run for run in plan.runs if run.variant == variant]
        costs = make_learner(runs, problem, torch.device("cpu")).costs()
        found[variant.model] = costs.flop[0] * variant.steps / 1e9
    assert len(found) == 11
    # a step more or less is up to .3 % of it
    assert found == pytest.approx(dict.fromkeys(found, BUDGET), rel=0.003)
