"""One score a run, and which variants of two studies are the same one: by hand on small tables."""

import importlib
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ganbench.analysis.seeds import (
    DamagedStudyError,
    complete,
    final_scores,
    freeze,
    identity,
    seed_results,
    settings_of,
    tables,
)
from ganbench.errors import UserError
from ganbench.identity import rules_digest
from ganbench.plan import axes
from ganbench.results.baseline import Baseline, BaselineVariant, IncompatibleBaselineError, SeedResult
from ganbench.suite import resolve

ORACLE = {
    "ring8": {"high_quality": 0.8, "modes_covered": 8.0},
    "line": {"precision": 0.5, "coverage": 0.9, "recall": 0.4},
}
# of whose sessions nothing is known
STORE = SimpleNamespace(sessions=list)


def study(*runs, plan=None):
    """A study of runs (id, problem, status, series); a series is a column's values a probe."""
    rows = [{"run": name, "problem": problem, "status": status, "variant": f"v-{name[0]}", "seed": int(name[1:]),
             "verdict": "converged", "failed": status != "done", "undecided": False}
            for name, problem, status, _ in runs]  # fmt: skip
    parts = [pd.DataFrame(series).assign(run=name, step=lambda t: range(len(t))) for name, *_, series in runs if series]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", "step"])
    return SimpleNamespace(
        runs=pd.DataFrame(rows), series=table, oracle=ORACLE, plan=plan, path="here", damage=[], store=STORE
    )


def test_the_score_is_the_last_probes_quality_times_its_modes_each_of_the_oracles():
    one = study(
        ("a0", "ring8", "done", {"high_quality": [0.8, 0.6], "modes_covered": [8.0, 4.0]}),
        ("a1", "ring8", "diverged", {"high_quality": [0.8, 0.8], "modes_covered": [8.0, 8.0]}),
        ("a2", "ring8", "failed", None),
        ("a3", "ring8", "pending", None),
        ("a4", "ring8", "done", {"high_quality": [0.1, 0.9], "modes_covered": [0.0, 9.0]}),
        ("b0", "line", "done", {"precision": [0.0, 0.25], "recall": [0.0, 0.3], "coverage": [0.0, 0.1]}),
        ("b1", "line", "done", {"precision": [0.5, float("nan")], "recall": [0.4, float("nan")]}),
    )
    scores = final_scores(one)
    # 0.6 / 0.8 x 4 / 8; a share is at most 1; without modes precision and recall count, coverage does not
    assert scores == {
        "a0": pytest.approx(0.375),
        "a1": 0.0,
        "a2": 0.0,
        "a4": 1.0,
        "b0": pytest.approx(0.375),
        "b1": 1.0,
    }
    assert list(scores) == ["a0", "a1", "a2", "a4", "b0", "b1"]


def test_a_run_without_a_measurement_scores_nothing():
    one = study(("a0", "ring8", "done", {"high_quality": [0.8]}), ("c0", "unknown", "done", {"d_loss": [1.0]}))
    assert final_scores(one) == {"a0": 0.0, "c0": 0.0}


def test_results_are_by_variant_over_all_studies_and_rounded():
    first = study(
        ("a0", "ring8", "done", {"high_quality": [0.8 / 3], "modes_covered": [8.0]}), ("a1", "ring8", "pending", None)
    )
    second = study(("a1", "ring8", "diverged", None), ("b0", "ring8", "failed", None))
    found = seed_results([first, second])
    assert found == {
        "v-a": [SeedResult(0, "converged", False, 0.333333), SeedResult(1, "converged", True, 0.0)],
        "v-b": [SeedResult(0, "converged", True, 0.0)],
    }


@pytest.mark.parametrize(
    ("status", "waiting"), [("pending", True), ("running", True), ("done", False), ("failed", False)]
)
def test_a_study_is_complete_without_runs_to_go(status, waiting):
    one = study(("a0", "ring8", "done", None), ("a1", "ring8", status, None))
    if waiting:
        with pytest.raises(UserError, match=r"^The study 'here' is not finished \(1 runs to go\): repeat its command"):
            complete([study(("a0", "ring8", "done", None)), one])
    else:
        complete([one])


