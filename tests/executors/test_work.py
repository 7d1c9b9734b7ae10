"""The rough weight of a population's work, by which the longest starts first."""

import pytest
from overriding import over

from ganbench.executors.work import cost
from ganbench.suite import resolve


def weight(*overrides):
    return cost(resolve(None, over(["seeds=3", *overrides])).runs)


def test_a_lazy_penalty_costs_its_share_of_an_eager_one():
    plain, eager = weight("regularizer=none"), weight("regularizer=r1")
    assert eager > plain
    for lazy in (1, 4, 16):
        own = weight("regularizer=lazy_r1", f"regularizer.lazy_r1.lazy={lazy}")
        assert own - plain == pytest.approx((eager - plain) / lazy)


def test_work_grows_with_runs_steps_turns_and_batches():
    base = weight()
    for more in ("seeds=6", "steps=4000", "batch_size=256", ("critic_steps=2", "generator_steps=2")):
        assert weight(*([more] if isinstance(more, str) else more)) == pytest.approx(2 * base)
