"""The rough weight of a population's work, by which the longest starts first."""

import re
import resource
from types import SimpleNamespace

import pytest
import torch
from overriding import over

from ganbench.errors import UserError, told
from ganbench.executors import work
from ganbench.executors.work import cost
from ganbench.suite import resolve
from ganbench.training.losses import GuiltyError

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


# ------------------------------------------------------------------------------------------ without training


class Counting:
    """A learner that counts its steps, each of which takes half a second of a clock that it moves on."""

    def __init__(self, clock):
        self.clock, self.steps, self.looped = clock, 0, {"mine"}

    def advance(self):
        self.steps += 1
        # the first step is dearer
        self.clock.now += 5.0 if self.steps == 1 else 0.5


@pytest.mark.parametrize(("steps", "asked", "taken", "seconds"), [
    (10, 3, 4, 5.0), (10, 1, 2, 5.0), (4, 3, 4, 2.0), (3, 3, 3, 1.5), (2, 3, 2, 1.0), (1, 3, 1, 5.0),
])  # fmt: skip
def test_a_trial_leaves_the_first_step_out_where_there_are_others(monkeypatch, steps, asked, taken, seconds):
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now
    learner = Counting(clock)
    monkeypatch.setattr(work, "time", clock)
    monkeypatch.setattr(work, "make_learner", lambda runs, problem, device: learner)
    runs = resolve(None, [f"steps={steps}", "seeds=2"]).runs
    found = work.trial(runs, "cpu", asked)
    assert learner.steps == taken
    assert found.seconds == pytest.approx(seconds)
    assert found.looped == ("mine",)
    assert found.peak_bytes == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def performed(monkeypatch, train, foreign=False):
    plan = resolve(None, ["seeds=3", "steps=10"])
    events = []
    monkeypatch.setattr(work, "_train", train)
    monkeypatch.setattr(work, "_has_foreign", lambda runs: foreign)
    work.perform(None, plan, work.Job("it", tuple(plan.runs)), "cpu", events.append)
    return plan, events


def test_a_job_that_ends_says_so(monkeypatch):
    assert performed(monkeypatch, lambda *words: None)[1] == [{"event": "finished"}]


@pytest.mark.parametrize("error", [ValueError("odd\x1b[31m"), SystemExit(0), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_plugin_raises_is_told_with_its_traceback(monkeypatch, error):
    def train(*words):
        raise error

    _, (event,) = performed(monkeypatch, train)
    assert (event["event"], event["guilty"], event["error"]) == ("failed", [], told(error))
    assert event["details"].startswith("Traceback")
    assert "in train" in event["details"]
    assert "\x1b" not in event["details"]


def test_the_runs_of_a_guilty_loss_are_named(monkeypatch):
    def train(*words):
        raise GuiltyError(slice(1, 3)) from ValueError("of two runs")

    plan, (event,) = performed(monkeypatch, train)
    assert event["guilty"] == [run.id for run in plan.runs[1:3]]
    assert event["error"] == "ValueError: of two runs"


def test_what_plugins_of_others_change_is_told_and_put_back(monkeypatch):
    def train(*words):
        torch.set_default_dtype(torch.float64)

    _, events = performed(monkeypatch, train, foreign=True)
    assert torch.get_default_dtype() == torch.float32
    changed = [event for event in events if event["event"] == "told"]
    assert [event["text"] for event in changed] == ["While it trained, a plug-in changed the default dtype."]
    assert {"event": "finished"} in events


@pytest.mark.parametrize(("events", "said"), [
    ([{"event": "progress"}, {"event": "finished"}], ""),
    ([{"event": "progress"}, {"event": "refused", "error": "E."}], "E."),
    ([{"event": "progress"}], "Cannot train this plan: when each of its variants was tried for a step, it ended so."),
    ([], "Cannot train this plan: when each of its variants was tried for a step, it ended so."),
])  # fmt: skip
def test_plugins_of_others_are_tried_in_a_process_of_their_own(monkeypatch, events, said):
    asked = {}

    def run(work, emit, **more):
        asked.update(more)
        for event in events:
            emit(event)
        return SimpleNamespace(reason="it ended so")

    monkeypatch.setattr(work, "_has_foreign", lambda runs: True)
    monkeypatch.setattr(work.isolate, "run", run)
    monkeypatch.setattr(work.isolate, "can_fork", lambda: True)
    if said:
        with pytest.raises(UserError) as raised:
            work.check({"a": []}, 2.5)
        assert str(raised.value) == said
    else:
        work.check({"a": []}, 2.5)
    assert asked == {"silence": 2.5}
    monkeypatch.setattr(work.isolate, "can_fork", lambda: False)
    here = []
    monkeypatch.setattr(work, "_check", lambda work, emit=None: here.append((work, emit)))
    asked.clear()
    work.check({"a": []})
    assert (here, asked) == ([({"a": []}, None)], {})


def test_the_weight_of_work_is_its_sum_over_updates():
    runs = resolve(None, ["seeds=3", "steps=10", "batch_size=7", "critic_steps=2", "regularizer=lazy_r1"]).runs
    lazy = runs[0].variant.hypers_of("regularizer", "lazy_r1")["lazy"]
    assert cost(runs) == pytest.approx(3 * 10 * (2 + 1) * 7 * (1 + 0.5 / lazy))
    assert cost(resolve(None, ["seeds=1", "steps=1", "batch_size=1"]).runs) == 2
    both = resolve(None, ["seeds=1", "steps=1", "batch_size=1", "regularizer=[[r1, orthogonal]]"]).runs
    assert cost(both) == 2 * 1.5, "what acts on weights is free"
