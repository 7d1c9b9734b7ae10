"""Robustness to settings: shares with their intervals, the set that may be best, and the best of so many trials."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ganbench
from ganbench.analysis import robustness as analysed
from ganbench.analysis.inference import may_be_best_matched
from ganbench.analysis.robustness import best_of, method_axes, robustness, runs_by_method
from ganbench.analysis.seeds import final_scores
from ganbench.results.study import Study

tables = st.integers(1, 6).flatmap(
    lambda settings: st.integers(1, 4).flatmap(
        lambda seeds: st.lists(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=seeds, max_size=seeds),
            min_size=settings,
            max_size=settings,
        )
    )
)


def by_hand(scores, k, seed):
    """All choices of k settings, one after another: what the chosen one scored, and what it is worth on other seeds."""
    seen, new = [], []
    for chosen in itertools.combinations(range(len(scores)), k):
        top = max(scores[i][seed] for i in chosen)
        # those that score the same as the top anywhere are interchangeable: the draw among equals is fair
        equals = [i for i in range(len(scores)) if scores[i][seed] == top]
        others = [sum(v for s, v in enumerate(scores[i]) if s != seed) for i in equals]
        seen.append(top)
        rest = len(scores[0]) - 1
        new.append(np.mean(others) / rest if rest else np.nan)
    return np.mean(seen), np.mean(new)


@given(tables)
def test_the_best_of_k_is_the_mean_over_all_choices(scores):
    found, seeds = best_of(scores), len(scores[0])
    for k in range(1, len(scores) + 1):
        each = [by_hand(scores, k, seed) for seed in range(seeds)]
        assert found.seen[k - 1] == pytest.approx(np.mean([one for one, _ in each]))
        news = [one for _, one in each]
        assert found.new[k - 1] == pytest.approx(np.mean(news), nan_ok=True)
        assert found.low[k - 1] == pytest.approx(np.min(news), nan_ok=True)
        assert found.high[k - 1] == pytest.approx(np.max(news), nan_ok=True)


@given(tables)
def test_more_trials_never_look_worse_and_one_trial_is_the_mean(scores):
    found = best_of(scores)
    assert (np.diff(found.seen) >= -1e-9).all()
    assert found.seen[0] == pytest.approx(np.mean(scores))
    assert found.seen[-1] == pytest.approx(np.max(scores, axis=0).mean())


def test_the_best_of_pure_luck_is_worth_the_mean():
    scores = np.random.default_rng(0).random((40, 3))
    found = best_of(scores)
    # the best of 20 uniform numbers is 20/21; what it is worth on other seeds has a standard error of about .05
    assert found.seen[19] == pytest.approx(20 / 21, abs=0.03)
    assert found.new[19] == pytest.approx(0.5, abs=0.2)


def test_a_method_that_is_better_at_every_setting_is_told_apart_with_enough_settings():
    few = np.array([[1.0] * 4, [0.0] * 4])
    assert may_be_best_matched(few).all()  # 1 of 2^4 changes of sign leads as far: 6 %
    assert may_be_best_matched(np.array([[1.0] * 5, [0.0] * 5])).tolist() == [True, False]
    # two that are worse alike: a change of all signs at once turns both leads
    assert may_be_best_matched(np.array([[1.0] * 5, [0.0] * 5, [0.0] * 5])).tolist() == [True, False, False]


@given(st.integers(1, 5), st.integers(0, 20), st.integers(0, 10**6))
def test_the_method_with_the_highest_mean_may_always_be_the_best(methods, settings, seed):
    rates = np.random.default_rng(seed).choice([0.0, 1 / 3, 1.0], (methods, settings))
    keep = may_be_best_matched(rates)
    assert keep.shape == (methods,)
    if settings:
        assert keep[np.flatnonzero(rates.mean(1) == rates.mean(1).max())].all()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [6, 15, 30])
def test_the_set_holds_the_best_in_at_least_95_percent(settings):
    """20 methods over new settings: how often the one with the highest true share is left out."""
    rng, lost, draws = np.random.default_rng(settings), 0, 1000
    for _ in range(draws):
        easy = rng.normal(0, 1.5, settings)
        own = rng.normal(0, 1.0, (20, settings))  # by method and setting, mean 0: all methods are equally good
        rates = rng.binomial(3, 1 / (1 + np.exp(-(easy + own)))) / 3
        lost += not may_be_best_matched(rates)[0]
    # three standard errors of 5 % over 1000 draws
    assert lost / draws <= 0.05 + 0.021


@pytest.fixture(scope="module")
def tuned_study(tmp_path_factory):
    suite = tmp_path_factory.mktemp("tuned") / "tuned.yaml"
    suite.write_text(
        """
problem: ring8
loss: [nonsaturating, minimax]
network.mlp.width: 8
network.mlp.depth: 1
batch_size: 16
steps: 20
probe_every: 10
samples: 64
neighbours: 16
seeds: 3
tuning:
  - {optimizer.adam.g_lr: 1e-3, optimizer.adam.d_lr: 1e-3}
  - {optimizer.adam.g_lr: 1e-3, optimizer.adam.d_lr: 4e-3}
  - {optimizer.adam.g_lr: 4e-3, optimizer.adam.d_lr: 4e-3}
"""
    )
    return Study(ganbench.run(str(suite), out=suite.parent / "study", workers=1).path)


def test_methods_are_variants_without_their_settings(tuned_study):
    assert tuned_study.tuned == ["optimizer.adam.g_lr", "optimizer.adam.d_lr"]
    assert method_axes(tuned_study) == ["loss"]
    runs = runs_by_method(tuned_study)
    assert runs.groupby("method")["setting"].nunique().to_dict() == {"nonsaturating": 3, "minimax": 3}
    assert set(runs["setting"]) == {"g_lr=0.001, d_lr=0.001", "g_lr=0.001, d_lr=0.004", "g_lr=0.004, d_lr=0.004"}


def test_a_row_counts_settings_and_seeds(tuned_study):
    table, runs = robustness(tuned_study), runs_by_method(tuned_study)
    assert len(table) == 2
    for row in table.to_dict("records"):
        mine = runs[runs["method"] == row["method"]]
        assert (row["settings"], row["seeds"], row["runs"]) == (3, 3, 9)
        assert row["survived"] == mine["survived"].sum()
        assert row["seeds_low"] <= row["share"] <= row["seeds_high"]
        assert row["settings_low"] <= row["share"] <= row["settings_high"]
        assert row["every"] + row["never"] <= 3
        scores = mine["run"].map(final_scores(tuned_study)).groupby(mine["setting"]).mean()
        assert row["best_of"].seen.shape == (3,)
        assert row["best_of"].seen[0] == pytest.approx(scores.mean())
        assert scores[row["best_setting"]] == pytest.approx(scores.max())
    assert table["share"].is_monotonic_decreasing


def test_methods_that_have_one_setting_each_have_none(tuned_study, monkeypatch):
    """As in the study that confirms the leaders of another."""
    runs = runs_by_method(tuned_study)
    first = runs[runs["setting"] == "g_lr=0.001, d_lr=0.001"]
    monkeypatch.setattr(analysed, "runs_by_method", lambda *_: first)
    assert robustness(tuned_study).empty
    mixed = runs[(runs["setting"] == "g_lr=0.001, d_lr=0.001") | (runs["method"] == "minimax")]
    monkeypatch.setattr(analysed, "runs_by_method", lambda *_: mixed)
    assert sorted(robustness(tuned_study)["settings"]) == [1, 3]


def test_a_study_at_one_setting_has_none():
    assert robustness(SimpleNamespace(tuned=[])).empty
