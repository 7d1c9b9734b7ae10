"""Comparisons of studies and variants against closed forms, and what they say where little can be said."""

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import ganbench
from ganbench.analysis import comparison
from ganbench.analysis.comparison import COLUMNS, PAIRS, boschloo, compare_studies, compare_variants, mcnemar
from ganbench.analysis.gate import holm
from ganbench.analysis.scores import scores
from ganbench.analysis.statistics import bootstrap_difference, iqm, newcombe, pair_correlation
from ganbench.errors import UserError
from ganbench.plan import Plan, Variant


def variant(loss: str, **other: Any) -> Variant:
    settings: dict[str, Any] = {
        "problem": "ring8", "network": "mlp", "loss": loss, "normalization": "none", "g_normalization": "none",
        "regularizer": "none", "optimizer": "adam", "latent": "gaussian", "steps": 4000, "batch_size": 64,
        "critic_steps": 1, "latent_dim": 8, "hypers": (("optimizer.adam.lr", 0.001),),
    }  # fmt: skip
    return Variant(**(settings | other))


@pytest.fixture
def study_of(fake: Any, tmp_path: Any) -> Any:
    """Make a fake study with a plan from {variant: fates by seed}; seeds count from `first`."""

    def make(fates: dict[Variant, list[str]], first: int = 0, samples: int = 500) -> Any:
        runs = [(v, seed, fate) for v, of in fates.items() for seed, fate in enumerate(of, first)]
        given = [({"problem": v.problem, "loss": v.loss, "seed": seed}, fate) for v, seed, fate in runs]
        study = fake.study_of(given, tmp_path, axes=["loss"])
        study.runs["variant"] = [v.id for v, _, _ in runs]
        study.plan = Plan(
            name="fake", description="", variants=tuple(fates), skipped=(), seeds=(), probe_every=1, samples=samples,
            neighbours=32,
        )  # fmt: skip
        return study

    return make


def fates(failures: int, runs: int) -> list[str]:
    return ["collapsed"] * failures + ["converged"] * (runs - failures)


HINGE, MINIMAX, WASSERSTEIN = variant("hinge"), variant("minimax"), variant("wasserstein")


def test_exact_tests_equal_scipy() -> None:
    for a, b in (((6, 12), (1, 12)), ((0, 5), (5, 5)), ((1, 10), (2, 20)), ((3, 7), (3, 7))):
        table = [[a[0], b[0]], [a[1] - a[0], b[1] - b[0]]]
        assert boschloo(a, b) == boschloo(b, a) == pytest.approx(stats.boschloo_exact(table).pvalue, abs=1e-6)
    a, b = [True] * 7 + [False] * 5, [False] * 6 + [True] * 2 + [False] * 4
    # 6 failed only in a, 1 only in b: 2 * P(at most 1 of 7 coins)
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(2 * 8 / 2**7)
    assert mcnemar(a, a) == 1.0


def test_row_of_two_studies_with_other_seeds(study_of: Any) -> None:
    a, b = study_of({HINGE: fates(1, 12)}), study_of({HINGE: fates(8, 10)}, first=100)
    table = compare_studies(a, b)
    assert tuple(table.columns) == COLUMNS
    (row,) = table.to_dict("records")
    assert (row["problem"], row["label"], row["variant_a"], row["variant_b"]) == ("ring8", "hinge", HINGE.id, HINGE.id)
    assert [row[f"{what}_{side}"] for side in "ab" for what in ("failures", "seeds")] == [1, 12, 8, 10]
    assert row["difference"] == pytest.approx(1 / 12 - 8 / 10)
    assert (row["difference_low"], row["difference_high"]) == newcombe((1, 8), (12, 10))
    assert (row["pairs"], row["test"]) == (0, "Boschloo")
    assert row["p"] == row["adjusted"] == boschloo((1, 12), (8, 10)) < 0.05
    assert row["answer"] == "a better"
    assert row["changed"] == ""
    final = scores(b, ["high_quality", "modes_covered"]).pivot(index="run", columns="measure", values="final")
    assert row["quality_b"] == pytest.approx(final["high_quality"].median())
    assert row["covered_b"] == final["modes_covered"].median() == 1
    assert row["score_low"] <= row["score_difference"] <= row["score_high"]
    # a is all but one at 1; b is 8 of 10 at one mode of 8
    assert row["score_difference"] == pytest.approx(7 / 8, abs=0.05)


