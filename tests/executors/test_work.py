"""The rough weight of a population's work, by which the longest starts first."""

import re

import pytest
from overriding import over

from ganbench.errors import UserError
from ganbench.executors import work
from ganbench.executors.work import cost
from ganbench.suite import resolve

DIRAC = ["problem=dirac", "network=point", "batch_size=4", "seeds=1"]


DIRAC = ["problem=dirac", "network=point", "batch_size=4", "seeds=1"]


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


def test_convolutions_weigh_eight_times_a_layer():
    assert weight("problem=digits", "network=dcgan") == pytest.approx(8 * weight("problem=digits", "network=mlp"))


def test_what_cannot_be_trained_is_raised_or_told_to_whom_listens():
    fine, odd = (resolve(None, [*DIRAC, f"network.point.condition={value}"]) for value in (1, 0.5))
    work.check(work.populations(fine, "cpu"))
    told = "The network 'point' needs a condition of at least 1, got 0.5."
    with pytest.raises(UserError) as raised:
        work.check({"odd": odd.runs})
    assert str(raised.value) == told
    events = []
    populations = {**work.populations(fine, "cpu"), "odd": odd.runs}
    work._check(populations, events.append)
    progress = [{"event": "progress", "name": name} for name in populations]
    assert events == [*progress, {"event": "refused", "error": told}]
    events.clear()
    work._check(work.populations(fine, "cpu"), events.append)
    assert events == [progress[0], {"event": "finished"}]


def test_a_job_is_known_by_what_it_asks():
    plan = resolve(None, ["seeds=3"])
    job = work.Job("it", (plan.runs[2], plan.runs[0]), 7)
    assert job.asked == {"name": "it", "runs": [plan.runs[2].id, plan.runs[0].id], "until": 7}
    assert work.Job.named(plan, job.asked) == job


def test_a_populations_name_says_what_is_trained():
    runs = resolve(None, ["seeds=2", "trick=ema", "normalization=layer"]).runs
    assert re.fullmatch(r"ring8-layer-none-ema-[0-9a-f]{8}", work.name_of(runs))
    assert re.fullmatch(r"ring8-none-none-[0-9a-f]{8}", work.name_of(resolve(None).runs))
    assert work.name_of(runs) != work.name_of(runs[:1])