# ------------------------------------------------------------------------------------------ which is which

PLAN = resolve(None, ["loss=hinge,minimax", "network.mlp.width=8,16", "seeds=2"])


def results(score):
    return tuple(SeedResult(seed, "converged", False, score) for seed in (0, 1))


def frozen(variants, swept=("network.mlp.width",), **changes):
    old = tuple(
        BaselineVariant(f"{v.loss} {dict(v.hypers)['network.mlp.width']}", settings_of(v), dict(v.hypers), results(0.5))
        for v in variants
    )
    measured = {"samples": PLAN.samples, "neighbours": PLAN.neighbours}
    source = {"rules": rules_digest(), **changes.pop("source", {})}
    return replace(Baseline("mine", measured, swept, old), source=source, **changes)


def trained(plan=PLAN):
    rows = [{"run": run.id, "problem": "ring8", "status": "done", "variant": run.variant.id, "seed": run.seed,
             "verdict": "converged", "failed": False, "undecided": False} for run in plan.runs]  # fmt: skip
    series = pd.DataFrame({"run": [row["run"] for row in rows], "step": 1, "high_quality": 0.8, "modes_covered": 8.0})
    return SimpleNamespace(runs=pd.DataFrame(rows), series=series, oracle=ORACLE, plan=plan, damage=[], store=STORE)


def test_variants_are_matched_by_their_settings_and_what_is_swept():
    old, new, notes = tables(frozen(PLAN.variants[::-1]), [trained()])
    labels = ["hinge 8", "hinge 16", "minimax 8", "minimax 16"]
    assert list(dict.fromkeys(old["variant"])) == list(dict.fromkeys(new["variant"])) == labels
    assert old["score"].tolist() == [0.5] * 8
    assert new["score"].tolist() == [1.0] * 8
    assert new["seed"].tolist() == [0, 1] * 4
    assert not new["failed"].any()
    assert notes == []
    assert list(old.index) == list(new.index) == list(range(8))
    assert list(old.columns) == ["variant", "seed", "failed", "score"]


def test_what_the_baseline_lacks_is_told_and_left_out():
    old, new, notes = tables(frozen(PLAN.variants[:3]), [trained()])
    assert set(old["variant"]) == set(new["variant"]) == {"hinge 8", "hinge 16", "minimax 8"}
    assert notes == ["1 variants are not in the baseline."]


def test_wanted_variants_alone():
    old, new, _ = tables(frozen(PLAN.variants), [trained()], ["hinge", "x 16"])
    assert set(old["variant"]) == set(new["variant"]) == {"hinge 8", "hinge 16", "minimax 16"}
    with pytest.raises(UserError, match="variant of both the study and the baseline 'hing e'"):
        tables(frozen(PLAN.variants), [trained()], ["hinge", "hing e"])


def test_hyper_parameters_that_are_not_swept_are_compared_and_told():
    later = resolve(None, ["loss=hinge", "loss.hinge.margin=2.0", "network.mlp.width=8", "seeds=2"])
    _, _, notes = tables(frozen(PLAN.variants), [trained(later)])
    assert notes == ["loss.hinge.margin is 2.0, in the baseline 1.0."]


@pytest.mark.parametrize("key", ["samples", "neighbours"])
def test_what_scores_depend_on_must_agree(key):
    measured = {"samples": PLAN.samples, "neighbours": PLAN.neighbours, key: 7}
    with pytest.raises(IncompatibleBaselineError, match=f"measured with {key} 7, this study with {getattr(PLAN, key)}"):
        tables(frozen(PLAN.variants, measured=measured), [trained()])


def test_without_a_common_variant_the_nearest_is_named():
    other = resolve(None, ["loss=wasserstein", "normalization=layer", "network.mlp.width=8", "seeds=2"])
    near = resolve(None, ["loss=hinge", "normalization=layer", "network.mlp.width=8", "seeds=2"])
    baseline = frozen([*PLAN.variants, *near.variants])
    with pytest.raises(IncompatibleBaselineError, match="none of this study's variants; the nearest differs in loss "
                       "wasserstein for hinge"):  # fmt: skip
        tables(baseline, [trained(other)])


