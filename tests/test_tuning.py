"""The key `tuning`: linked settings and random search, from a suite to a plan and back."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.suite import resolve
from ganbench.tuning import settings_of, tuned

G, D = "optimizer.adam.g_lr", "optimizer.adam.d_lr"
LINKED = [{G: 5e-4, D: 2e-3}, {G: 2e-3, D: 2e-3}, {G: 2e-3, D: 8e-3}]


def plan_of(tmp_path, overrides=(), **keys):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"loss": ["hinge", "minimax"], "seeds": 2, **keys}, sort_keys=False))
    return resolve(file, overrides)


def rates(plan):
    return sorted((dict(v.hypers)[G], dict(v.hypers)[D]) for v in plan.variants if v.loss == "hinge")


def test_linked_settings_go_together(tmp_path):
    plan = plan_of(tmp_path, tuning=LINKED)
    assert len(plan.variants) == 6  # 2 losses x 3 settings, where lists would give 2 x 2 x 3
    assert rates(plan) == sorted((one[G], one[D]) for one in LINKED)
    assert plan.tuned == (G, D)


def test_a_plan_with_settings_reads_back(tmp_path):
    plan = plan_of(tmp_path, tuning=LINKED)
    again = Plan.from_dict(plan.to_dict())
    assert again.tuned == (G, D)
    assert again.hash == plan.hash
    assert again.variants == plan.variants


def test_without_settings_a_plan_is_what_it_was(tmp_path):
    plain = plan_of(tmp_path)
    assert "tuned" not in plain.to_dict()
    assert plan_of(tmp_path, tuning=[]).hash == plan_of(tmp_path, tuning=None).hash == plain.hash


def test_a_setting_that_is_the_same_everywhere_is_not_tuned(tmp_path):
    plan = plan_of(tmp_path, tuning=[{G: 1e-3, D: 1e-3}, {G: 1e-3, D: 4e-3}])
    assert plan.tuned == (D,)
    assert rates(plan) == [(1e-3, 1e-3), (1e-3, 4e-3)]


def test_what_the_command_says_holds_at_every_setting(tmp_path):
    plan = plan_of(tmp_path, [f"{G}=0.001"], tuning=LINKED)
    # two settings that are now the same one are trained once
    assert rates(plan) == [(1e-3, 2e-3), (1e-3, 8e-3)]
    assert plan.tuned == (D,)


def test_settings_may_differ_by_problem(tmp_path):
    plan = plan_of(
        tmp_path, problem=["ring8", "line"], tuning=LINKED, per_problem={"line": {"tuning": [{D: 1e-2}, {D: 2e-2}]}}
    )
    counts = {name: sum(v.problem == name for v in plan.variants) for name in ("ring8", "line")}
    assert counts == {"ring8": 6, "line": 4}
    assert plan.tuned == (G, D)


def test_a_setting_may_change_an_axis(tmp_path):
    plan = plan_of(tmp_path, tuning=[{"critic_steps": 1}, {"critic_steps": 5}])
    assert {v.critic_steps for v in plan.variants} == {1, 5}
    assert plan.tuned == ("critic_steps",)


def test_a_random_search_is_the_same_at_every_reading_and_another_for_another_seed():
    search = {"trials": 20, G: {"from": 1e-4, "to": 1e-1}, "critic_steps": [1, 2, 5]}
    assert settings_of(search) == settings_of(dict(search))
    assert settings_of(search) != settings_of({**search, "seed": 1})


def test_a_key_that_is_added_moves_no_other_and_more_trials_go_on():
    search = {"trials": 6, G: {"from": 1e-4, "to": 1e-1}}
    more = settings_of({**search, "trials": 9, D: {"from": 1e-4, "to": 1e-1}})
    assert [one[G] for one in more[:6]] == [one[G] for one in settings_of(search)]


def test_the_logarithm_of_a_rate_is_uniform_and_whole_numbers_are_equally_likely_where_linear():
    drawn = settings_of(
        {"trials": 1000, G: {"from": 1e-4, "to": 1e-1}, "critic_steps": {"from": 1, "to": 4, "scale": "linear"}}
    )
    logs = [math.log10(one[G]) for one in drawn]
    # thirds of a uniform law hold 333 of 1000 each, with a standard deviation of 15
    for low in (-4, -3, -2):
        assert abs(sum(low <= x < low + 1 for x in logs) - 1000 / 3) < 75
    for number in (1, 2, 3, 4):  # 250 each, standard deviation 14
        assert abs(sum(one["critic_steps"] == number for one in drawn) - 250) < 70


@given(st.floats(1e-6, 1.0), st.floats(1.01, 1e4), st.sampled_from(["log", "linear"]), st.integers(1, 30))
def test_what_is_drawn_lies_in_its_range(low, factor, scale, trials):
    drawn = settings_of({"trials": trials, G: {"from": low, "to": low * factor, "scale": scale}})
    assert len(drawn) == trials
    for one in drawn:
        # three digits are kept
        assert low * 0.995 <= one[G] <= low * factor * 1.005


@given(st.integers(1, 100), st.integers(1, 100), st.sampled_from(["log", "linear"]))
def test_whole_ranges_give_whole_numbers(low, width, scale):
    for one in settings_of({"trials": 20, "batch_size": {"from": low, "to": low + width, "scale": scale}}):
        assert isinstance(one["batch_size"], int)
        assert low <= one["batch_size"] <= low + width


def test_what_differs_is_found():
    assert tuned([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 0}]) == ["b", "c"]
    assert tuned([]) == []
    assert tuned([{"a": 1}]) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3, "The key 'tuning' takes a list of settings"),
        ([1], "The key 'tuning' takes a list of settings"),
        ([{}], "The key 'tuning' takes a list of settings"),
        ({G: {"from": 1e-4, "to": 1e-1}}, "needs 'trials', a whole number of at least 1; got None"),
        ({"trials": True, G: [1.0]}, "needs 'trials'"),
        ({"trials": 2}, "needs the keys that it is to draw"),
        ({"trials": 2, "seed": -1, G: [1e-3]}, "needs 'seed', a whole number of at least 0"),
        ({"trials": 2, G: 1e-3}, "from a list of values or from {from: LOW, to: HIGH}"),
        ({"trials": 2, G: {"from": 0, "to": 1}}, "from a number above 0"),
        ({"trials": 2, G: {"from": 2, "to": 1, "scale": "linear"}}, "to a larger one"),
        ({"trials": 2, G: {"from": "a", "to": 1}}, "from a number to a number"),
        ({"trials": 2, G: {"from": 1, "to": 2, "scale": "lin"}}, "Did you mean 'linear'?"),
        ({"trials": 2, G: {"from": 1, "to": 2, "sale": "log"}}, "Did you mean 'scale'?"),
        ({"trials": 100_000, G: [1e-3]}, "at most 1000"),
        ([{D: [1e-3, 2e-3]}], "has one value a key"),
        ([{"steps": 100}], "The key 'steps' is no setting to tune"),
        ([{"problem": "line"}], "The key 'problem' is no setting to tune"),
        ([{"samples": 100}, {"samples": 200}], "not for a setting of 'tuning'"),
        ([{"optimizer.adam.dlr": 1e-3}], "Did you mean 'd_lr'?"),
        ([{"critic_step": 2}], "Did you mean 'critic_steps'?"),
        ([{"optimizer.sgd.d_lr": 0.1}, {"optimizer.sgd.d_lr": 0.2}], "changes nothing"),
    ],
)
def test_what_does_not_read_is_one_sentence(tmp_path, value, told):
    with pytest.raises(UserError) as caught:
        plan_of(tmp_path, tuning=value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
