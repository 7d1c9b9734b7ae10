"""What the host hands to a step: the clock's numbers, the phase, and each batch once."""

import math

import pytest
import torch

from ganbench.errors import UserError
from ganbench.training.host import Clock, Inputs, Now, Phases
from ganbench.training.kept import Kept

CPU = torch.device("cpu")


@pytest.mark.parametrize(("step", "steps"), [(0, 1), (0, 8), (3, 8), (7, 8), (1, 3)])
def test_the_clock_tells_step_progress_and_rate_in_place(step, steps):
    clock = Clock(CPU)
    places = [clock.step, clock.progress, clock.rate]
    clock.set(step, steps, "none")
    assert (clock.step.item(), clock.progress.item(), clock.rate.item()) == (step, step / steps, 1.0)
    clock.set(step, steps, "sqrt")
    assert clock.rate.item() == pytest.approx(math.sqrt(1 - step / steps), rel=1e-15)
    assert all(a is b for a, b in zip(places, [clock.step, clock.progress, clock.rate], strict=True))
    assert [tuple(place.shape) for place in places] == [(), (), ()]
    assert [place.dtype for place in places] == [torch.int64, torch.float64, torch.float64]
    with pytest.raises(UserError):
        clock.set(step, steps, "of another world")


def test_a_phase_is_all_answers_that_were_asked_for_and_what_is_remembered():
    kept = [Kept(), Kept()]
    phases = Phases(kept)
    now, later = Now(0, 0.0, {"d": 0, "g": 0}), Now(1, 0.1, {"d": 1, "g": 1})
    assert phases.key(now) == phases.key(later) == (0,)
    assert phases.ask("odd", lambda at: at.step % 2, later) == 1
    assert (phases.key(now), phases.key(later)) == ((0, 0), (0, 1))
    # a question is one question, whoever asks it again
    assert phases.ask("odd", lambda at: at.step % 2, now) == 0
    assert phases.key(later) == (0, 1)
    kept[0].update(mean=torch.zeros(1), square=torch.zeros(1))
    kept[1]["last"] = torch.zeros(1)
    assert phases.key(later) == (3, 1)


def test_inputs_are_fetched_once_each_and_beforehand_where_they_are_known():
    fetched = []

    def fetch(*want):
        fetched.append(want)
        return len(fetched)

    first = Inputs(Now(0, 0.0, {}), (), fetch)
    assert fetched == []
    assert [first.take("batch", "d", 0), first.take("batch", "g", 0), first.take("batch", "d", 0)] == [1, 2, 1]
    assert first.held == {("batch", "d", 0): 1, ("batch", "g", 0): 2}
    assert list(first.recipe.wants) == [("batch", "d", 0), ("batch", "g", 0)]
    assert first.recipe.batches == first.recipe.descents == {"d": 0, "g": 0}
    later = Inputs(Now(1, 0.1, {}), (), fetch, first.recipe.wants)
    assert fetched[2:] == list(first.recipe.wants)
    assert later.take("batch", "g", 0) == 4
    assert len(fetched) == 4
    # its own recipe tells what it took, and no more
    assert list(later.recipe.wants) == [("batch", "g", 0)]
