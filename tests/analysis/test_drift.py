"""Baselines against each other and over a history: what moved, since when, and how often nothing is told."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from ganbench.analysis.drift import change_points, drift, epochs, same
from ganbench.results.baseline import Baseline, BaselineVariant, SeedResult


def state(failures, scores=None, verdict="converged"):
    """The results of as many seeds as there are flags; a failed one scores 0."""
    scores = [0.0 if lost else 0.9 for lost in failures] if scores is None else scores
    return [SeedResult(seed, "collapsed" if lost else verdict, bool(lost), float(score))
            for seed, (lost, score) in enumerate(zip(failures, scores, strict=True))]  # fmt: skip


def lost(count, seeds=20, shift=0.0):
    return state(
        [seed < count for seed in range(seeds)], [0.0 if seed < count else 0.9 - shift for seed in range(seeds)]
    )


# ---------------------------------------------------------------------------------------------- two baselines


def variant(loss, runs, label=None, **hypers):
    return BaselineVariant(label or f"ring8: {loss}", {"problem": "ring8", "loss": loss}, hypers, tuple(runs))


def baseline(*variants, **more):
    return Baseline("s", {"samples": 64, "neighbours": 32}, (), variants, **more)


def test_added_gone_moved_and_the_same_are_told_by_name():
    old = baseline(
        variant("hinge", lost(1)),
        variant("minimax", lost(2)),
        variant("focal", lost(0)),
        variant("wasserstein", lost(4)),
    )
    new = baseline(variant("hinge", lost(14)), variant("minimax", lost(2)), variant("least_squares", lost(0)),
                   variant("wasserstein", lost(5)))  # fmt: skip
    found = drift(old, new)
    assert (found.added, found.gone) == (("ring8: least_squares",), ("ring8: focal",))
    lines = found.lines
    assert lines[:2] == ["+ ring8: least_squares: added.", "- ring8: focal: gone."]
    assert lines[2].startswith("! ring8: hinge: failures 1/20 to 14/20 (+65 points, p = ")
    assert lines[2].endswith("): told apart.")
    assert lines[3].startswith("~ ring8: wasserstein: failures 4/20 to 5/20 (+5 points, p = 1)")
    assert lines[3].endswith("): not told apart.")
    assert lines[4:] == ["= 1 of 3 variants give the same results, seed by seed."]


def test_p_is_holms_of_the_two_exact_tests():
    old, new = baseline(variant("hinge", lost(0, 5))), baseline(variant("hinge", lost(5, 5)))
    (moved,) = drift(old, new).moved
    # Boschloo's of 5/5 against 0/5: at the worst rate, one half, the two extreme tables have probability 2^-10 each
    assert moved.p_rate == pytest.approx(2 * min(2 * 2 * 0.5**10, 1) / 2)
    assert moved.scores == (0.9, 0.0)


def test_measurement_rules_and_margins_that_differ_are_told():
    old = baseline(variant("hinge", lost(1)), margins={"score": 0.1}, source={"rules": "a"})
    new = replace(old, measured={"samples": 128, "neighbours": 32}, margins={"score": 0.2}, source={"rules": "b"})
    assert drift(old, new).notes == (
        "samples is 128, was 64: scores are not of one measurement.",
        "The two were judged by other rules, so that their failures are not counted alike.",
        "The margin score is 0.2, was 0.1.",
    )  # fmt: skip
    assert drift(None, new).lines[0] == "The baseline that is there does not read."
    assert drift(old, old).lines == ["= 1 of 1 variants give the same results, seed by seed."]


def test_equal_needs_a_shared_seed():
    assert same(lost(3), lost(3)[:4])
    assert not same(lost(3), lost(4))
    assert not same(lost(3)[:2], lost(3)[2:])


# ---------------------------------------------------------------------------------------------- a history


def test_what_is_written_down_twice_is_one_state():
    a, b = lost(2), lost(2, shift=1e-3)
    assert epochs([a, a, b, b, a]) == [0, 2, 4]
    assert change_points([a] * 30) == []
    assert change_points([a]) == change_points([]) == []


def test_two_states_are_told_apart_as_fishers_test_does():
    before, now = lost(1), lost(12)
    (point,) = change_points([before, before, now])
    # two measures, one split; the probability of so unequal a table or a rarer one under the margins (Fisher 1934)
    chances = hypergeom.pmf(np.arange(14), 40, 13, 20)
    fisher = chances[chances <= hypergeom.pmf(12, 40, 13, 20) * (1 + 1e-7)].sum()
    assert (point.at, point.failures, point.seeds) == (2, (1, 12), (20, 20))
    assert point.p <= 2 * fisher * (1 + 1e-9)
    assert point.measure in ("failure rate", "score")
    assert "failures 1 of 20 to 12 of 20" in point.words


def jittered(count, rng, seeds=20):
    """A state in which so many seeds fail, its scores in bits other than those of any other state."""
    order = rng.permutation(seeds)
    return state([order[s] < count for s in range(seeds)],
                 [0.0 if order[s] < count else 0.9 - 1e-3 * rng.random() for s in range(seeds)])  # fmt: skip


def test_a_change_there_and_back_is_two_points_where_it_lasts():
    rng = np.random.default_rng(0)
    history = [jittered(count, rng) for count in (1, 0, 2, 1, 15, 14, 16, 15, 1, 0, 1, 2)]
    assert [point.at for point in change_points(history)] == [4, 8]
    points = change_points(history)
    assert [point.failures for point in points] == [(4, 60), (60, 4)]
    assert [point.seeds for point in points] == [(80, 80), (80, 80)]


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_jump_of_the_failure_rate_is_found_where_it_is(at, seed):
    rng = np.random.default_rng(seed)
    history = [jittered(1 if place < at else 18, rng) for place in range(5)]
    assert [point.at for point in change_points(history)] == [at]


def alarms(draw, histories, states=8):
    return sum(bool(change_points([draw() for _ in range(states)])) for _ in range(histories))


def bound(histories):
    """The most alarms that 5 % explain at a probability of 1 in 10 000."""
    return int(binom.ppf(0.9999, histories, 0.05))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_false_alarms_of_scripted_histories(rate):
    rng = np.random.default_rng(7)
    count = 24

    def draw():
        failed = rng.random(20) < rate
        return state(failed, np.where(failed, 0.0, rng.uniform(0.7, 1.0, 20)))

    assert alarms(draw, count, 5) <= bound(count)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("hard", [0.0, 0.5])
@pytest.mark.parametrize("states", [2, 8])
def test_false_alarms_of_many_scripted_histories(rate, hard, states, capsys):
    # hard: a share of the seeds whose failure is the seed's own, the same in every state
    rng = np.random.default_rng([int(100 * rate), int(10 * hard), states])
    count, found = 200, 0
    for _ in range(count):
        own, fixed = rng.random(20) < rate, rng.random(20) < hard

        def draw(own=own, fixed=fixed):
            failed = np.where(fixed, own, rng.random(20) < rate)
            return state(failed, np.where(failed, 0.0, rng.uniform(0.7, 1.0, 20)))

        found += alarms(draw, 1, states)
    with capsys.disabled():
        print(f"{rate} {hard} {states}: {found} of {count}")
    assert found <= bound(count)