def test_the_other_way_round_is_the_mirror_image(study_of: Any) -> None:
    a, b = study_of({HINGE: fates(1, 12)}), study_of({HINGE: fates(8, 12)})
    (one,), (other,) = (compare_studies(*pair).to_dict("records") for pair in ((a, b), (b, a)))
    assert (one["answer"], other["answer"]) == ("a better", "b better")
    for name, low, high in (("difference",) * 3, ("score_difference", "score", "score")):
        assert one[name] == pytest.approx(-other[name])
        assert one[f"{low}_low"] == pytest.approx(-other[f"{high}_high"], abs=0.02)
    assert one["p"] == other["p"]


def test_shared_seeds_are_pairs(study_of: Any) -> None:
    few = [study_of({HINGE: of}) for of in (["collapsed"] * 3 + ["converged"] * 9, ["converged"] * 12)]
    (row,) = compare_studies(*few).to_dict("records")
    assert (row["pairs"], row["test"]) == (12, "Boschloo")
    many = [
        ["collapsed"] * 9 + ["converged"] * (PAIRS - 9),
        ["converged"] * 8 + ["collapsed"] + ["converged"] * (PAIRS - 9),
    ]
    (row,) = compare_studies(*(study_of({HINGE: of}) for of in many)).to_dict("records")
    failed = [np.array(of) == "collapsed" for of in many]
    assert (row["pairs"], row["test"]) == (PAIRS, "McNemar")
    assert row["p"] == pytest.approx(2 / 2**8)
    # one fails in both, 11 in neither, none in b alone: 11 less 20 / 2, over the root of 9 * 11 * 1 * 19
    phi = 1 / math.sqrt(9 * 11 * 19)
    assert pair_correlation(*failed) == pytest.approx(phi)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(newcombe((9, 1), (PAIRS, PAIRS), phi=phi))


def test_paired_interval_is_that_of_the_scores_by_seed(study_of: Any) -> None:
    study = study_of({HINGE: fates(3, 8), MINIMAX: list(reversed(fates(4, 8)))})
    results = comparison._Results(study).by_variant
    a, b = (results[v.id]["score"] for v in (HINGE, MINIMAX))
    assert a.index.tolist() == b.index.tolist() == list(range(8))
    assert (a[:3] < 0.2).all()
    assert (b[4:] < 0.2).all()
    (row,) = compare_variants(study, HINGE.id, MINIMAX.id, seed=3).to_dict("records")
    assert (row["score_low"], row["score_high"]) == bootstrap_difference(a, b, paired=True, seed=3)
    assert row["score_difference"] == pytest.approx(iqm(a) - iqm(b))
    assert row["label"] == "hinge against minimax"
    # all eight seeds fail in exactly one of the two, but for one: the correlation is negative and widens
    independent = newcombe((3, 4), (8, 8))
    assert row["difference_low"] < independent[0] < independent[1] < row["difference_high"]
    shuffled = compare_variants(study, HINGE.id, MINIMAX.id, seed=4).iloc[0]
    assert (shuffled["score_low"], shuffled["score_high"]) != (row["score_low"], row["score_high"])


def test_answers_are_corrected_for_the_number_of_rows(study_of: Any) -> None:
    # 1 of 10 against 6 of 10: p is below 5 % alone, and above among three
    alone = [study_of({HINGE: fates(k, 10)}, first) for k, first in ((1, 0), (6, 50))]
    assert compare_studies(*alone)["answer"].tolist() == ["a better"]
    rows = [{HINGE: fates(k, 10), MINIMAX: fates(3, 10), WASSERSTEIN: fates(0, 10)} for k in (1, 6)]
    table = compare_studies(study_of(rows[0]), study_of(rows[1], first=50))
    assert table["label"].tolist() == ["hinge", "minimax", "wasserstein"]
    assert table["p"].tolist() == [boschloo((1, 10), (6, 10)), 1.0, 1.0]
    assert table["adjusted"].tolist() == holm(table["p"].tolist(), [1.0] * 3)
    assert set(table["answer"]) == {"not distinguishable"}


def test_lost_runs_count_and_unfinished_ones_do_not(study_of: Any) -> None:
    a = study_of({HINGE: ["converged", "diverged", "failed", "pending", "running"], MINIMAX: ["pending"] * 5})
    b = study_of({HINGE: fates(0, 3), MINIMAX: fates(0, 5)})
    (row,) = compare_studies(a, b).to_dict("records")
    assert (row["failures_a"], row["seeds_a"], row["seeds_b"], row["pairs"]) == (2, 3, 3, 3)
    # a run without a generator scores 0 and stays in the median
    assert row["covered_a"] == 0
    with pytest.raises(UserError, match="has no finished run"):
        compare_variants(a, MINIMAX.id, HINGE.id)


