"""`ganbench publish`: a site of plain files whose links lead somewhere, and boards that rank as a study does."""

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from ganbench import api, cli, publishing
from ganbench.analysis.inference import may_be_best
from ganbench.errors import UserError

TINY = [
    "problem=ring8",
    "steps=20",
    "batch_size=16",
    "probe_every=10",
    "samples=64",
    "neighbours=32",
    "network.mlp.width=8",
]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "reports"
    api.run(None, [*TINY, "loss=hinge,minimax", "seeds=2"], out=folder / "one & only", workers=1)
    api.run(
        None, [*TINY, "loss=hinge,focal", "seeds=2", "optimizer.adam.d_lr=0.5"], out=folder / "deep" / "two", workers=1
    )
    api.run(None, ["problem=line", *TINY[1:4], "samples=65", *TINY[5:], "seeds=2"], out=folder / "line", workers=1)
    return folder


class Page(HTMLParser):
    def __init__(self, file):
        super().__init__()
        self.links, self.rows, self.headings, self.tag, self.loads = [], [], [], "", []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given, self.tag = dict(attributes), tag
        if tag == "a":
            self.links.append(given["href"])
        if tag in ("script", "link", "img"):
            self.loads.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_data(self, data):
        if self.tag in ("h1", "h2"):
            self.headings[-1] += data.strip()
        if self.rows and self.rows[-1] and self.tag in ("td", "th", "a"):
            self.rows[-1][-1] += data


def written(context, path):
    """Write the files of a report in no time."""
    path.parent.mkdir(parents=True)
    for name in publishing.FILES:
        (path.parent / name).touch()
    return path


@pytest.fixture(scope="module")
def site(studies, tmp_path_factory):
    folder, told, real = tmp_path_factory.mktemp("site"), [], api.write_report
    paths = [studies / "one & only", studies / "deep" / "two", studies / "line"]
    with pytest.MonkeyPatch.context() as patch:
        # one of them as it is
        patch.setattr(api, "write_report", lambda study, path: (written if told else real)(study, path))
        assert publishing.publish(folder, paths, told.append) == folder / "index.html"
    assert len(told) == 3
    return folder


def test_a_study_is_no_place_for_a_site(studies):
    study = studies / "line"
    before = sorted(study.rglob("*"))
    with pytest.raises(UserError, match="holds a study: choose another one for the site"):
        publishing.publish(study, [study])
    assert sorted(study.rglob("*")) == before


def test_every_link_leads_somewhere_and_nothing_is_loaded(site):
    for name in ("index.html", "leaderboard.html"):
        page = Page(site / name)
        assert page.loads == []
        assert len(page.links) > 5
        for link in page.links:
            assert (site / unquote(link)).is_file(), link


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_link_within_a_sentence_is_told_by_more_than_its_colour(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((site / "index.html").as_uri())
        lines = "all => all.map(one => getComputedStyle(one).textDecorationLine)"
        assert set(page.eval_on_selector_all("p a", lines)) == {"underline"}
        browser.close()


def test_the_index_has_every_study(site):
    page = Page(site / "index.html")
    text = (site / "index.html").read_text()
    assert page.headings[0] == "Studies of GAN stability"
    assert len(page.headings) == 4
    assert text.count("4 of 4 runs finished, 4 of them failed; 2 variants on ring8.") == 2
    assert sorted(path.name for path in (site / "studies").iterdir()) == ["line", "one_only", "two"]


def test_a_board_ranks_the_variants_of_all_studies(site, studies):
    page = Page(site / "leaderboard.html")
    assert page.headings == ["Leaderboard", "ring8", "line"]
    rows = [row for row in page.rows if len(row) == 7 and row[0] != "variant"]
    known = [
        row for path in ("one & only", "deep/two") for row in api.load(studies / path).ranking().to_dict("records")
    ]
    # nothing learns in 20 steps: what is left of the order is modes, then quality
    expected = sorted(known, key=lambda row: ((row["failures"] + row["undecided"]) / row["seeds"], row["failure_rate"],
                                              -row["covered"], -row["quality"]))  # fmt: skip
    assert [row[0] for row in rows[:4]] == [row["label"] for row in expected]
    assert [row[3] for row in rows[:4]] == [f"{row['failures']} of {row['seeds']}" for row in expected]
    best = may_be_best([row["failures"] for row in expected], [row["seeds"] for row in expected]).sum()
    assert (site / "leaderboard.html").read_text().count("<tr class=best>") == best + 1


def test_studies_are_found_below_reports(studies, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(studies.parent)
    monkeypatch.setattr(api, "write_report", written)
    assert publishing.found(Path("reports")) == [
        Path("reports/line"),
        Path("reports/one & only"),
        Path("reports/deep/two"),
    ]
    monkeypatch.setattr(sys, "argv", ["ganbench", "publish", str(tmp_path / "site")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out.splitlines()[-1] == f"Site: {tmp_path / 'site' / 'index.html'}"
    assert len(Page(tmp_path / "site" / "index.html").headings) == 4


def test_two_studies_of_one_name_have_folders_of_their_own(studies, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_report", written)
    publishing.publish(tmp_path, [studies / "line", studies / "line"])
    assert sorted(path.name for path in (tmp_path / "studies").iterdir()) == ["line", "line-2"]


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(UserError, match=re.escape(f"There is no study in '{tmp_path}': name the studies to publish")):
        publishing.found(tmp_path)
    with pytest.raises(UserError, match="There is no study in"):
        publishing.publish(tmp_path / "site", [tmp_path])
    assert not (tmp_path / "site").exists()