def test_what_a_variant_is_known_by():
    variant = PLAN.variants[0]
    settings, hypers = settings_of(variant), dict(variant.hypers)
    known = identity(settings, hypers, ("network.mlp.width",))
    assert len(known) == len(axes()) + 1
    for axis in axes():
        assert identity({**settings, axis: "other"}, hypers, ("network.mlp.width",)) != known
    assert identity(settings, {**hypers, "network.mlp.width": 9}, ("network.mlp.width",)) != known
    assert identity(settings, {**hypers, "network.mlp.depth": 9}, ("network.mlp.width",)) == known
    # a baseline from before there were tricks is one without
    assert identity({k: v for k, v in settings.items() if k != "trick"}, hypers, ("network.mlp.width",)) == known


@pytest.mark.parametrize(("known", "told"), [
    ({"loss.hinge": "old"}, ["Another version than in the baseline: loss hinge."]), ({"loss.hinge": "mine"}, []),
    ({}, []), ("broken", []), (None, []),
])  # fmt: skip
def test_plug_ins_of_another_version_are_told(known, told):
    mine = replace(PLAN, versions={**PLAN.versions, "loss.hinge": "mine"})
    baseline = frozen(PLAN.variants, source={} if known is None else {"plugin_versions": known})
    assert tables(baseline, [trained(mine)])[2] == told


def test_every_environment_that_is_not_the_baselines_is_told_once():
    one, other = trained(), trained()
    one.store = SimpleNamespace(sessions=lambda: [{"torch": "2.0"}, {"torch": "2.0"}, {"torch": "1.0"}])
    other.store = SimpleNamespace(sessions=lambda: [{"torch": "3.0"}, {"torch": "2.0"}])
    notes = tables(frozen(PLAN.variants, source={"torch": "1.0"}), [one, other])[2]
    assert notes == [
        "torch is 2.0, in the baseline 1.0.", "torch is 3.0, in the baseline 1.0.",
        "Trained by three environments: torch 2.0 and 1.0 and 3.0. Runs of one may not repeat in another.",
    ]  # fmt: skip


def test_notes_are_in_order_and_each_is_told_once():
    later = resolve(None, ["loss=hinge,minimax", "loss.hinge.margin=2.0", "network.mlp.width=8,32", "seeds=2"])
    notes = tables(frozen(PLAN.variants, swept=("network.mlp.width",)), [trained(later)])[2]
    assert notes == ["2 variants are not in the baseline.", "loss.hinge.margin is 2.0, in the baseline 1.0."]


def test_the_nearest_variant_is_that_with_the_fewest_differences():
    far = resolve(None, ["loss=wasserstein", "normalization=layer", "problem=grid25", "seeds=2"]).variants
    near = resolve(None, ["loss=wasserstein", "normalization=none", "network.mlp.width=8", "seeds=2"]).variants
    mine = resolve(None, ["loss=minimax", "network.mlp.width=8", "seeds=2"])
    for order in ((*far, *near), (*near, *far)):
        with pytest.raises(IncompatibleBaselineError, match=r"variants; the nearest differs in loss minimax for wass"):
            tables(frozen(order), [trained(mine)])
    # a baseline that has it at another value of what is swept differs in no setting
    wide = resolve(None, ["loss=minimax", "network.mlp.width=99", "seeds=2"])
    with pytest.raises(IncompatibleBaselineError, match=r"'mine' has none of this study's variants\.$"):
        tables(frozen(wide.variants), [trained(mine)])


