"""Names of variants and plans: readable, with a digest that old studies were named by."""

import re

import pytest

from ganbench.plan import OWN, OWN_NAME, Run, Variant
from ganbench.suite import resolve


def test_a_name_ends_in_six_digits_and_a_plans_hash_has_twelve():
    plan = resolve(None, ["loss=hinge", "g_normalization=batch", "network=mlp", "optimizer=sgd", "regularizer=r1"])
    (variant,) = plan.variants
    assert re.fullmatch(r"ring8-hinge-none-g_batch-r1-[0-9a-f]{6}", variant.id)
    assert re.fullmatch(r"[0-9a-f]{12}", plan.hash)
    assert Run(variant, 3).id == f"{variant.id}-s3"


def test_a_watched_loop_is_named_by_its_problem_and_its_author():
    settings = dict.fromkeys(("network", "loss", "normalization", "g_normalization", "regularizer", "optimizer"), OWN)
    numbers = {"steps": 0, "batch_size": 0, "critic_steps": 1, "latent_dim": 0}
    variant = Variant(problem="ring8", latent=OWN, hypers=((OWN_NAME, "mine"),), **settings, **numbers)
    assert re.fullmatch(r"ring8-mine-[0-9a-f]{6}", variant.id)


def test_a_variant_is_what_it_says_and_never_changes():
    plan = resolve(None, ["loss=hinge", "regularizer=[[r1, orthogonal]]"])
    (variant,) = plan.variants
    assert variant.names("regularizer") == ["r1", "orthogonal"]
    assert {("regularizer", "r1"), ("regularizer", "orthogonal"), ("loss", "hinge")} <= variant.plugins()
    assert variant.hypers_of("loss", "hinge") == {"margin": 1.0}
    twin = Variant(**variant.values, hypers=variant.hypers)
    assert (twin == variant, hash(twin) == hash(variant), variant == 5) == (True, True, False)
    assert Variant(**{**variant.values, "steps": 7}, hypers=variant.hypers) != variant
    with pytest.raises(AttributeError, match="does not change"):
        variant.loss = "minimax"
    with pytest.raises(TypeError, match="no axis odd"):
        Variant(**variant.values, odd=1)
    with pytest.raises(AttributeError):
        _ = variant.nothing


@pytest.mark.parametrize(("steps", "every", "probes"), [(10, 5, [0, 5, 10]), (11, 5, [0, 5, 10, 11]), (3, 5, [0, 3])])
def test_a_run_is_probed_at_its_start_at_each_interval_and_at_its_end(steps, every, probes):
    plan = resolve(None, [f"steps={steps}", f"probe_every={every}"])
    assert list(plan.probes(steps)) == probes
    assert set(plan.steps_of.values()) == {steps}
    assert [run.seed for run in plan.runs] == [0, 1, 2, 3, 4]
