"""Judging claims: every number derived by hand, or by counting in plain Python, on small tables."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.analysis.claims import COLUMNS, SUPPORTED, _Result, _verdict, judge_claims, sentences
from ganbench.analysis.gate import holm
from ganbench.analysis.inference import rate_over_seeds
from ganbench.analysis.statistics import difference_of_rates, pair_correlation
from ganbench.claims import Claim, Pairs

ONE = Claim(
    name="one", says="It helps.", source="Somebody 2020", treatment="trick x", control="trick none", measure="survived",
    of="", reaches=0.0, log=False, expected="higher", margin=0.1, number=None, published="", explained="",
    pairs=(Pairs(("t",), ("c",)),),
)  # fmt: skip


def study_of(table, *claims, status=None, curves=None, column="high_quality"):
    """A study whose runs are given by variant: the numbers of its seeds, which are what a run ends with."""
    runs, series = [], []
    for variant, numbers in table.items():
        for seed, number in enumerate(numbers):
            run = f"{variant}-{seed}"
            ended = (status or {}).get(run, "done")
            runs.append({"run": run, "variant": variant, "seed": seed, "status": ended, "steps": 100, "problem": "p"})
            curve = curves[variant] if curves else [0.0, number]
            steps = range(0, 101, 100 // (len(curve) - 1))
            series += [{"run": run, "step": k, column: value} for k, value in zip(steps, curve, strict=True)]
    return SimpleNamespace(
        runs=pd.DataFrame(runs).astype({"seed": "Int64"}), series=pd.DataFrame(series), claims=list(claims), oracle={},
        measures=registry.measures(),
    )  # fmt: skip


def verdicts_of(study, survived):
    """What `judge` would say: runs survive where the table has a 1."""
    rows = [
        (f"{variant}-{seed}", "converged" if good else "late collapse", not good, False)
        for variant, numbers in survived.items()
        for seed, good in enumerate(numbers)
    ]
    return pd.DataFrame(rows, columns=["run", "verdict", "failed", "undecided"])


def judged_rates(table, *claims):
    study = study_of(table, *claims)
    return judge_claims(study, verdicts_of(study, table))


def judged_scores(table, *claims, **more):
    study = study_of(table, *claims, **more)
    return judge_claims(study, verdicts_of(study, {}))


def counted(gaps):
    """The share of all changes of sign that give a sum as far from 0, in plain Python."""
    found = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(gaps))
    ]
    return sum(one >= abs(sum(gaps)) - 1e-9 for one in found) / len(found)


def test_a_rate_that_all_pairs_agree_on_is_supported():
    row = judged_rates({"t": [1] * 6, "c": [0] * 6}, ONE).iloc[0]
    assert (row["verdict"], row["why"]) == (SUPPORTED, "an effect, estimated beyond the margin")
    assert (row["treated"], row["controlled"], row["effect"]) == (1, 0, 1)
    assert (row["settings"], row["seeds"], row["runs"]) == (1, 6, 12)
    assert row["p"] == pytest.approx(2 / 2**6)  # McNemar: six pairs of one kind
    assert row["adjusted"] == row["p"]
    # Wilson's of 6 of 6: from 1 / (1 + z^2 / 6) on; of 0 of 6 to its complement
    reach = 1.959964**2 / 6 / (1 + 1.959964**2 / 6)
    assert (row["low"], row["high"]) == (pytest.approx(1 - math.hypot(reach, reach), abs=1e-6), 1)


def test_five_seeds_decide_nothing_and_it_says_so():
    row = judged_rates({"t": [1] * 5, "c": [0] * 5}, ONE).iloc[0]
    assert row["p"] == 2 / 2**5
    assert row["verdict"] == "not decided"
    assert row["why"].startswith("5 seeds are too few")


def test_claims_of_one_page_are_corrected_for_their_number():
    two = replace(ONE, name="two", pairs=(Pairs(("c",), ("t",)),), expected="lower")
    table = judged_rates(
        {"t": [1] * 6, "c": [0] * 6}, ONE, two, replace(ONE, name="none", pairs=(Pairs(("c",), ("d",)),))
    )
    assert table["p"].tolist()[:2] == [0.03125, 0.03125]
    assert table["p"].iloc[2] == 1.0  # nothing is known of d
    # Holm: three times the smallest, and two times the next, which is not below
    assert table["adjusted"].tolist() == [pytest.approx(0.09375)] * 2 + [1.0]
    assert set(table["verdict"]) == {"not decided"}
    assert list(table.columns) == list(COLUMNS)


@pytest.mark.parametrize(("expected", "verdict", "why"), [
    ("higher", "supported", "an effect, estimated beyond the margin"), ("lower", "refuted", "the opposite"),
    ("same", "refuted", "an effect, estimated beyond the margin"),
])  # fmt: skip
def test_the_direction_is_that_of_the_claim(expected, verdict, why):
    claim = replace(ONE, measure="final", of="high_quality", expected=expected)
    row = judged_scores({"t": [0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7], "c": [0.2] * 7}, claim).iloc[0]
    assert (row["verdict"], row["why"]) == (verdict, why)
    assert row["effect"] == pytest.approx(4.4 / 7 - 0.2)


GAPS = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.25]


@pytest.mark.parametrize(("margin", "expected", "tested", "verdict"), [
    (0.1, "higher", 0.0, "supported"), (0.2, "higher", 0.0, "supported"), (0.4, "higher", 0.4, "refuted"),
    (0.25, "higher", 0.25, "not decided"), (0.4, "same", 0.4, "supported"), (0.25, "same", 0.25, "not decided"),
    (0.1, "same", 0.0, "refuted"), (0.1, "lower", -0.1, "refuted"),
])  # fmt: skip
def test_the_test_is_of_what_the_estimate_allows(margin, expected, tested, verdict):
    claim = replace(ONE, measure="final", of="high_quality", margin=margin, expected=expected)
    row = judged_scores({"t": [0.4 + gap for gap in GAPS], "c": [0.4] * 7}, claim).iloc[0]
    assert row["p"] == pytest.approx(counted([gap - tested for gap in GAPS]))
    assert row["verdict"] == verdict


def test_settings_are_averaged_before_seeds_are_compared():
    claim = replace(ONE, measure="final", of="high_quality", pairs=(Pairs(("t", "u"), ("c",)), Pairs(("v",), ("d",))))
    table = {"t": [0.5, 0.7], "u": [0.7, 0.7], "c": [0.1, 0.2], "v": [0.9, 0.4], "d": [0.5, 0.5]}
    row = judged_scores(table, claim).iloc[0]
    # by seed: ((.6 - .1) + (.9 - .5)) / 2 and ((.7 - .2) + (.4 - .5)) / 2; of two seeds the range
    assert (row["low"], row["high"]) == (pytest.approx(0.2), pytest.approx(0.45))
    assert row["effect"] == pytest.approx(0.325)
    assert (row["treated"], row["controlled"]) == (pytest.approx(0.65), pytest.approx(0.325))
    assert (row["settings"], row["seeds"], row["runs"]) == (2, 2, 10)
    assert row["variants"] == ["t", "u", "v", "c", "d"]


def test_a_number_stands_for_a_control():
    claim = replace(ONE, measure="final", of="high_quality", number=0.5, control="", expected="same", margin=0.2,
                    pairs=(Pairs(("t",)),))  # fmt: skip
    numbers = [0.5, 0.55, 0.6, 0.45, 0.5, 0.6, 0.55]
    row = judged_scores({"t": numbers}, claim).iloc[0]
    assert (row["control"], row["controlled"]) == ("0.5", 0.5)
    assert row["p"] == pytest.approx(max(counted([n - 0.5 - m for n in numbers]) for m in (0.2, -0.2)))
    assert row["verdict"] == "supported"
    # a rate against a number: the interval of new seeds, less the number
    rate = replace(claim, measure="failed", expected="lower", number=0.9)
    survived = [1, 1, 1, 1, 0, 1, 1]
    row = judged_rates({"t": survived}, rate).iloc[0]
    low, high = rate_over_seeds([not one for one in survived], range(7))
    assert (row["low"], row["high"]) == (pytest.approx(low - 0.9), pytest.approx(high - 0.9))
    assert row["verdict"] == "supported"


def test_rates_are_told_from_a_margin_where_the_interval_ends_at_it():
    rng = np.random.default_rng(0)
    table = {"t": rng.integers(0, 2, 40).tolist(), "c": rng.integers(0, 2, 40).tolist()}
    row = judged_rates(table, replace(ONE, margin=0.35)).iloc[0]
    assert row["effect"] < 0.35
    rates = [(table[side], np.mean(table[side])) for side in "tc"]
    ends = [rate_over_seeds(values, range(40), 1 - row["p"]) for values, _ in rates]
    phi = pair_correlation(*(np.array(values) == 1 for values, _ in rates))
    low, high = difference_of_rates((rates[0][1], rates[1][1]), tuple(ends), phi)
    assert 0.35 in (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


@pytest.mark.parametrize(("measure", "of", "curve", "expected", "log"), [
    ("final", "high_quality", [0.9, 0.2, 0.6, 0.5, 0.4], 0.4, False),
    ("best", "high_quality", [0.9, 0.2, 0.6, 0.5, 0.4], 0.6, False),  # the probe before the first step is no score
    ("worst_after_best", "high_quality", [0.9, 0.2, 0.6, 0.3, 0.4], 0.3, False),
    ("below_best", "high_quality", [0.9, 0.2, 0.6, 0.5, 0.4], 0.2, False),
    ("below_best", "frechet", [9.0, 3.0, 1.0, 2.0, 2.5], 1.5, False),
    ("mean", "high_quality", [0.0, 0.2, 0.4, 0.6, 0.8], 0.5, False),  # trapezoids over steps 25 to 100
    ("change", "g_gradient_norm", [2.0, 1.0, 0.5, 0.2, 0.02], -2.0, True),
    ("change", "g_gradient_norm", [2.0, 1.0, 0.5, 0.2, 0.5], -1.5, False),
    ("final", "g_gradient_norm", [2.0, 1.0, 0.5, 0.2, 0.01], -2.0, True),
    ("time_to", "high_quality", [0.9, 0.2, 0.6, 0.5, 0.4], 50, False),
    ("time_to", "high_quality", [0.9, 0.2, 0.4, 0.4, 0.4], 100, False),  # never: all its steps
])  # fmt: skip
def test_what_is_measured_of_a_run(measure, of, curve, expected, log):
    claim = replace(ONE, measure=measure, of=of, log=log, reaches=0.5, number=0.0, pairs=(Pairs(("t",)),))
    row = judged_scores({"t": [0, 0]}, claim, curves={"t": curve}, column=of).iloc[0]
    assert row["treated"] == pytest.approx(expected)


def test_the_correlation_of_a_loss_with_quality():
    claim = replace(ONE, measure="correlation", of="d_loss", number=0.0, pairs=(Pairs(("t",)),))
    study = study_of({"t": [0, 0]}, claim, curves={"t": [0.1, 0.2, 0.3, 0.5, 0.4]})
    study.series["modes_covered"], study.series["d_loss"] = 8.0, [5.0, 4.0, 3.0, 1.0, 2.0] * 2
    assert judge_claims(study, verdicts_of(study, {})).iloc[0]["treated"] == pytest.approx(-1)


def test_verdicts_of_a_run_by_name():
    claim = replace(ONE, measure="verdict", of="collapsed+late_collapse", expected="lower")
    row = judged_rates({"t": [1] * 7, "c": [0] * 7}, claim).iloc[0]  # those that do not survive collapse late
    assert (row["treated"], row["controlled"], row["verdict"]) == (0, 1, "supported")


def test_runs_that_have_not_ended_leave_their_seed_out_and_the_claim_open():
    claim = replace(ONE, measure="final", of="high_quality")
    table = {"t": [0.9] * 8, "c": [0.1] * 8}
    row = judged_scores(table, claim, status={"c-3": "running", "t-5": "pending"}).iloc[0]
    assert (row["seeds"], row["effect"]) == (6, pytest.approx(0.8))
    assert (row["verdict"], row["why"]) == ("not decided", "2 of its runs have not ended")
    row = judged_scores(table, claim, status={f"t-{seed}": "pending" for seed in range(8)}).iloc[0]
    assert (row["seeds"], row["verdict"]) == (0, "not decided")


def test_runs_without_a_number_leave_the_claim_open():
    claim = replace(ONE, measure="final", of="frechet", expected="lower")
    row = judged_scores({"t": [0.1] * 8, "c": [0.9] * 8}, claim, status={"c-2": "diverged"}, column="frechet").iloc[0]
    # a distance has no worst value: neither a mean nor a difference is left
    assert row["why"] == "1 of 8 comparisons have no finite value"
    assert math.isnan(row["effect"])
    assert row["p"] == 1.0
    # a share has one: the run that is lost counts with it
    claim = replace(claim, of="high_quality", expected="higher")
    assert judged_scores({"t": [0.8] * 8, "c": [0.4] * 8}, claim, status={"c-2": "diverged"}).iloc[0][
        "controlled"
    ] == pytest.approx(0.35)
    assert judged_scores({"t": [0.8] * 8, "c": [0.4] * 8}, replace(claim, of="recall")).iloc[0]["seeds"] == 8


@pytest.mark.parametrize(("survived", "told"), [(1, "all"), (0, "none")])
def test_settings_at_which_all_runs_end_alike_decide_nothing(survived, told):
    claim = replace(ONE, expected="same", margin=0.3)
    row = judged_rates({"t": [survived] * 40, "c": [survived] * 40}, claim).iloc[0]
    assert row["verdict"] == "not decided"
    assert row["why"] == f"{told} of its runs do, so that these settings show no difference"
    # one that differs is enough for them to tell
    row = judged_rates({"t": [survived] * 40, "c": [survived] * 39 + [1 - survived]}, claim).iloc[0]
    assert row["verdict"] == "supported"


def test_without_claims_there_is_nothing_to_say():
    table = judged_scores({"t": [0.1]})
    assert table.empty
    assert sentences(table) == []


def test_the_sentence_names_what_is_decided():
    table = judged_rates({"t": [1] * 7, "c": [0] * 7}, ONE, replace(ONE, name="two", expected="lower"))
    (text,) = sentences(table)
    assert text.startswith("Claims on trial, 2: 1 supported (one); 1 refuted (two); 0 not decided.")


# ---- how often it is wrong


@settings(deadline=None, max_examples=12)
@given(st.lists(st.floats(0.01, 1), min_size=6, max_size=7), st.sampled_from([0.0, 0.3]))
def test_over_all_signs_of_a_null_effect_at_most_5_percent_are_decided(sizes, value):
    """Exactly: whatever the sizes, at most 5 % of the 2^n draws that an effect gives alike are told from it."""
    claim = replace(ONE, measure="final", of="high_quality", margin=0.3)
    index = pd.MultiIndex.from_product([[0], range(len(sizes))], names=["setting", "seed"])
    result, told = _Result(pd.DataFrame({"treated": sizes, "controlled": 0.0}, index=index), claim), 0
    for signs in itertools.product((1, -1), repeat=len(sizes)):
        result.gaps = np.array(signs) * sizes + value
        told += result._told_from(value) <= 0.05
    assert told <= 0.05 * 2 ** len(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 12])
@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_rates_without_an_effect_or_with_one_of_the_margin_are_rarely_decided_wrongly(seeds, effect):
    """Four settings of unequal rates, seeds of unequal difficulty: a null effect supported, the margin refuted."""
    rng, wrong, draws = np.random.default_rng(seeds), 0, 600
    index = pd.MultiIndex.from_product([range(4), range(seeds)], names=["setting", "seed"])
    claim = replace(ONE, pairs=tuple(Pairs((f"t{i}",), (f"c{i}",)) for i in range(4)))
    for _ in range(draws):
        rates = np.clip(np.array([0.15, 0.4, 0.6, 0.8])[:, None] + rng.normal(0, 0.1, seeds), 0, 0.9)
        sides = {"treated": rng.random((4, seeds)) < rates + effect, "controlled": rng.random((4, seeds)) < rates}
        result = _Result(pd.DataFrame({key: of.astype(float).ravel() for key, of in sides.items()}, index=index), claim)
        supported = result.effect >= claim.margin
        wrong += result.p() <= 0.05 and supported is (effect == 0.0)
    print(f"{seeds} seeds, effect {effect}: {wrong} of {draws} decided wrongly")
    # three standard errors of 5 % over so many draws
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 0.2, 1.0])
def test_over_a_page_of_claims_at_most_5_percent_have_a_wrong_verdict(effect):
    """Ten claims on scores with 12 seeds each: five have no effect, five none, one of the margin, or one far above."""
    rng, wrong, draws = np.random.default_rng(3), 0, 400
    index = pd.MultiIndex.from_product([[0], range(12)], names=["setting", "seed"])
    claim = replace(ONE, measure="final", of="high_quality", margin=0.2)
    for _ in range(draws):
        page = []
        for real in (*[effect] * 5, *[0.0] * 5):
            sides = {"treated": rng.normal(real, 0.2, 12), "controlled": rng.normal(0, 0.2, 12)}
            page.append(_Result(pd.DataFrame(sides, index=index), claim))
        adjusted = holm([result.p() for result in page], [1.0] * 10)
        row = {"why": "", "expected": "higher", "margin": 0.2, "seeds": 12, "low": 0.0, "high": 0.0}
        told = [_verdict({**row, "effect": r.effect, "adjusted": p})[0] for r, p in zip(page, adjusted, strict=True)]
        false = ["refuted" if effect else "supported"] * 5 + ["supported"] * 5
        wrong += any(got == bad for got, bad in zip(told, false, strict=True))
    print(f"effect {effect}: {wrong} of {draws} pages have a wrong verdict")
    # three standard errors of 5 % over so many draws
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