def test_what_is_frozen_is_what_the_study_tells():
    one = trained()
    one.provenance = {"torch": "2.0", "command": "ganbench run", "threads": 2, "unheard": 1}
    one.axes, one.measures, one.variants = ["loss", "network.mlp.width"], {}, PLAN.variants
    known = {run.id: run.variant for run in PLAN.runs}
    one.runs["loss"] = [known[run].loss for run in one.runs["run"]]
    one.runs["network.mlp.width"] = [dict(known[run].hypers)["network.mlp.width"] for run in one.runs["run"]]
    kept = freeze(one, {"failure_rate": 0.1})
    assert kept.suite == PLAN.name
    assert kept.measured == {"samples": PLAN.samples, "neighbours": PLAN.neighbours}
    assert kept.swept == ("network.mlp.width",)
    assert kept.margins == {"failure_rate": 0.1}
    assert freeze(one).margins == {}
    assert [v.label for v in kept.variants] == [
        "ring8: hinge, width=8", "ring8: hinge, width=16", "ring8: minimax, width=8", "ring8: minimax, width=16"
    ]  # fmt: skip
    assert [v.settings for v in kept.variants] == [settings_of(v) for v in PLAN.variants]
    assert [v.hypers for v in kept.variants] == [v.filed for v in PLAN.variants]
    assert [v.runs for v in kept.variants] == [results(1.0)] * 4
    assert kept.source["torch"] == "2.0"
    assert (kept.source["threads"], kept.source["device"], "unheard" in kept.source) == (2, "", False)
    assert kept.source["plugin_versions"] == dict(PLAN.versions)
    assert kept.source["rules"] == rules_digest()


def test_failures_by_other_rules_are_not_compared():
    with pytest.raises(IncompatibleBaselineError, match=r"^The baseline was judged by other rules .* make it again\.$"):
        tables(frozen(PLAN.variants, source={"rules": "before"}), [trained()])
    old = frozen(PLAN.variants)
    told = tables(replace(old, source={}), [trained()])[2]
    assert told == ["The baseline does not tell by which rules it was judged: make it again."]


def test_the_hash_of_the_rules_is_of_what_judges_and_of_nothing_else(tmp_path, monkeypatch):
    # the package has a function of the module's name
    environment = importlib.import_module("ganbench.identity.environment")
    package = tmp_path / "ganbench"
    shutil.copytree(Path(environment.__file__).parents[1], package)
    monkeypatch.setattr(environment, "__file__", str(package / "identity" / "environment.py"))
    before = environment._digest(environment.JUDGING)
    assert before == rules_digest()
    (package / "gan" / "losses.py").write_text("")
    assert environment._digest(environment.JUDGING) == before
    for part in environment.JUDGING:
        file = package / part
        assert file.exists(), part
        with (file / "shipped.py" if file.is_dir() else file).open("a") as stream:
            stream.write("# another\n")
        after = environment._digest(environment.JUDGING)
        assert after != before, part
        before = after


def test_a_damaged_study_that_waits_says_what_is_damaged():
    one = study(("a0", "ring8", "done", None), ("a1", "ring8", "running", None), ("a2", "ring8", "pending", None))
    one.damage = ["It is broken.", "So is that."]
    with pytest.raises(DamagedStudyError, match=r"judged, 2 runs have no end that reads: It is broken\. So is that"):
        complete([one])
    one.runs["status"] = "done"
    complete([one])


def test_labels_and_missing_oracles_in_a_score():
    one = study(
        ("a0", "ring8", "done", {"high_quality": [0.4], "modes_covered": [4.0], "label_fidelity": [0.5]}),
        ("b0", "line", "done", {"precision": [0.5], "recall": [0.2], "coverage": [0.9]}),
        ("b1", "other", "done", {"precision": [0.5], "recall": [0.5], "coverage": [0.9]}),
    )
    # the oracle of the ring has no fidelity, and zero is none: then 1 stands for it
    one.oracle = {**ORACLE, "ring8": {**ORACLE["ring8"], "label_fidelity": 0.0}}
    assert final_scores(one) == pytest.approx({"a0": 0.5 * 0.5 * 0.5, "b0": 0.5, "b1": 0.25})


@pytest.mark.parametrize(("quality", "lost"), [(0.8, False), (0.41, False), (0.39, True), (0.0, True)])
def test_a_run_that_was_too_short_counts_as_failed_below_half_the_score(quality, lost):
    one = trained()
    one.runs["verdict"], one.runs["undecided"] = "too short", True
    one.series["high_quality"] = quality
    for results_ in seed_results([one]).values():
        assert [run.failed for run in results_] == [lost] * 2
        # the oracle's quality is .8
        assert [run.score for run in results_] == pytest.approx([quality / 0.8] * 2)
