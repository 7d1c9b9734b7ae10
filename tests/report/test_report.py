import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pages
import pandas as pd
import pytest

from ganbench.analysis.statistics import wilson
from ganbench.analysis.verdicts import judge
from ganbench.report import build

SECTIONS = [
    "findings", "grid", "variants", "survival", "statistics", "curves", "samples", "diagnosis", "settings", "missing",
    "measures", "provenance",
]  # fmt: skip
VOID = {"meta", "img", "br", "link", "input", "hr"}
CLOSED = {
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tr": ("td", "th", "tr"),
    "tbody": ("td", "th", "tr", "thead"),
    "li": ("li",),
}
"""What a tag closes by HTML's rules of optional tags, and so does the end of what holds it."""


class Page(HTMLParser):
    """Every tag with its attributes, the text of each section, the scripts, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self.scripts: list[str] = []
        self.text = ""
        self._section = ""
        self.feed(html)
        self.close()
        self.data = pages.data_of(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        while self.open and self.open[-1] in CLOSED.get(tag, ()):
            self.open.pop()
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.sections[self._section] = ""

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag and self.open[-1] in CLOSED:
            self.open.pop()
        assert self.open.pop() == tag, f"</{tag}> closes nothing"
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += data
        if self._section:
            self.sections[self._section] += data


def page_of(study: Any, path: Path | None = None) -> Page:
    page = Page(build(study, path).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def five(fates: list[str], **given: Any) -> list[tuple[dict[str, Any], str]]:
    return [({**given, "seed": seed}, fate) for seed, fate in enumerate(fates)]


@pytest.fixture(scope="module")
def built(fake: Any, tmp_path_factory: Any) -> tuple[Any, Page]:
    fates = [
        *five(["converged", "unconverged", "diverged", "failed", "collapsed"], loss="hinge"),
        *five(["converged"] * 5, loss="hinge", normalization="spectral"),
        *five(["vanished", "never learned", "dropping modes", "degraded", "converged"], loss="minimax"),
        ({"loss": "minimax", "normalization": "spectral", "seed": None, "reason": "impossible pair"}, "skipped"),
        *five(["converged"] * 2 + ["collapsed", "pending", "running"], problem="digits"),
    ]
    study = fake.study_of(fates, tmp_path_factory.mktemp("study"))
    variants = study.runs.drop_duplicates("variant").to_dict("records")
    study.settings = {v["variant"]: {"loss": v["loss"], "optimizer.adam.g_lr": 2e-3} for v in variants}
    return study, page_of(study)


def test_the_page_loads_nothing_and_runs_its_own_scripts_only(built: tuple[Any, Page]) -> None:
    study, page = built
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object")
        assert "src" not in attributes or re.match("data:image/(png|webp);base64,", attributes["src"] or "")
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    data, *scripts = page.scripts
    assert [a for t, a in page.tags if t == "script"] == [{"type": "application/json", "id": "data"}, {}, {}]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    sources = " ".join(f"'sha256-{one}'" for one in hashes)
    policy = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == [f"default-src 'none'; style-src 'unsafe-inline'; script-src {sources}; img-src data:"]
    html = (study.path / "report.html").read_text()
    for script in (data, *scripts):
        html = html.replace(script, "")
    assert not re.search(r"url\(|@import|https?://", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_scripts_data_give_the_curves_back(built: tuple[Any, Page]) -> None:
    study, page = built
    (data,) = page.data["studies"]
    packed = np.frombuffer(pages.inflated(data["curves"]), dtype=np.uint8).astype(int)
    changes = packed[: len(packed) // 2] * 256 + packed[len(packed) // 2 :]
    changes = np.where(changes % 2, -(changes + 1) // 2, changes // 2)
    for problem, place in data["problems"].items():
        for name, measure in place["measures"].items():
            assert measure["most"] == (1022 if name in place["first"] + place["diagnosis"] else 254)
            if measure["log"]:
                continue
            shape = len(place["steps"]), len(place["runs"])
            got = changes[measure["at"] : measure["at"] + shape[0] * shape[1]].reshape(shape).cumsum(axis=0).T
            table = study.series.pivot_table(index="run", columns="step", values=name, dropna=False)
            known = table.reindex(index=place["runs"], columns=place["steps"]).to_numpy(dtype=float)
            span = measure["high"] - measure["low"]
            values = np.where(got == measure["most"] + 1, np.nan, measure["low"] + got / measure["most"] * span)
            finite = np.where(np.isinf(known), np.clip(known, measure["low"], measure["high"]), known)
            np.testing.assert_allclose(values, finite, atol=span / measure["most"] / 1.99, err_msg=problem)


def test_every_section_says_something_and_every_link_leads_somewhere(built: tuple[Any, Page]) -> None:
    page = built[1]
    after = SECTIONS.index("samples") + 1
    assert list(page.sections) == [*SECTIONS[:after], "images", *SECTIONS[after:]], "one of its problems has images"
    lengths = {name: len(" ".join(text.split())) for name, text in page.sections.items()}
    assert min(lengths.values()) > 150, lengths
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {unquote(a["href"] or "")[1:] for t, a in page.tags if t == "a"} <= ids


def test_the_first_screen_answers_which_how_and_how_often(built: tuple[Any, Page]) -> None:
    text = " ".join(built[1].sections["findings"].split())
    assert "8 of 18 runs" in text
    assert "diverged" in text
    assert "3/5" in text
    assert "0/5" in text
    assert "oracle" in text
    assert "2/3" not in text
    assert "1/3 of 5" in text


def test_heat_maps_mark_skipped_cells_and_list_their_reasons(built: tuple[Any, Page]) -> None:
    page = built[1]
    cells = [a for t, a in page.tags if t == "td" and a.get("class") == "skipped"]
    assert cells
    # told on the first screen and in the first map of the grid, whose cells are those of the others
    assert [a["title"] for a in cells if "title" in a] == ["skipped: impossible pair"] * 2
    assert len(cells) > 4
    assert "impossible pair" in page.sections["missing"]
    assert "because it is failed" in page.sections["missing"]
    assert "\u00d7" in page.sections["grid"]


def test_every_finished_run_has_its_verdict_failures_first(built: tuple[Any, Page]) -> None:
    study, page = built
    rows = [a["id"] for t, a in page.tags if t == "tr" and "id" in a and not a["id"].startswith(("v-", "game-"))]
    done = study.runs[study.runs["status"].isin(["done", "diverged", "failed"])]
    assert sorted(rows) == sorted(done["run"])
    text = page.sections["diagnosis"]
    assert text.index("because it is failed") < text.index("8 of 8 modes covered, high quality 0.96 (oracle")


def test_figures_and_samples(built: tuple[Any, Page]) -> None:
    study, page = built
    names = {file.name for file in (study.path / "figures").iterdir()}
    assert {f"{problem}-curves-no_regularizer.png" for problem in ("ring8", "digits")} <= names
    shots = [a for t, a in page.tags if t == "img" and (a["alt"] or "").startswith("samples at step")]
    # four variants have samples; a run that diverged shows fewer distinct steps at most
    assert 4 * 4 <= len(shots) <= 4 * 5
    assert any(a["alt"] == "samples at step 4000" for a in shots)


def test_statistics_set_every_variant_against_the_plainest(built: tuple[Any, Page]) -> None:
    study, page = built
    text = " ".join(page.sections["statistics"].split())
    assert "Reference: hinge, no normalization, no regularizer, the variant" in text
    # three of its five seeds have finished on both problems
    assert "hinge, no normalization, no regularizerall 26" in text
    assert "hinge, spectral, no regularizerring85" in text
    (data,) = page.data["studies"]
    # most variants are missing from all problems together, so that is not what is seen first
    assert list(data["profiles"]) == ["ring8", "all 2 problems", "digits"]
    assert list(data["profiles"]["all 2 problems"]) == ["hinge, no normalization, no regularizer"]
    alone = data["profiles"]["ring8"]["minimax, no normalization, no regularizer"]
    assert (alone["x"][0], alone["y"][0], alone["x"][-1], alone["y"][-1]) == (0, 1, 1, 0)
    assert data["ranked"][0] == "hinge, no normalization, no regularizer"
    assert (study.path / "figures" / "performance-profile.png").exists()


def test_survival_lines_are_kaplan_meiers(built: tuple[Any, Page]) -> None:
    study, page = built
    (data,) = page.data["studies"]
    lines = data["survival"]["ring8"]
    assert lines["last"] == 4000
    assert list(lines["settings"]) == ["loss", "normalization"]
    # nobody is censored before the end: what is alive is one less the share that has failed by then
    verdicts = judge(study).merge(study.runs, on="run")
    here = verdicts[(verdicts["problem"] == "ring8") & (verdicts["loss"] == "hinge")]
    line = lines["settings"]["loss"]["hinge"]
    for step, alive in list(zip(line["x"], line["y"], strict=True))[1:]:
        gone = here["failed"] & (here["onset"].fillna(0) <= step)
        assert alive == pytest.approx(1 - gone.mean(), abs=5e-4)
    assert line["low"][0] == pytest.approx(wilson(10, 10)[0], abs=5e-4)
    assert set(lines["variants"]) == set(study.runs.loc[study.runs["problem"] == "ring8", "variant"].unique()) - {
        run["variant"] for run in study.runs[study.runs["status"] == "skipped"].to_dict("records")
    }


def test_the_area_and_the_costs_that_were_recorded_are_shown(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of(five(["converged", "collapsed"]) + five(["converged"] * 2, loss="minimax"), tmp_path)
    text = " ".join(page_of(study).sections["variants"].split())
    assert "all along" in text
    assert "GFLOP" not in text
    study.runs = study.runs.assign(gflop=[3.0, 5.0, 7.0, 7.0], memory_mb=12.5)
    text = " ".join(page_of(study).sections["variants"].split())
    # the median of 3 and 5; both of them for the one survivor
    assert "GFLOP" in text
    assert re.search(r"48 ?12.5", text.replace(" ", ""))


def test_provenance_tells_how_to_repeat_it(built: tuple[Any, Page]) -> None:
    text = built[1].sections["provenance"]
    assert "ganbench run suite=stability seeds=5" in text
    assert "9f2e11" in text
    assert "loss.hinge aa11" in text


def test_hostile_names_are_text(fake: Any, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    fates = [
        *five(["converged", "failed"], loss=evil, reason=evil),
        ({"loss": evil, "normalization": evil, "seed": None, "reason": evil}, "skipped"),
    ]
    study = fake.study_of(fates, tmp_path, name=evil, description=evil)
    study.provenance[evil] = evil
    page = page_of(study)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 3
    assert "<" not in page.scripts[0]
    assert page.data["studies"][0]["name"] == evil
    assert evil in page.sections["missing"]
    assert evil in page.sections["provenance"]


def test_a_problem_name_cannot_leave_the_folder(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of(five(["converged"] * 2, problem="user"), tmp_path / "in")
    study.runs["problem"] = "../../x"
    study.oracle = {"../../x": fake.ORACLE["user"]}
    page_of(study)
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


@pytest.mark.parametrize(
    ("fates", "axes"),
    [
        ([({"seed": 0}, "converged")], []),
        (five(["diverged"] * 3), ["loss"]),
        (five(["failed"] * 3), ["loss"]),
        (five(["pending", "running"]), ["loss", "normalization"]),
        ([({"seed": None, "reason": "no"}, "skipped")], ["loss"]),
        (five(["converged", "collapsed"], problem="line"), ["regularizer"]),
        (five(["converged"] * 2, gamma=0.1) + five(["collapsed"] * 2, gamma=10.0), ["gamma"]),
        (five(["collapsed"] * 2) + five(["converged"] * 2, regularizer="r1", gamma=1.0), ["regularizer", "gamma"]),
        (five(["collapsed"] * 2) + five(["converged"] * 2, regularizer="r1", gamma=1.0), ["gamma"]),
    ],
    ids=[
        "one run",
        "all diverged",
        "all failed",
        "unfinished",
        "all skipped",
        "one dimension",
        "one number",
        "does not apply",
        "only a number that does not apply",
    ],
)
def test_unusual_studies_give_a_sensible_page(fake: Any, tmp_path: Path, fates: Any, axes: list[str]) -> None:
    page = page_of(fake.study_of(fates, tmp_path, axes=axes))
    alone = fates == [({"seed": 0}, "converged")]
    compared = {"grid", "variants", "survival", "statistics", "missing"} if alone else set()
    assert list(page.sections) == [name for name in SECTIONS if name not in compared]
    assert all(text.strip() for text in page.sections.values())
    assert not re.search(r"\bnan\b|<NA>|None\b|Traceback", page.text)


def test_an_empty_plan(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of([({"seed": 0}, "converged")], tmp_path)
    study.runs, study.series = study.runs.iloc[:0], study.series.iloc[:0]
    assert "No run has finished" in page_of(study).text


def test_a_problem_of_the_users_without_modes(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of(five(["converged", "collapsed"], problem="user"), tmp_path)
    assert "precision" in page_of(study).sections["grid"]
    study.oracle, study.series = {}, study.series[["run", "step", "d_loss"]]
    assert "nothing to judge by" in page_of(study).sections["diagnosis"]


def test_several_studies_in_one_page(fake: Any, tmp_path: Path) -> None:
    studies = [fake.study_of(five(["converged"] * 2), tmp_path / n, name=n) for n in ("first", "second")]
    page = page_of(studies, tmp_path / "both.html")
    assert list(page.sections) == [f"s{i}-{name}" for i in (1, 2) for name in SECTIONS]
    with pytest.raises(ValueError, match="at least one"):
        build([])


def test_the_same_study_gives_the_same_bytes(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of(five(["converged", "collapsed"]), tmp_path)
    first = build(study).read_bytes(), (tmp_path / "figures" / "ring8-curves-no_regularizer.png").read_bytes()
    assert (build(study).read_bytes(), (tmp_path / "figures" / "ring8-curves-no_regularizer.png").read_bytes()) == first


def test_nan_rows_after_divergence_do_not_reach_the_page(built: tuple[Any, Page]) -> None:
    study, page = built
    assert study.series["high_quality"].isna().any()
    assert not re.search(r"\bnan\b", page.text)
    assert isinstance(study.runs, pd.DataFrame)
    assert np.isfinite(study.series["step"]).all()


def test_no_real_samples_yet(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = fake.study_of([({"seed": 0}, "converged")], tmp_path)
    monkeypatch.setattr(type(study), "real_samples", lambda self, problem: np.empty((0, 2)))
    alts = [a["alt"] for t, a in page_of(study).tags if t == "img"]
    assert "real samples" not in alts
    assert "samples at step 4000" in alts


def test_a_study_that_has_only_a_plan(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of([({"seed": 0}, "pending")], tmp_path)
    study.series = pd.DataFrame({"run": pd.Series(dtype=str), "step": pd.Series(dtype=int)})
    study.runs = study.runs.drop(columns=["seconds"])
    study.oracle, study.modes = {}, {}
    assert "No run has finished" in page_of(study).text


def test_survival_counts_every_finished_run_and_names_the_best(built: tuple[Any, Page]) -> None:
    text = " ".join(built[1].sections["survival"].split())
    # of the ten hinge runs on the ring one diverges, one collapses and one fails by the machine; cells have no spaces
    assert "by loss, against hinge" in text
    assert "hinge3/10" in text
    assert "minimax4/5" in text