def test_variants_match_by_settings_and_by_what_either_study_varies(study_of: Any) -> None:
    slow, fast = (variant("hinge", hypers=(("optimizer.adam.lr", lr),)) for lr in (0.001, 0.01))
    batch = variant("hinge", batch_size=128)
    sweep = study_of({slow: fates(0, 3), fast: fates(3, 3), batch: fates(1, 3)})
    table = compare_studies(sweep, study_of({fast: fates(0, 3)}))
    assert table["variant_a"].tolist() == [fast.id]
    # nobody varies the rate here: the same variant with another value, which is told
    table = compare_studies(study_of({slow: fates(0, 3)}), study_of({fast: fates(0, 3)}))
    assert table["changed"].tolist() == ["optimizer.adam.lr is 0.001 in a, 0.01 in b"]
    assert compare_studies(study_of({slow: fates(0, 3)}), study_of({batch: fates(0, 3)})).empty
    assert tuple(compare_studies(study_of({slow: fates(0, 3)}), study_of({batch: fates(0, 3)})).columns) == COLUMNS


def test_errors_name_what_is_wrong(study_of: Any) -> None:
    study = study_of({HINGE: fates(0, 3)})
    with pytest.raises(UserError, match=r"is measured with samples 500 and .* with 250: their scores cannot be"):
        compare_studies(study, study_of({HINGE: fates(0, 3)}, samples=250))
    with pytest.raises(UserError, match=f"Did you mean '{HINGE.id}'"):
        compare_variants(study, HINGE.id + "x", HINGE.id)


def test_variants_of_other_problems_are_not_paired(study_of: Any) -> None:
    grid = variant("hinge", problem="grid25")
    (row,) = compare_variants(study_of({HINGE: fates(0, 6), grid: fates(5, 6)}), HINGE.id, grid.id).to_dict("records")
    assert (row["problem"], row["pairs"], row["test"]) == ("ring8, grid25", 0, "Boschloo")


def test_a_trained_study_against_itself_is_not_distinguishable(tiny: list[str], tmp_path: Any) -> None:
    study = ganbench.run(None, [*tiny, "loss=hinge,wasserstein"], out=tmp_path / "one", workers=1)
    table = compare_studies(study, ganbench.load(study.path))
    assert table["label"].tolist() == ["hinge", "wasserstein"]
    assert set(table["answer"]) == {"not distinguishable"}
    assert (table[["difference", "score_difference", "score_low", "score_high"]] == 0).all(axis=None)
    assert (table["pairs"] == 2).all()
    assert not math.isnan(table["quality_a"].iloc[0])


# ---------------------------------------------------------------------------------------------- which test, and when


def found_share(pairs: int, p: float, q: float, phi: float) -> list[float]:
    """Return the exact chances that McNemar's and Boschloo's tests tell p from q at 5 %, for correlated pairs."""
    both = p * q + phi * math.sqrt(p * (1 - p) * q * (1 - q))
    cells = [both, p - both, q - both, 1 - p - q + both]
    outcomes = [(*c, pairs - sum(c)) for c in product(range(pairs + 1), repeat=3) if sum(c) <= pairs]
    chances = stats.multinomial.pmf(outcomes, pairs, cells)
    shares = np.zeros(2)
    for counts, chance in zip(outcomes, chances, strict=True):
        a, b = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], counts, axis=0).T
        shares += chance * np.array([mcnemar(a, b) <= 0.05, boschloo((a.sum(), pairs), (b.sum(), pairs)) <= 0.05])
    return shares.tolist()


CASES = {"20 and 70 %, correlation 0": (0.2, 0.7, 0.0), "20 and 70 %, correlation 0.3": (0.2, 0.7, 0.3)}
EQUAL = {"50 and 50 %, correlation 0": (0.5, 0.5, 0.0), "50 and 50 %, correlation -0.3": (0.5, 0.5, -0.3)}


@pytest.mark.parametrize("pairs", [5, 10, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES | EQUAL)
def test_power_is_as_documented(case: str, pairs: int) -> None:
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {re.escape(case)} \|(.+)\|$", text, flags=re.MULTILINE)
    at = 2 * (5, 10, 20).index(pairs)
    expected = [float(number) / 100 for number in re.findall(r"[\d.]+", row)[at : at + 2]]
    found = found_share(pairs, *(CASES | EQUAL)[case])
    print(case, pairs, [f"{100 * share:.1f}" for share in found])
    assert found == pytest.approx(expected, abs=0.00051)
