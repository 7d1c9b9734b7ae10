"""A study of one run: verdict, findings, four charts and samples on its first screen, and nothing that compares."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganbench.plan import OWN_NAME
from ganbench.report import build
from ganbench.report.context import Context
from ganbench.report.one_run import one_run, run_pages, told
from ganbench.report.summary import summary

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FAULT = {"name": "labels are swapped", "certain": True, "evidence": "Seen 8 times.", "change": "Turn them <round>."}


def alone(fake: Any, path: Path, fate: str, **changes: Any) -> Any:
    study = fake.study_of([({"problem": "ring8", "loss": "hinge", "seed": 0}, fate)], path)
    for name, value in changes.items():
        setattr(study, name, value)
    return study


@pytest.fixture(scope="module")
def collapsed(fake: Any, tmp_path_factory: Any) -> tuple[Any, dict[str, Any], str]:
    study = alone(fake, tmp_path_factory.mktemp("one"), "collapsed", faults=lambda run: [FAULT])
    page = one_run(Context(study))
    assert page is not None
    return study, page, build(study).read_text(encoding="utf-8")


def sections(html: str) -> list[str]:
    return re.findall(r"<section id=(\S*?)[ >]", html)


def test_the_pages_that_compare_are_left_out(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    html = collapsed[2]
    assert sections(html) == ["findings", "curves", "samples", "diagnosis", "settings", "measures", "provenance"]
    assert re.findall(r"<a href=#(\w+)[ >]", html.partition("</nav>")[0].partition("<nav")[2]) == sections(html)


def test_the_verdict_is_one_sentence_with_its_onset(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    study, page, html = collapsed
    run = study.runs["run"][0]
    verdict = Context(study).verdicts.set_index("run").loc[run]
    assert page["sentence"].startswith(f"Collapsed since step {verdict['onset']} of 4000: puts its samples on")
    assert page["evidence"] == verdict["evidence"]
    assert page["sentence"].replace("'", "&#39;") in html


def test_what_is_certainly_wrong_in_the_wiring_is_tried_first(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    _, page, html = collapsed
    assert page["first"] == FAULT["change"]
    assert "<b>Try first:</b> Turn them &lt;round&gt;." in html
    wiring = "In the wiring, certain: labels are swapped. Seen 8 times."
    assert told(page)[1:3] == ["Try first: Turn them <round>.", wiring]


def test_the_onset_is_drawn_into_all_four_charts(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    _, page, html = collapsed
    charts = {one["title"]: one["chart"] for one in page["charts"]}
    assert list(charts) == ["Losses", "Logits", "Quality", "Diversity"]
    drawn = [chart for chart in charts.values() if chart]
    # percent of 4000 steps
    assert {chart["onset"] for chart in drawn} == {round(page["onset"] / 40, 2)}
    assert html.count("class=onset") == len(drawn) == 3
    assert charts["Logits"] is None
    assert charts["Diversity"]["oracle_told"] == "8"


def test_samples_of_the_first_best_onset_and_last_probe(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    study, page, _ = collapsed
    steps = sorted(study.samples(study.runs["run"][0]))
    shots = {name: shot["step"] for shot in page["shots"] for name in shot["what"].split(", ")}
    assert list(shots)[-1] == "real"
    series = study.series.set_index("step")
    # the score of a probe is its quality and its modes, each over the oracle's, after training began
    score = (series["high_quality"] / 0.989 + (series["modes_covered"] / 8).clip(0, 1))[lambda s: s.index > 0]
    assert (shots["first"], shots["onset"], shots["last"]) == (steps[0], page["onset"], steps[-1])
    assert score[shots["best"]] >= score.max() - 0.05


def test_a_run_that_has_not_ended_says_so_far(fake: Any, tmp_path: Path) -> None:
    page = one_run(Context(alone(fake, tmp_path, "running")))
    assert page is not None
    assert re.match(r"So far, at step \d+: |No verdict yet", page["sentence"])


def test_a_healthy_run_has_nothing_to_try(fake: Any, tmp_path: Path) -> None:
    study = alone(fake, tmp_path, "converged")
    page = one_run(Context(study))
    assert page is not None
    assert page["name"] == "Converged"
    assert not page["failed"]
    assert "Try first" not in build(study).read_text(encoding="utf-8")


def test_a_run_without_samples_and_what_its_loop_told(fake: Any, tmp_path: Path) -> None:
    study = alone(fake, tmp_path, "converged", axes=[OWN_NAME], oracle={}, modes={}, samples=lambda run: {},
                  real_samples=lambda problem: np.empty((0, 2)), centres=lambda problem: None)  # fmt: skip
    study.runs[OWN_NAME] = "mine"
    study.series = study.series[["run", "step", "d_loss"]].assign(
        **{"d_loss.adv": 1.0, "d_loss.penalty": 2.0, "weight": 3.0})  # fmt: skip
    page = one_run(Context(study))
    assert page is not None
    assert page["sentence"] == "No verdict."
    assert page["shots"] == []
    assert [(one["title"], [line["name"] for line in one["chart"]["lines"]]) for one in page["told"]] == [
        ("Terms of d loss", ["d loss.adv", "d loss.penalty"]), ("weight", ["weight"]),
    ]  # fmt: skip
    html = build(study).read_text(encoding="utf-8")
    assert "Nothing is said of the samples" in html
    assert "monitor.step(real_logits=..., fake_logits=...)" in html


def test_several_watched_loops_have_a_page_each(fake: Any, tmp_path: Path) -> None:
    fates = enumerate(["collapsed", "converged"])
    study = fake.study_of(
        [({"problem": "ring8", "loss": "hinge", "seed": seed}, fate) for seed, fate in fates], tmp_path
    )
    assert one_run(Context(study)) is None
    assert run_pages(Context(study)) == []
    study.axes = [OWN_NAME]
    study.runs[OWN_NAME] = "mine"
    pages = run_pages(Context(study))
    assert [page["name"] for page in pages] == ["Collapsed", "Converged"]
    html = build(study).read_text(encoding="utf-8")
    ids = [f"run-{run}" for run in study.runs["run"]]
    assert [name for name in sections(html) if name.startswith("run-")] == ids
    assert "grid" in sections(html)


def test_the_markdown_of_one_run(collapsed: tuple[Any, dict[str, Any], str]) -> None:
    study, page, _ = collapsed
    lines = summary(Context(study)).splitlines()
    assert lines[2].startswith("**Collapsed since step")
    assert page["evidence"].split(",")[0] in lines[4]
    assert "variants survive" not in summary(Context(study))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(collapsed: tuple[Any, dict[str, Any], str], width: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.goto((collapsed[0].path / "report.html").as_uri())
        page.wait_for_selector("html.js")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        # the verdict is on the first screen, whole
        box = page.query_selector("p.answer").bounding_box()
        assert box["y"] + box["height"] < 844
        for one in page.query_selector_all(".chart, .sample, .card"):
            box = one.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        browser.close()
