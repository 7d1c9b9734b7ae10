"""A regression names its runs, in every output, and a check says what differs from what made the baseline."""

import json
import shlex
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from PIL import Image

import ganbench
from ganbench import checking
from ganbench.analysis.seeds import freeze, seed_results
from ganbench.report import verdict_files
from ganbench.results.baseline import load_baseline
from ganbench.suite import resolve

TINY = [
    "problem=ring8", "loss=hinge,wasserstein", "steps=20", "batch_size=16", "probe_every=10", "samples=64",
    "neighbours=32", "network.mlp.width=8", "seeds=6",
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ganbench.run(None, TINY, out=tmp_path_factory.mktemp("studies") / "six", workers=1)


def baseline_of(study, file, *, source=None, healthy=("hinge",)):
    """Freeze a study; as if the variants of some losses had never failed, and trained by something else."""
    frozen = freeze(study)
    variants = [
        replace(v, runs=tuple(replace(r, verdict="converged", failed=False, score=0.95) for r in v.runs))
        if v.settings["loss"] in healthy
        else v
        for v in frozen.variants
    ]
    replace(frozen, variants=tuple(variants), source={**frozen.source, **(source or {})}).save(file)
    return checking.Request(file)


def test_regression_names_its_runs_and_repeats_the_worst(study, tmp_path):
    result = checking.check_studies([study.path], baseline_of(study, tmp_path / "b.json"))
    (found,) = result.regressions
    assert found.variant == "ring8: hinge"
    assert found.studies == (str(study.path),)
    rows = study.runs[study.runs["loss"] == "hinge"].set_index("seed")
    assert [run.seed for run in found.runs] == list(range(6))
    for run in found.runs:
        assert (run.run, run.verdict, run.evidence) == tuple(rows.loc[run.seed, ["run", "verdict", "evidence"]])
        assert (run.before, run.score_before) == ("converged", 0.95)
    scores = {r.seed: r.score for r in seed_results([study])[rows["variant"].iloc[0]]}
    assert found.worst.seed == min(scores, key=lambda seed: (scores[seed], seed))
    # a picture of its samples, and of no other run's
    assert [bool(run.picture) for run in found.runs] == [run is found.worst for run in found.runs]
    with Image.open(found.worst.picture) as picture:
        assert min(picture.size) >= 200
    words = shlex.split(found.worst.command)
    assert [run.id for run in resolve(None, words[2:]).runs] == [found.worst.run]


def test_every_output_of_a_check_names_them(study, tmp_path, monkeypatch, capsys):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = checking.check_studies([study.path], baseline_of(study, tmp_path / "b.json"))
    verdict_files.write(result, json_file=tmp_path / "c.json", junit=tmp_path / "c.xml")
    (found,) = result.regressions
    cases = ElementTree.parse(tmp_path / "c.xml").getroot().findall("testcase")
    failures = {case.get("classname"): case.find("failure").text for case in cases if case.find("failure") is not None}
    text, told = verdict_files.text(result), summary.read_text()
    for output in (text, failures["ring8: hinge"]):
        for run in found.runs:
            assert run.sentence in output
        assert f"the worst is seed {found.worst.seed}: {found.worst.command}" in output
        assert str(study.path) in output
        assert f"its samples: {found.worst.picture}" in output
    tokens = [c for token in MarkdownIt("commonmark").enable("table").parse(told) for c in token.children or []]
    code = [str(study.path), found.worst.command, found.worst.picture]
    assert [c.content for c in tokens if c.type == "code_inline"] == code
    for run in found.runs:
        assert f"| {run.seed} | {run.verdict} | {run.score:.2f} | converged, 0.95 |" in told
    data = json.loads((tmp_path / "c.json").read_text())
    assert [one["variant"] for one in data["regressions"]] == ["ring8: hinge"]
    assert data["regressions"][0]["worst"]["command"] == found.worst.command
    assert [run["evidence"] for run in data["regressions"][0]["runs"]] == [run.evidence for run in found.runs]
    annotations = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::error")]
    assert annotations
    assert all("%" not in line.replace("%25", "") for line in annotations)
    assert all(f"seed {found.worst.seed}:" in line for line in annotations)


def test_where_only_the_pooled_rate_regressed_all_variants_are_named(study, tmp_path):
    request = baseline_of(study, tmp_path / "b.json", healthy=("hinge", "wasserstein"))
    result = checking.check_studies([study.path], request)
    pooled = [replace(c, verdict="pass") if c.variant != "all 2 variants" else c for c in result.judgement.comparisons]
    judgement = replace(result.judgement, comparisons=tuple(pooled))
    from ganbench.analysis.regressions import regressions

    found = regressions(judgement, load_baseline(request.baseline), [study])
    assert [one.variant for one in found] == ["ring8: hinge", "ring8: wasserstein"]


def test_what_did_not_regress_names_nothing(study, tmp_path):
    result = checking.check_studies([study.path], baseline_of(study, tmp_path / "b.json", healthy=()))
    assert (result.regressions, result.notes) == ((), ())
    assert "worst" not in verdict_files.text(result)
    assert json.loads(verdict_files.as_json(result))["regressions"] == []


def test_check_says_what_differs_from_what_made_the_baseline(study, tmp_path):
    session = study.store.sessions()[-1]
    other = {
        "torch": "1.0", "device": "Another CPU, 64 cores", "ganbench": "0.0.1", "code": "0123",
        "plugin_versions": {**study.plan.versions, "loss.hinge": "its old hash"},
    }  # fmt: skip
    result = checking.check_studies([study.path], baseline_of(study, tmp_path / "b.json", source=other, healthy=()))
    assert result.notes == (
        f"ganbench is {session['ganbench']}, in the baseline 0.0.1.",
        f"code of ganbench is {session['code']}, in the baseline 0123.",
        f"torch is {session['torch']}, in the baseline 1.0.",
        f"device is {session['device']}, in the baseline Another CPU.",
    )
    for output in (verdict_files.text(result), verdict_files.as_json(result)):
        assert all(note in output for note in result.notes)
    assert "torch is" in ElementTree.tostring(verdict_files.as_junit(result), encoding="unicode")


def test_old_baseline_that_tells_little_is_compared_without_a_word_but_for_the_rules(study, tmp_path):
    request = baseline_of(study, tmp_path / "b.json", healthy=())
    data = json.loads(request.baseline.read_text())
    del data["sealed"]
    session = study.store.sessions()[-1]
    data["source"] = {"torch": session["torch"], "device": f"{session['device']}, 2 cores", "git_revision": "1234567"}
    request.baseline.write_text(json.dumps(data))
    rules = ("The baseline does not tell by which rules it was judged: make it again.",)
    assert checking.check_studies([study.path], request).notes == rules
    data["source"] = {}
    request.baseline.write_text(json.dumps(data))
    assert checking.check_studies([study.path], request).notes == rules


def test_junit_file_holds_no_character_that_xml_cannot(study, tmp_path):
    result = checking.check_studies([study.path], baseline_of(study, tmp_path / "b.json"))
    (found,) = result.regressions
    evil = replace(found, runs=tuple(replace(run, evidence="\x1b[31m\x00\ud800 <&>") for run in found.runs))
    bad = replace(result, regressions=(evil,), failures=("\x07",), notes=("\x0b",))
    ElementTree.ElementTree(verdict_files.as_junit(bad)).write(tmp_path / "x.xml", encoding="utf-8")
    assert "<&>" in "".join(ElementTree.parse(tmp_path / "x.xml").getroot().itertext())
