"""`ganbench baseline` and `ganbench check`, from the command line down, on studies that take seconds."""

import json
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over
from own_files import own_files, roots
from typer.testing import CliRunner

import ganbench
from ganbench import api, checking, cli
from ganbench.analysis.gate import FEWEST, Policy, compare
from ganbench.analysis.seeds import freeze, seed_results
from ganbench.cli import app
from ganbench.errors import UserError
from ganbench.identity import rules_digest
from ganbench.plan import Variant
from ganbench.reading import suite_names
from ganbench.results.baseline import Baseline, BaselineVariant, IncompatibleBaselineError, SeedResult, load_baseline
from ganbench.suite import resolve

ROOT = Path(__file__).parents[1]
TINY = [
    "problem=ring8", "loss=hinge,wasserstein", "steps=20", "batch_size=16", "probe_every=10", "samples=64",
    "neighbours=32", "network.mlp.width=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ganbench.run(None, over([*TINY, "seeds=6"]), out=tmp_path_factory.mktemp("studies") / "six", workers=1)


@pytest.fixture
def baseline(study, tmp_path):
    file = tmp_path / "baseline.json"
    checking.make_baseline(study.path, file, {})
    return file


def invoke(*words, **environment):
    return CliRunner().invoke(app, [str(word) for word in words], env=environment, catch_exceptions=True)


def with_results(file, change):
    """Write a baseline again with other results: change(seed result) -> seed result."""
    old = load_baseline(file)
    variants = tuple(replace(v, runs=tuple(map(change, v.runs))) for v in old.variants)
    replace(old, variants=variants).save(file)


def healthy(run):
    return replace(run, verdict="converged", failed=False, score=0.95)


# ---------------------------------------------------------------------------------------------- baseline


def test_baseline_holds_a_result_for_every_seed(study, baseline):
    frozen = load_baseline(baseline)
    assert frozen == freeze(study)
    assert [len(v.runs) for v in frozen.variants] == [6, 6]
    assert [v.label for v in frozen.variants] == ["ring8: hinge", "ring8: wasserstein"]
    runs = study.runs.set_index(["loss", "seed"])
    for variant in frozen.variants:
        for run in variant.runs:
            row = runs.loc[(variant.settings["loss"], run.seed)]
            assert (run.verdict, run.failed) == (row["verdict"], row["failed"])
    assert frozen.source["plan_hash"] == study.plan.hash


def test_score_is_coverage_times_quality_relative_to_the_oracle(study):
    run = study.runs.iloc[0]
    last = study.series[study.series["run"] == run["run"]].iloc[-1]
    oracle = study.oracle["ring8"]
    expected = min(1, last["high_quality"] / oracle["high_quality"]) * last["modes_covered"] / oracle["modes_covered"]
    (result,) = [r for r in seed_results([study])[run["variant"]] if r.seed == run["seed"]]
    assert result.score == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------------------------------------- check


def test_unchanged_study_has_no_regression(study, baseline):
    result = checking.check_studies([study.path], checking.Request(baseline))
    assert (
        checking.check_studies([study.path], checking.Request(baseline, margins={"failure_rate": 0.5})).exit_code == 0
    )
    assert not [c for c in result.judgement.comparisons if c.verdict == "regressed"]


def test_worse_than_its_baseline_is_regressed_in_every_output(study, baseline, tmp_path):
    with_results(baseline, healthy)
    summary = tmp_path / "summary.md"
    done = invoke(
        "check", study.path, "--baseline", baseline, "--json", tmp_path / "c.json", "--junit", tmp_path / "c.xml",
        GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true", COLUMNS="200",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "REGRESSION" in done.output
    assert "::error title=ganbench::" in done.output
    data = json.loads((tmp_path / "c.json").read_text())
    assert (data["verdict"], data["exit_code"], data["seeds"]) == ("regressed", 1, 6)
    regressed = [c for c in data["comparisons"] if c["verdict"] == "regressed"]
    junit = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert len(junit.findall("testcase/failure")) == len(regressed) == int(junit.get("failures"))
    assert int(junit.get("tests")) == len(data["comparisons"]) == 7
    assert "## ganbench check: regressed" in summary.read_text()


def test_inconclusive_is_exit_code_3_unless_allowed(study, baseline):
    # six pairs without a change exclude a rise of 1 - 0.025^(1/6) = 46 points, not of 20
    words = ("check", study.path, "--baseline", baseline)
    assert invoke(*words).exit_code == 3
    assert invoke(*words, "--allow-inconclusive").exit_code == 0


def test_canary_passes_what_is_equal_seed_by_seed_and_nothing_else(study, baseline):
    canary = checking.Request(baseline, canary=True)
    result = checking.check_studies([study.path], canary)
    assert (result.verdict, result.judgement.verdict) == ("pass", "inconclusive")
    assert "Every result equals the baseline's, seed by seed." in result.notes
    with_results(baseline, lambda run: replace(run, score=run.score + 1e-6 * (run.seed == 3)))
    assert checking.check_studies([study.path], canary).verdict == "inconclusive"


def test_one_variant_is_checked_alone(study, baseline):
    result = checking.check_studies([study.path], checking.Request(baseline, ("hinge",)))
    assert {c.variant for c in result.judgement.comparisons} == {"ring8: hinge"}


def test_suite_is_trained_for_as_many_seeds_as_it_needs(baseline, tmp_path):
    with_results(baseline, healthy)
    told = []
    request = checking.Request(baseline)
    result = checking.check_suite(TINY, request, out=tmp_path / "checks", workers=1, tell=told.append)
    assert (result.verdict, result.judgement.seeds) == ("regressed", 5)
    assert told == ["custom: 10 runs, seeds 0 to 4 ...", "after 5 seeds: regressed"]


def test_seeds_of_the_user_are_one_look(baseline, tmp_path):
    overrides = [*TINY, "seeds=3"]
    result = checking.check_suite(overrides, checking.Request(baseline), out=tmp_path / "three", workers=1)
    assert (result.verdict, result.judgement.seeds) == ("inconclusive", 3)
    # all three fail, as in the baseline: that is no regression; where the baseline's never fail it is one
    words = ("check", tmp_path / "three", "--baseline", baseline)
    assert invoke(*words).exit_code == 3
    with_results(baseline, healthy)
    assert invoke(*words).exit_code == 1


RESULTS = st.lists(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=3, max_size=3), min_size=1, max_size=4
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(RESULTS, st.integers(0, 20))
def test_three_seeds_are_inconclusive_unless_all_of_a_variant_fail(found, failures):
    def table(results):
        rows = [(f"v{i}", seed, *run) for i, runs in enumerate(results) for seed, run in enumerate(runs)]
        return pd.DataFrame(rows, columns=["variant", "seed", "failed", "score"])

    old = table([[(seed < failures, 0.9) for seed in range(20)] for _ in found])
    judgement = compare(old, table(found), Policy())
    total = {f"v{i}" for i, runs in enumerate(found) if all(failed for failed, _ in runs)}
    regressed = {(c.variant, c.measure) for c in judgement.comparisons if c.verdict == "regressed"}
    assert regressed <= {(variant, "failure rate") for variant in total}
    assert judgement.verdict == ("regressed" if regressed else "inconclusive")
    if failures == 0 and len(total) == len(found):
        assert regressed


def test_changed_default_is_compared_and_told(study, baseline):
    old = load_baseline(baseline)
    variants = tuple(replace(v, hypers={**v.hypers, "optimizer.adam.beta1": 0.9}) for v in old.variants)
    replace(old, variants=variants).save(baseline)
    result = checking.check_studies([study.path], checking.Request(baseline))
    assert result.notes == ("optimizer.adam.beta1 is 0.5, in the baseline 0.9.",)


def test_a_seed_counts_once(study, baseline, command, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study.path, copy)
    for other in (study.path, copy):
        code, said = command("check", study.path, other, "--baseline", baseline)
        assert code == 2
        assert said.startswith("Error: Studies that are checked together have seeds of their own;")
        assert said.endswith("both have seed 0, which would count twice.\n")


def test_another_problem_is_another_measurement(study, baseline, command, tmp_path):
    old = load_baseline(baseline)
    variants = tuple(replace(v, hypers={**v.hypers, "problem.ring8.std": 0.5}) for v in old.variants)
    replace(old, variants=variants).save(baseline)
    assert command("check", study.path, "--baseline", baseline) == (
        4, "Error: The baseline's problem is another one: problem.ring8.std is 0.1, in the baseline 0.5.\n"
    )  # fmt: skip


def test_where_a_problems_files_lie_is_no_part_of_it(study, baseline, tmp_path, monkeypatch):
    own_files(tmp_path / "here", monkeypatch)
    plans = [
        api.make_plan(None, ["problem=folder", "network=dcgan", f"problem.folder.root={tmp_path / place / 'pictures'}"])
        for place in ("here", "there")
        if place == "here" or shutil.copytree(tmp_path / "here", tmp_path / "there")
    ]
    (first,), (other,) = (plan.variants for plan in plans)
    assert first.hypers != other.hypers
    old = replace(load_baseline(baseline).variants[0], settings=first.values, hypers=first.filed)
    checking._comparable(replace(load_baseline(baseline), variants=(old,)), plans[1])


def test_variants_that_are_one_to_the_baseline_do_not_count_as_several(study, baseline, command, tmp_path):
    words = over([*TINY, "seeds=2", "loss=hinge", "optimizer.adam.beta1=0.1,0.5"])
    both = ganbench.run(None, words, out=tmp_path / "both", workers=1)
    code, said = command("check", both.path, "--baseline", baseline)
    assert code == 4
    assert said.startswith(
        "Error: Variants that differ in optimizer.adam.beta1 are one to the baseline, 'ring8: hinge'"
    )


def test_what_no_training_would_mend_is_told_before_it(study, baseline, command, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "execute_plan", lambda *a, **k: pytest.fail("it trains"))

    def suite(*words):
        keys = [str(word) for word in words if "=" in str(word)]
        return (
            "check",
            *over([*TINY, *keys]),
            "--baseline",
            baseline,
            *(word for word in words if str(word) not in keys),
        )

    for words, code, said in (
        (("--variant", "hing3"), 2, "Error: Unknown variant of both the suite and the baseline 'hing3'."),
        (
            ("--json", tmp_path / "no" / "a.json"),
            2,
            f"Error: Cannot write to '{tmp_path / 'no' / 'a.json'}': there is no ",
        ),
        (("--junit", tmp_path), 2, f"Error: Cannot write to '{tmp_path}': it is a folder."),
        (("samples=128",), 4, "Error: The baseline was measured with samples 64, this suite with 128: their scores"),
        (("problem.ring8.std=0.5",), 4, "Error: The baseline's problem is another one: problem.ring8.std is 0.5,"),
    ):
        got, told = command(*suite(*words))
        assert (got, told[: len(said)]) == (code, said)


def test_hyper_parameters_tell_variants_apart_only_where_nothing_else_does(tmp_path):
    file = tmp_path / "mine.yaml"
    keys = [word.replace("=", ": ", 1) for word in TINY if not word.startswith(("problem", "loss"))]
    lines = ["problem: [ring8, line]", "per_problem: {line: {optimizer.adam.beta1: 0.1}}", "network.mlp.depth: [1, 2]"]
    file.write_text("\n".join([*keys, *lines]))
    study = ganbench.run(str(file), ["seeds=1"], out=tmp_path / "study", workers=1)
    assert freeze(study).swept == ("network.mlp.depth",)
    # another default of what the suite sets for one problem alone: every variant is still compared
    checking.make_baseline(study.path, tmp_path / "b.json", {})
    other = ganbench.run(str(file), ["seeds=1", "optimizer.adam.beta1=0.3"], out=tmp_path / "other", workers=1)
    result = checking.check_studies([other.path], checking.Request(tmp_path / "b.json"))
    assert len({c.variant for c in result.judgement.comparisons} - {"all 4 variants"}) == 4
    assert set(result.notes) == {
        "optimizer.adam.beta1 is 0.3, in the baseline 0.1.", "optimizer.adam.beta1 is 0.3, in the baseline 0.5."
    }  # fmt: skip


def test_runs_that_the_machine_failed_are_exit_code_5(study, baseline):
    result = checking.check_studies([study.path], checking.Request(baseline))
    assert replace(result, failures=("MemoryError",)).exit_code == 5


def relabelled(study, folder, margins):
    """A copy of a study whose suite declares margins."""
    shutil.copytree(study.path, folder)
    plan = yaml.safe_load((folder / "plan.yaml").read_text())
    (folder / "plan.yaml").write_text(yaml.safe_dump({**plan, "margins": margins}, sort_keys=False))
    return folder


@pytest.mark.parametrize(
    ("suite", "frozen", "asked", "expected"),
    [
        ({}, {}, {}, (0.2, 0.1)),
        ({"score": 0.3}, {}, {}, (0.2, 0.3)),
        ({"score": 0.3}, {"score": 0.4, "failure_rate": 0.6}, {}, (0.6, 0.4)),
        ({"score": 0.3}, {"score": 0.4}, {"score": 0.5}, (0.2, 0.5)),
        ({"failure_rate": 0.7, "score": 0.3}, {"score": 0.4}, {"failure_rate": 0.9}, (0.9, 0.4)),
    ],
)
def test_margin_of_the_command_comes_before_baseline_before_suite(study, tmp_path, suite, frozen, asked, expected):
    file = tmp_path / "b.json"
    checking.make_baseline(study.path, file, frozen)
    folder = relabelled(study, tmp_path / "declared", suite)
    result = checking.check_studies([folder], checking.Request(file, margins=asked))
    margins = {c.measure: c.margin for c in result.judgement.comparisons if c.variant == "ring8: hinge"}
    assert margins == {"failure rate": expected[0], "tail": expected[1], "typical score": expected[1]}
    overruled = {name for name, value in suite.items() if name not in asked and frozen.get(name, value) != value}
    assert {note.split()[2] for note in result.notes} == overruled


def test_margins_of_run_end_up_in_the_baseline(tmp_path, command):
    words = [*over([*TINY, "steps=10", "seeds=1"]), "--out", tmp_path / "s", "--workers", "1"]
    assert invoke("run", *words, "margins.score=0.3", "--margin", "failure_rate=0.4").exit_code == 0
    assert invoke("baseline", tmp_path / "s", "-o", tmp_path / "b.json", "--margin", "score=0.5").exit_code == 0
    assert load_baseline(tmp_path / "b.json").margins == {"failure_rate": 0.4, "score": 0.5}
    assert command("run", *words, "--margin", "scores=0.4") == (
        2, "Error: Unknown margin 'scores'. Did you mean 'score'? Available: failure_rate, score.\n"
    )  # fmt: skip


def test_baseline_keeps_the_margins_of_its_suite(study, tmp_path):
    folder = relabelled(study, tmp_path / "declared", {"failure_rate": 0.7, "score": 0.3})
    assert checking.make_baseline(folder, tmp_path / "b.json", {"score": 0.4}).margins == {
        "failure_rate": 0.7, "score": 0.4
    }  # fmt: skip
    done = invoke("baseline", folder, "-o", tmp_path / "c.json")
    assert done.exit_code == 0, done.output
    frozen = load_baseline(tmp_path / "c.json")
    assert frozen.margins == {"failure_rate": 0.7, "score": 0.3}
    runs = [len(variant.runs) for variant in frozen.variants]
    assert len(runs) > 1, "of one variant the sum is no other number than the largest"
    assert f"Baseline of {len(runs)} variants, {sum(runs)} runs: " in done.output


# ---------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line as a shell does, errors told; return exit code and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr("sys.argv", ["ganbench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err

    return run


def damaged(file, change):
    """Write a baseline's JSON again, changed, as of a version that did not seal it."""
    data = json.loads(file.read_text())
    del data["sealed"]
    change(data)
    file.write_text(json.dumps(data))


def other_suite(file):
    damaged(file, lambda data: [v["settings"].update(steps=4000) for v in data["variants"]])


def score(value, seed):
    return lambda file: damaged(file, lambda data: data["variants"][0]["runs"][seed].update(score=value))


BROKEN = {
    "another suite": (other_suite, 4, "The baseline of suite 'custom' has none of this study's variants; the nearest "
        "differs in steps 20 for 4000."),
    "another measurement": (lambda file: damaged(file, lambda data: data["measured"].update(samples=1000)), 4,
        "The baseline was measured with samples 1000, this study with 64: their scores cannot be compared."),
    "truncated": (lambda file: file.write_text(file.read_text()[:200]), 4,
        "The baseline '{file}' is damaged or not a baseline; make it again."),
    "no JSON": (lambda file: file.write_bytes(b"\xff\x00"), 4,
        "The baseline '{file}' is damaged or not a baseline; make it again."),
    "a list": (lambda file: file.write_text("[]"), 4,
        "The baseline '{file}' is damaged or not a baseline; make it again."),
    "without seeds": (lambda file: damaged(file, lambda data: data["variants"][0].pop("runs")), 4,
        "The baseline '{file}' is damaged: 'runs' is missing. Make it again."),
    "variants are numbers": (lambda file: damaged(file, lambda data: data.update(variants=[1])), 4,
        "The baseline '{file}' is damaged: 'variants' is no mapping. Make it again."),
    "a variant without results": (lambda file: damaged(file, lambda data: data["variants"][0].update(runs=[])), 4,
        "The baseline '{file}' is damaged: the variant 'ring8: hinge' has no results. Make it again."),
    "margins out of range": (lambda file: damaged(file, lambda data: data["margins"].update(score=3)), 4,
        "The baseline '{file}' is damaged: The margin 'score' must lie between 0 and 1, got 3. Make it again."),
    "a score of words": (score("good", 0), 4,
        "The baseline '{file}' is damaged: seed 0 has failed = True and score = good. Make it again."),
    "a score out of range": (score(7, 2), 4,
        "The baseline '{file}' is damaged: seed 2 has failed = True and score = 7. Make it again."),
    "settings are a text": (lambda file: damaged(file, lambda data: data["variants"][0].update(settings="a")), 4,
        "The baseline '{file}' is damaged: 'settings' is no mapping. Make it again."),
    "brackets": (lambda file: file.write_text("[" * 100_000), 4,
        "The baseline '{file}' is damaged or not a baseline; make it again."),
    "a score that is none": (score(float("nan"), 0), 4,
        "The baseline '{file}' is damaged: seed 0 has failed = True and score = nan. Make it again."),
    "a score that is a truth": (score(True, 0), 4,
        "The baseline '{file}' is damaged: seed 0 has failed = True and score = True. Make it again."),
    "a seed twice": (
        lambda file: damaged(file, lambda data: data["variants"][0]["runs"].append(data["variants"][0]["runs"][0])), 4,
        "The baseline '{file}' is damaged: the variant 'ring8: hinge' has a seed twice. Make it again."),
    "a variant twice": (lambda file: damaged(file, lambda data: data["variants"].append(data["variants"][0])), 4,
        "The baseline '{file}' is damaged: it has the variant 'ring8: hinge' twice. Make it again."),
    "one variant under two names": (
        lambda file: damaged(file, lambda data: data["variants"].append({**data["variants"][0], "label": "x"})), 4,
        "The baseline '{file}' is damaged: it has the variant 'ring8: hinge' twice. Make it again."),
    "no variants": (lambda file: damaged(file, lambda data: data.update(variants=[])), 4,
        "The baseline '{file}' is damaged: it has no variants. Make it again."),
    "a suite of numbers": (lambda file: damaged(file, lambda data: data.update(suite=3)), 4,
        "The baseline '{file}' is damaged: 'suite' is no text. Make it again."),
    "of another kind": (lambda file: damaged(file, lambda data: data.update(schema=[1])), 4,
        "The baseline '{file}' has schema of another kind; this version of ganbench reads 1. Use the version that "
        "wrote it, or make it again."),
    "newer": (lambda file: damaged(file, lambda data: data.update(schema=99)), 4,
        "The baseline '{file}' has schema 99; this version of ganbench reads 1. Use the version that wrote it, or make "
        "it again."),
    "absent": (lambda file: file.unlink(), 2, "Cannot read the baseline '{file}': No such file or directory."),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_broken_baseline_is_one_sentence_and_an_exit_code(study, baseline, command, how):
    change, code, told = BROKEN[how]
    change(baseline)
    sentence = f"Error: {told.format(file=baseline)}\n"
    assert command("check", study.path, "--baseline", baseline) == (code, sentence)


def test_bad_requests_are_usage_errors(study, baseline, command, tmp_path):
    labels = "Available: ring8: hinge, ring8: wasserstein."
    running = tmp_path / "running"
    running.mkdir()
    (running / "plan.yaml").write_text((study.path / "plan.yaml").read_text())
    check = ("check", study.path, "--baseline", baseline)
    nowhere = tmp_path / "no"
    unfinished = f"The study '{running}' is not finished (12 runs to go): repeat its command first."
    for words, told in (
        ((*check, "--variant", "ring8: hing3"), "Unknown variant of both the study and the baseline 'ring8: hing3'. "
         f"Did you mean 'ring8: hinge'? {labels}"),
        ((*check, "--margin", "scor=0.1"), "Unknown margin 'scor'. Did you mean 'score'? Available: failure_rate, "
         "score."),
        ((*check, "--margin", "score=much"), "The margin 'score' must be a number, got 'much'."),
        ((*check, "--margin", "score=nan"), "The margin 'score' must lie between 0 and 1, got nan."),
        (("check", running, "--baseline", baseline), unfinished),
        (("baseline", running, "-o", tmp_path / "b.json"), unfinished),
        (("check", nowhere, "--baseline", baseline), f"There is no study in '{nowhere}' (no plan.yaml)."),
        (("check", "suite=smok", "--baseline", baseline), "Unknown suite 'smok'. Did you mean 'smoke'? Available: "
         f"{', '.join(suite_names())}."),
    ):  # fmt: skip
        assert command(*words) == (2, f"Error: {told}\n")


def test_refusals(study, baseline, tmp_path):
    cut = tmp_path / "cut.json"
    cut.write_text(baseline.read_text()[:200])
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({**json.loads(baseline.read_text()), "schema": 99}))
    other = tmp_path / "other.json"
    replace(load_baseline(baseline), measured={"samples": 1000, "neighbours": 500}).save(other)
    for file, code, words in (
        (cut, 4, "is damaged or not a baseline; make it again."),
        (newer, 4, "has schema 99; this version of ganbench reads 1."),
        (other, 4, "The baseline was measured with samples 1000, this study with 64"),
        (tmp_path / "none.json", 2, "Cannot read the baseline"),
    ):
        with pytest.raises(UserError) as raised:
            checking.check_studies([study.path], checking.Request(file))
        assert words in str(raised.value)
        assert raised.value.exit_code == code


def test_baseline_of_other_variants_names_the_difference(study, baseline):
    old = load_baseline(baseline)
    variants = tuple(replace(v, settings={**v.settings, "steps": 4000}) for v in old.variants)
    replace(old, suite="smoke", variants=variants).save(baseline)
    with pytest.raises(IncompatibleBaselineError) as raised:
        checking.check_studies([study.path], checking.Request(baseline))
    assert str(raised.value) == (
        "The baseline of suite 'smoke' has none of this study's variants; the nearest differs in steps 20 for 4000."
    )


def test_absent_variant_and_bad_margins(study, baseline):
    for request, words in (
        (lambda: checking.check_studies([study.path], checking.Request(baseline, ("ring8: hing3",))), "Did you mean"),
        (lambda: checking.parse_margins(["failures=0.2"]), "Unknown margin 'failures'. Did you mean 'failure_rate'?"),
        (lambda: checking.parse_margins(["score=much"]), "The margin 'score' must be a number, got 'much'."),
        (lambda: checking.parse_margins(["score=2"]), "The margin 'score' must lie between 0 and 1, got 2."),
    ):
        with pytest.raises(UserError, match=words.split("(")[0]) as raised:
            request()
        assert raised.value.exit_code == 2


def test_unfinished_study_is_neither_baseline_nor_candidate(study, baseline, tmp_path):
    store = ganbench.load(study.path).store
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "plan.yaml").write_text(store.plan_file.read_text())
    for request in (
        lambda: checking.make_baseline(copy, tmp_path / "b.json", {}),
        lambda: checking.check_studies([copy], checking.Request(baseline)),
    ):
        with pytest.raises(UserError, match=r"is not finished \(12 runs to go\): repeat its command first"):
            request()


def test_studies_of_different_plans_are_not_put_together(study, baseline, tmp_path):
    other = ganbench.run(None, over([*TINY, "seeds=1", "steps=10"]), out=tmp_path / "other", workers=1)
    with pytest.raises(UserError, match="must differ in seeds alone"):
        checking.check_studies([study.path, other.path], checking.Request(baseline))


def test_shipped_suites_have_seeds_enough_for_an_interval(tmp_path, monkeypatch):
    files = own_files(tmp_path / "data", monkeypatch)
    # its starts are set and its noise is integrated: all seeds of it are the same one
    drawn = [name for name in suite_names() if name != "dirac_table"]
    few = {name: len(resolve(name, roots(name, files)).seeds) for name in drawn}
    assert {name: count for name, count in few.items() if count < FEWEST} == {}


def test_shipped_baseline_is_of_the_shipped_suite():
    frozen = load_baseline(ROOT / "reports/baselines/smoke.json")
    plan = resolve("smoke", ["seeds=20"])
    remake = (
        "reports/baselines/smoke.json is of another suite 'smoke' than the shipped one. Make it again, in a clean "
        "checkout: ganbench run suite=smoke seeds=20 --out reports/smoke-20 && "
        "ganbench baseline reports/smoke-20 -o reports/baselines/smoke.json --update"
    )
    ids = [Variant(**v.settings, hypers=tuple(v.hypers.items())).id for v in frozen.variants]
    assert ids == [variant.id for variant in plan.variants], remake
    assert frozen.measured == {"samples": plan.samples, "neighbours": plan.neighbours}, remake
    assert all(tuple(run.seed for run in v.runs) == plan.seeds for v in frozen.variants), remake
    assert frozen.margins == plan.margins, remake
    assert frozen.source["rules"] == rules_digest(), remake
    # a gate needs variants that can still become worse
    healthy_ones = [v for v in frozen.variants if sum(run.failed for run in v.runs) <= len(v.runs) // 4]
    assert len(healthy_ones) >= 3


def fenced(language):
    """The code blocks of docs/gate.md in a language."""
    blocks = (ROOT / "docs/gate.md").read_text().split("```")[1::2]
    return [block.removeprefix(language) for block in blocks if block.partition("\n")[0] == language]


@pytest.mark.usefixtures("own_registry")
@pytest.mark.slow
def test_documented_commands_of_a_baseline_do_what_they_say(tmp_path, monkeypatch):
    made = next(block for block in fenced("") if "--plugin my_library/losses" in block).strip().splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_library").mkdir()
    (tmp_path / "my_library/losses.py").write_text(
        "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
        "@register('loss')\ndef my_loss(real_logits, fake_logits):\n"
        "    'My loss.'\n    return hinge(real_logits, fake_logits)\n"
    )
    tiny = [word for word in TINY if not word.startswith(("problem", "loss"))]

    def done(line, *more):
        words = shlex.split(line.replace("seeds=20", ""))
        assert words.pop(0) == "ganbench"
        result = invoke(*words, *more)
        return result.exit_code, result.output

    run, baseline, stored = made
    code, output = done(run, *tiny, "seeds=3", "--workers", "1")
    assert code == 0, output
    assert done(baseline)[0] == 0
    (file,) = (tmp_path / "ganbench-baselines").iterdir()
    with_results(file, healthy)
    code, output = done(stored, *tiny, "--workers", "1", "--out", "stored")
    assert code == 1, output


def test_baseline_survives_the_file(tmp_path):
    result = SeedResult(1, "converged", False, 0.5)
    variant = BaselineVariant("ring8: hinge", {"loss": "hinge"}, {"a.b.c": 1}, (result,))
    frozen = Baseline("s", {"samples": 1}, ("a.b.c",), (variant,), {"score": 0.2}, {"device": "x"})
    frozen.save(tmp_path / "b.json")
    assert load_baseline(tmp_path / "b.json") == frozen
    assert SeedResult(1, "converged", False, float(np.float64(0.5))).score == 0.5


# ------------------------------------------------------------------------------------------ without training


@dataclass(frozen=True)
class Result:
    verdict: str
    notes: tuple = ("a note",)


def looked(monkeypatch, tmp_path, verdicts, overrides=("loss=hinge",), **more):
    """What a check trains and looks at when its looks give these verdicts."""
    trained, looks, told = [], [], []

    def execute_plan(plan, *, out, device, workers, fresh, tell, by):
        trained.append((plan.seeds, out, device, workers, fresh, by))
        tell(f"reused {len(trained)}")
        return SimpleNamespace(path=out)

    def check_studies(folders, request, look=None):
        looks.append((list(folders), look))
        return Result(verdicts[len(looks) - 1])

    monkeypatch.setattr(checking.api, "execute_plan", execute_plan)
    monkeypatch.setattr(checking, "check_studies", check_studies)
    monkeypatch.setattr(checking, "load_baseline", lambda file: None)
    monkeypatch.setattr(
        checking, "fitting_plan", lambda _, request, words, plugins: api.make_plan(None, words, plugins)
    )
    monkeypatch.chdir(tmp_path)
    result = checking.check_suite(overrides, checking.Request(tmp_path / "b.json"), tell=told.append, **more)
    return trained, looks, told, result


def test_a_check_looks_after_five_ten_and_twenty_seeds_until_something_is_shown(monkeypatch, tmp_path):
    seeds = [tuple(range(5)), tuple(range(5, 10)), tuple(range(10, 20))]
    again = "inconclusive"
    for verdicts in (["passed"], [again, "regression"], [again, again, "passed"], [again, again, again]):
        trained, looks, told, result = looked(monkeypatch, tmp_path, verdicts)
        count = len(verdicts)
        assert [words[0] for words in trained] == seeds[:count]
        assert {words[2:] for words in trained} == {("auto", None, True, "check")}
        folders = [out for _, out, *_ in trained]
        assert all(folder.parent == Path("reports/checks") for folder in folders)
        assert len(set(folders)) == count
        assert looks == [(folders[: look + 1], look) for look in range(count)]
        assert told[:2] == ["custom: 5 runs, seeds 0 to 4 ...", f"after 5 seeds: {verdicts[0]}"]
        assert len(told) == 2 * count
        assert result == Result(verdicts[-1], ("a note", *(f"reused {place + 1}" for place in range(count))))


def test_with_seeds_of_its_own_a_check_looks_once(monkeypatch, tmp_path):
    trained, looks, told, result = looked(
        monkeypatch, tmp_path, ["inconclusive"], ["loss=hinge", "seeds=3"], out=Path("there"), device="cpu", workers=2,
        reuse=True,
    )  # fmt: skip
    assert trained == [((0, 1, 2), Path("there"), "cpu", 2, False, "check")]
    assert looks == [([Path("there")], None)]
    assert told == []
    assert result == Result("inconclusive", ("a note", "reused 1"))
    trained, *_ = looked(monkeypatch, tmp_path, ["inconclusive", "passed"], out=Path("there"))
    assert [out for _, out, *_ in trained] == [Path("there/seeds-0-4"), Path("there/seeds-5-9")]


@pytest.mark.parametrize(("asked", "frozen", "declared", "merged", "noted"), [
    ({}, {}, {}, {}, []), ({"score": 0.3}, {"score": 0.2}, {"score": 0.1}, {"score": 0.3}, []),
    ({}, {"score": 0.2}, {"score": 0.1}, {"score": 0.2}, ["score"]),
    ({}, {"score": 0.1}, {"score": 0.1}, {"score": 0.1}, []), ({}, {}, {"score": 0.1}, {"score": 0.1}, []),
    ({"failure_rate": 0.5}, {"score": 0.2}, {"failure_rate": 0.1, "score": 0.1}, {"failure_rate": 0.5, "score": 0.2},
     ["score"]),
    ({}, {"odd": 1.0}, {}, {}, []),
])  # fmt: skip
def test_a_margin_is_the_commands_before_the_baselines_before_the_suites(asked, frozen, declared, merged, noted):
    found, notes = checking._margins(asked, frozen, declared)
    assert found == merged
    assert notes == [
        f"The margin {name} is the baseline's {frozen[name]:g}, not the suite's {declared[name]:g} (--margin overrides "
        "both)."
        for name in noted
    ]


def rows(*values):
    return pd.DataFrame(values, columns=["variant", "seed", "failed", "score"])


BASE = (("a", 0, False, 0.5), ("a", 1, True, 0.0), ("b", 0, False, 0.7))


@pytest.mark.parametrize(("new", "equal"), [
    (BASE, True), (BASE[:2], True), (BASE[::-1], True), ((*BASE[:2], ("b", 0, False, 0.8)), False),
    ((*BASE[:2], ("b", 0, True, 0.7)), False), ((*BASE, ("b", 1, False, 0.7)), False), ((("c", 0, False, 0.5),), False),
    ((("a", 0, False, 0.6), *BASE[1:]), False),
])  # fmt: skip
def test_results_are_equal_seed_by_seed(new, equal):
    assert checking._equal(rows(*BASE), rows(*new)) is equal


def test_margins_are_written_name_and_value():
    assert checking.parse_margins(["score=0.1", "failure_rate=2e-1"]) == {"score": 0.1, "failure_rate": 0.2}
    assert checking.parse_margins([]) == {}
    for text in ("score", "score=", "score=much", "scor=0.1", "score=1"):
        with pytest.raises(UserError, match=r"(^The margin 'score' must|^Unknown margin 'scor')"):
            checking.parse_margins([text])
    with pytest.raises(UserError, match=r"^The margin 'score' is given twice"):
        checking.parse_margins(["score=0.1", "failure_rate=0.2", "score=0.3"])


def test_studies_that_are_checked_together_differ_in_seeds_alone():
    first = api.make_plan(None, ["loss=hinge", "seeds=3"])
    checking._same_plan(first, api.make_plan(None, ["loss=hinge", "seeds=7,8"]))
    with pytest.raises(UserError, match=r"^Studies that are checked together must differ in seeds alone; 'custom'"):
        checking._same_plan(first, api.make_plan(None, ["loss=minimax", "seeds=3"]))
