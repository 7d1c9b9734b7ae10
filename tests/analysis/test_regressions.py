"""Which runs a regression names, seed by seed, on studies and baselines that are written by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest

from ganbench.analysis.gate import Comparison, Judgement
from ganbench.analysis.regressions import WorseRun, regressions
from ganbench.analysis.seeds import settings_of
from ganbench.results.baseline import Baseline, BaselineVariant, SeedResult
from ganbench.suite import resolve

PLAN = resolve(None, ["loss=hinge,minimax,wasserstein", "seeds=3"])
LABELS = ["ring8: hinge", "ring8: minimax", "ring8: wasserstein"]
ORACLE = {"ring8": {"high_quality": 1.0, "modes_covered": 8.0}}


def run(seed, score, failed=False, verdict="converged"):
    """One run: its score is its quality, with all of the modes."""
    return {"seed": seed, "score": score, "failed": failed, "undecided": False, "verdict": verdict}


def study(path, *of_variants):
    """A study with these runs of each variant of the plan, in the order given."""
    rows = [{**one, "run": f"{variant.id}-s{one['seed']}", "variant": variant.id, "problem": "ring8", "status": "done",
             "evidence": f"Evidence {one['seed']}."}
            for variant, runs in zip(PLAN.variants, of_variants, strict=False) for one in runs]  # fmt: skip
    series = pd.DataFrame({"run": [r["run"] for r in rows], "step": 1, "high_quality": [r["score"] for r in rows],
                           "modes_covered": 8.0})  # fmt: skip
    commands = {row["run"]: f"ganbench run {row['run']}" for row in rows if row["seed"] != 9}
    return SimpleNamespace(runs=pd.DataFrame(rows), series=series, oracle=ORACLE, plan=PLAN, path=path,
                           commands=commands)  # fmt: skip


def baseline(*labels, score=0.5, seeds=(0, 1, 2)):
    results = tuple(SeedResult(seed, "unconverged", False, score) for seed in seeds)
    variants = [BaselineVariant(label, settings_of(variant), dict(variant.hypers), results)
                for label, variant in zip(LABELS, PLAN.variants, strict=True) if label in labels]  # fmt: skip
    return Baseline("mine", {"samples": 1, "neighbours": 1}, (), tuple(variants))


def judged(*verdicts):
    """A judgement: (variant, verdict) of its comparisons."""
    numbers = {"baseline": 0.0, "candidate": 0.0, "counts": (3, 3), "worse": 0.0, "at_most": 0.0, "p": 1.0,
               "p_better": 1.0, "margin": 0.1}  # fmt: skip
    return Judgement(tuple(Comparison(name, "tail", verdict=verdict, **numbers) for name, verdict in verdicts), 3)


def found(judgement, known, *studies):
    return [(one.variant, [worse.seed for worse in one.runs]) for one in regressions(judgement, known, studies)]


def test_runs_that_failed_or_score_less_than_at_their_seed_are_named():
    one = study("here", [run(2, 0.4), run(0, 0.5), run(1, 0.9, failed=True, verdict="degraded"),
                         run(8, 0.1), run(9, 0.7, failed=True, verdict="collapsed")])  # fmt: skip
    (hinge,) = regressions(judged((LABELS[0], "regressed")), baseline(LABELS[0]), [one])
    # as good as before is not worse; a failure is, however high it scores; what is new is worse where it failed
    assert [worse.seed for worse in hinge.runs] == [1, 2, 9]
    name = PLAN.variants[0].id
    assert hinge.runs[0] == WorseRun(
        f"{name}-s1", 1, "degraded", True, 0.9, "Evidence 1.", "here", f"ganbench run {name}-s1", "unconverged", 0.5
    )
    assert hinge.runs[2] == WorseRun(f"{name}-s9", 9, "collapsed", True, 0.7, "Evidence 9.", "here", "", "", None)
    assert hinge.studies == ("here",)
    assert hinge.runs[0].sentence == "seed 1: degraded, score 0.90 (in the baseline unconverged, 0.50). Evidence 1."
    assert hinge.runs[2].sentence == "seed 9: collapsed, score 0.70 (not in the baseline). Evidence 9."
    bare = WorseRun("r", 1, "failed", True, 0.0, "", "here", "", "converged", 1.0)
    assert bare.sentence == "seed 1: failed, score 0.00 (in the baseline converged, 1.00)."


@pytest.mark.parametrize(("runs", "worst"), [
    ([run(0, 0.1), run(1, 0.4, failed=True)], 1), ([run(0, 0.4), run(1, 0.1), run(2, 0.2)], 1),
    ([run(2, 0.1), run(1, 0.1)], 1), ([run(0, 0.3, failed=True), run(1, 0.2, failed=True)], 1),
])  # fmt: skip
def test_the_worst_failed_then_scores_least_then_has_the_lowest_seed(runs, worst):
    (one,) = regressions(judged((LABELS[0], "regressed")), baseline(LABELS[0]), [study("here", runs)])
    assert one.worst.seed == worst


def test_studies_are_put_together_and_the_later_counts():
    first = study("first", [run(0, 0.1), run(1, 0.1)])
    later = study("later", [run(1, 0.2), run(2, 0.3)])
    (one,) = regressions(judged((LABELS[0], "regressed")), baseline(LABELS[0]), [first, later])
    assert [(worse.seed, worse.score, worse.study) for worse in one.runs] == [
        (0, 0.1, "first"), (1, 0.2, "later"), (2, 0.3, "later"),
    ]  # fmt: skip
    assert one.studies == ("first", "later")
    # one that has none of the variant's runs is passed over
    nothing = study("empty", [], [run(0, 0.1)])
    assert found(judged((LABELS[0], "regressed")), baseline(LABELS[0]), nothing, first) == [(LABELS[0], [0, 1])]


def test_variants_are_those_that_regressed_in_the_plans_order():
    bad = [run(0, 0.1)]
    three = study("here", bad, bad, bad)
    known = baseline(*LABELS)
    assert found(judged((LABELS[2], "regressed"), (LABELS[0], "regressed"), (LABELS[1], "pass")), known, three) == [
        (LABELS[0], [0]), (LABELS[2], [0]),
    ]  # fmt: skip
    # the pooled rate alone names all that were compared, and no others
    pooled = judged(("all 2 variants", "regressed"), (LABELS[0], "inconclusive"), (LABELS[2], "pass"))
    assert found(pooled, known, three) == [(LABELS[0], [0]), (LABELS[2], [0])]
    assert found(judged((LABELS[0], "pass"), (LABELS[1], "inconclusive")), known, three) == []
    # what the baseline does not have was not compared
    assert found(pooled, baseline(LABELS[2]), three) == [(LABELS[2], [0])]
    # a variant without a worse run is not named
    assert found(pooled, known, study("here", [run(0, 0.9)], bad, bad)) == [(LABELS[2], [0])]
