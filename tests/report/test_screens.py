"""What a reader sees in a real browser: the first screen at once, filters by value, contrast, a phone, the keyboard."""

import json
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from pages import data_of

from ganbench.report import build
from ganbench.report.colours import LIGHT, looks
from ganbench.report.context import Context

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FATES = ["converged", "unconverged", "collapsed", "diverged", "late collapse", "converged"]
EVIDENCE = "Since then D scores the real sample higher in 0 to 86 % of pairs, by turns; " + "it leads, it lags, " * 12
"""As long as it can be: a line of its own would be wider than the screen."""
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def study(fake: Any, tmp_path_factory: Any) -> Any:
    cases = product(("ring8", "digits"), ("hinge", "minimax"), ("none", "spectral"), (1.0, 10.0), range(3))
    fates = [
        ({"problem": problem, "loss": loss, "normalization": norm, "gamma": gamma, "seed": seed},
         FATES[(place + place // 6) % 6])
        for place, (problem, loss, norm, gamma, seed) in enumerate(cases)
    ]  # fmt: skip
    skipped = ({"loss": "hinge", "normalization": "batch", "seed": None, "reason": "impossible pair"}, "skipped")
    axes = ["problem", "loss", "normalization", "gamma"]
    made = fake.study_of([*fates, skipped], tmp_path_factory.mktemp("study"), axes=axes)
    context = Context(made)
    found = {"finding": "the lead swings", "onset": 250, "evidence": EVIDENCE, "causes": "a rate too large",
             "remedy": "Lower G's rate.", "shown": "problem=ring8"}  # fmt: skip
    context.__dict__["game"] = {run: [{"run": run, **found}] for run in made.runs["run"][:3]}
    build(context)
    return made


@pytest.fixture
def opened(chromium: Any, study: Any) -> Iterator[Any]:
    """A function that opens the report at a size, light or dark; whatever the page tells its console fails the test."""
    contexts, said = [], []

    def open_at(width: int, height: int, scheme: str = "light", anchor: str = "") -> Any:
        context = chromium.new_context(
            offline=True, viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((study.path / "report.html").as_uri() + anchor)
        page.wait_for_selector("html.js")
        return page

    yield open_at
    assert said == []
    for context in contexts:
        context.close()


def pages(page: Any) -> list[str]:
    return page.eval_on_selector_all("nav a", "links => links.map(link => link.hash)")  # type: ignore[no-any-return]


def shown(page: Any, rows: str) -> list[Any]:
    return [row for row in page.query_selector_all(rows) if row.is_visible()]


def test_the_first_screen_is_seen_at_once_and_each_cell_leads_to_its_variants(opened: Any) -> None:
    page = opened(1280, 800)
    assert page.eval_on_selector(".answers", "list => list.getBoundingClientRect().bottom") <= 800
    assert page.eval_on_selector_all(".front table caption b", "all => all.map(one => one.innerText)") == [
        "ring8", "digits",
    ]  # fmt: skip
    cells = page.query_selector_all(".front td a")
    assert len(cells) == 8
    assert all(" of 6 runs fail (" in cell.get_attribute("title") for cell in cells)
    cells[1].click()
    page.wait_for_selector("#variants:not(.away)")
    names = [row.query_selector("td:nth-child(2)").inner_text() for row in shown(page, "#variants tr[data-variant]")]
    assert sorted(names) == ["hinge, spectral, gamma=1.0", "hinge, spectral, gamma=10.0"]
    assert page.inner_text("#variants [role=status]") == "2 of 16 variants"
    page.go_back()
    assert page.is_visible(".front")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("hinge", 8), ("hinge, spectral", 4), ("hinge spectral", 4), ("spec", 8), ("gamma=1.0", 8), ("1.0", 8),
        ("1", 8), ("10", 8), ("gamma=10.0, ring8", 4), ("0", 0), ("no normalization", 8), ("normalization", 8),
        ("ring", 8), ("ing", 0), ("HINGE,", 8),
    ],
)  # fmt: skip
def test_variants_are_filtered_by_value(opened: Any, words: str, kept: int) -> None:
    page = opened(1280, 800, anchor="#variants")
    page.fill("#variants input[type=search]", words)
    assert len(shown(page, "#variants tr[data-variant]")) == kept
    told = page.inner_text("#variants [role=status]")
    assert told == (f"{kept} of 16 variants" if kept else "no variant has these values")


def test_runs_are_filtered_by_verdict_and_by_value(opened: Any, study: Any) -> None:
    page = opened(1280, 800, anchor="#diagnosis")
    rows = "#diagnosis tr[data-run]"
    all_of = page.eval_on_selector_all(
        rows, "rows => rows.map(row => [row.cells[1].innerText, row.cells[4].innerText])"
    )
    names = {verdict for verdict, _ in all_of}
    assert {"converged", "unconverged", "collapsed", "late collapse"} <= names
    for option in page.query_selector_all("#diagnosis select option"):
        name = option.get_attribute("value")
        page.select_option("#diagnosis select", value=name)
        seen = [row.query_selector("td:nth-child(2)").inner_text() for row in shown(page, rows)]
        wanted = [verdict for verdict, _ in all_of if not name or verdict == name]
        assert sorted(seen) == sorted(wanted), "as many as the option says, and no other"
        assert not name or option.inner_text() == f"{name} ({len(wanted)})"
    for words, test in (
        ("converged", lambda verdict, seed: verdict == "converged"),
        ("collapse", lambda verdict, seed: verdict in ("collapsed", "late collapse")),
        ("1", lambda verdict, seed: seed == "1"),
        ("seed 1, converged", lambda verdict, seed: (verdict, seed) == ("converged", "1")),
    ):
        page.select_option("#diagnosis select", value="")
        page.fill("#diagnosis input[type=search]", words)
        assert len(shown(page, rows)) == sum(test(*one) for one in all_of), words
    page.select_option("#diagnosis select", value="converged")
    page.fill("#diagnosis input[type=search]", "1")
    assert len(shown(page, rows)) == sum(one == ["converged", "1"] for one in all_of), "both hold together"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_every_page_has_the_contrast_of_wcag_aa(opened: Any, scheme: str) -> None:
    page = opened(1280, 800, scheme)
    seen = 0
    for anchor in pages(page):
        page.evaluate("hash => { location.hash = hash; }", anchor)
        page.wait_for_timeout(80)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = page.evaluate(CONTRASTS)
        seen += found["seen"]
        assert found["low"] == [], anchor
    assert seen > 1000


def test_headings_skip_no_level(opened: Any) -> None:
    page = opened(1280, 800)
    for run in (False, True):
        if run:
            page.click("nav a:text-is('Diagnosis')")
            page.click("#diagnosis tr[data-run] td >> nth=1")
            page.wait_for_selector("#diagnosis tr.detail h3")
        levels = page.eval_on_selector_all("h1, h2, h3, h4, h5, h6", "all => all.map(one => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_phone_has_no_sideways_scroll_and_its_navigation_in_sight(opened: Any) -> None:
    page = opened(390, 844)
    for anchor in pages(page):
        page.evaluate("hash => { location.hash = hash; }", anchor)
        page.wait_for_timeout(80)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, anchor
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        place = page.eval_on_selector("nav a[aria-current]", "link => link.getBoundingClientRect().toJSON()")
        assert place["top"] >= 0, anchor
        assert place["bottom"] <= 60, anchor
        assert 0 <= place["left"] < place["right"] <= 390, anchor


def test_the_keyboard_and_a_finger_get_what_a_term_means(opened: Any) -> None:
    page = opened(390, 844)
    term = page.locator("#findings abbr").first
    told = "term => getComputedStyle(term, '::after').content"
    assert term.evaluate(told) == "none"
    term.tap()
    assert json.loads(term.evaluate(told)) == term.get_attribute("title")
    page = opened(1280, 800, anchor="#variants")
    page.focus("#variants input[type=search]")
    head = page.locator("#variants th:has-text('modes covered') button").first
    while not head.evaluate("head => head === document.activeElement"):
        page.keyboard.press("Tab")
    assert "Modes that hold at least a tenth" in head.evaluate(told)
    unreached = "all => all.filter(one => one.tabIndex < 0 && !one.closest('button')).length"
    assert page.eval_on_selector_all("abbr", unreached) == 0


def test_lines_have_the_colours_of_the_figure_files(opened: Any) -> None:
    page = opened(1280, 800, anchor="#curves")
    page.wait_for_selector("#curves .uplot canvas")
    labels = page.eval_on_selector_all("#curves .token:has(svg)", "all => all.map(one => one.innerText.slice(0, -2))")
    (data,) = data_of(page.content())["studies"]
    wanted = looks(data["places"], labels)
    strokes = page.eval_on_selector_all(
        "#curves .token svg path",
        "all => all.map(one => [getComputedStyle(one).stroke, one.getAttribute('stroke-dasharray')])",
    )
    assert [stroke for stroke, _ in strokes] == [
        f"rgb({', '.join(str(int(LIGHT[place][at : at + 2], 16)) for at in (1, 3, 5))})" for place, _ in wanted
    ]
    assert len(set(map(tuple, strokes))) == len(labels)


def test_few_seeds_are_lines_and_a_level_curve_says_so(opened: Any) -> None:
    page = opened(1280, 800, anchor="#curves")
    page.wait_for_selector("#curves .uplot canvas")
    assert "single seeds, of which there are too few for a band" in page.inner_text("#curves .legend")
    for _ in page.query_selector_all("#curves .token:has(svg)"):
        page.click("#curves .token:has(svg) >> nth=0")
    assert "No variant is chosen" in page.inner_text("#curves .legend")
    assert page.inner_text("#curves .panel .told >> nth=0") == "nothing is chosen"


def test_a_finding_of_the_game_is_explained_once_and_told_with_each_run(opened: Any) -> None:
    page = opened(1280, 800, anchor="#diagnosis")
    assert page.content().count("a rate too large") == 1
    page.fill("#diagnosis input[type=search]", "the lead swings")
    assert len(shown(page, "#diagnosis tr[data-run]")) == 3
    shown(page, "#diagnosis tr[data-run] td small a")[0].click()
    row = page.query_selector("tr#game-the-lead-swings")
    assert row.is_visible()
    assert row.inner_text().split("\t") == [
        "the lead swings", "3", "a rate too large", "Lower G's rate.", "ganbench run problem=ring8",
    ]  # fmt: skip
    shown(page, "#diagnosis tr[data-run] td:nth-child(2)")[0].click()
    page.wait_for_selector("#diagnosis tr.detail p:has-text('Lower G')")
    told = page.inner_text("#diagnosis tr.detail")
    assert f"the lead swings since step 250. {EVIDENCE.strip()}" in " ".join(told.split())
    assert "Often: a rate too large. Try: Lower G's rate." in told


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_opened_in_a_table_is_no_wider_than_the_screen(opened: Any, width: int) -> None:
    page = opened(width, 844, anchor="#diagnosis")
    rows = page.locator("#diagnosis tr[data-run]:has(small)")
    anchors = [f"#{rows.first.get_attribute('id')}", page.get_attribute("#variants tr[data-variant]", "id")]
    for anchor in (anchors[0], f"#{anchors[1]}"):
        page.evaluate("hash => { location.hash = hash; }", anchor)
        page.wait_for_selector("tr.detail .panel canvas")
        sides = "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
        found = page.eval_on_selector_all("tr.detail .inside, tr.detail .inside *:not(.u-legend, .u-legend *)", sides)
        assert all(left >= 0 and right <= width for left, right in found), anchor
    # nor does a wide table leave its longest column as a pillar of single words
    page.evaluate("location.hash = '#diagnosis'")
    assert rows.first.locator("td").nth(5).bounding_box()["width"] >= 200


def test_the_pages_are_named_in_one_line(opened: Any) -> None:
    page = opened(1280, 800)
    # what a study of images at several settings has besides
    page.evaluate("""() => { for (const name of ["Robustness", "Images"]) {
        const link = document.querySelector("nav a").cloneNode(); link.textContent = name;
        document.querySelector("nav a").after(link); } }""")
    tops = page.eval_on_selector_all("nav a, nav b", "all => all.map(one => Math.round(one.offsetTop))")
    assert len(tops) == 16
    assert len(set(tops)) == 1


@pytest.mark.parametrize(("width", "anchor"), [(1280, "#diagnosis"), (1000, "#variants")])
def test_no_column_is_cut_off(opened: Any, width: int, anchor: str) -> None:
    page = opened(width, 800, anchor=anchor)
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText.slice(0, 80))"
    assert page.eval_on_selector_all(f"{anchor} .scroll", cut) == []


def test_a_dark_page_is_printed_on_light_paper(opened: Any) -> None:
    light, dark = opened(1280, 800), opened(1280, 800, "dark")
    ground = "page => getComputedStyle(page).backgroundColor"
    inks = "all => all.map(one => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color])"
    assert dark.eval_on_selector("body", ground) != light.eval_on_selector("body", ground)
    for page in (light, dark):
        page.emulate_media(media="print")
    for looked in ("body, .front td, .soft, .chip", "img.figure"):
        assert dark.eval_on_selector_all(looked, inks) == light.eval_on_selector_all(looked, inks)
    filters = "all => all.map(one => getComputedStyle(one).filter)"
    assert set(dark.eval_on_selector_all("img.figure", filters)) == {"none"}


def test_the_page_compare_is_headed_by_neither_study(
    chromium: Any, study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"first": "one", "second": "other", "rows": [], "told": "No variant is in both."}
    # the package's name `build` is the function
    monkeypatch.setattr(sys.modules["ganbench.report.build"], "comparisons", lambda studies: [told])
    page = chromium.new_page()
    page.goto(build([study, study], tmp_path / "both.html").as_uri() + "#compare")
    page.wait_for_selector("#compare:not(.away)")
    shown_heads = "all => all.filter(one => one.checkVisibility()).map(one => one.innerText)"
    assert page.eval_on_selector_all("h1", shown_heads) == []
    page.emulate_media(media="print")
    assert page.eval_on_selector_all("h1", shown_heads) == ["stability", "stability"]
    page.emulate_media(media="screen")
    page.evaluate("location.hash = '#s2-grid'")
    page.wait_for_selector("#s2-grid:not(.away)")
    assert page.eval_on_selector_all("h1", shown_heads) == ["stability"]
    page.close()


def test_no_head_of_a_table_is_empty_where_one_setting_differs(chromium: Any, fake: Any, tmp_path: Path) -> None:
    fates = [({"loss": loss, "seed": seed}, "converged") for loss in ("hinge", "minimax") for seed in range(2)]
    page = chromium.new_page()
    page.goto(build(fake.study_of(fates, tmp_path, axes=["loss"])).as_uri() + "#grid")
    page.wait_for_selector("#grid:not(.away) .map")
    assert page.eval_on_selector_all("#grid .map tbody tr", "rows => rows.length") >= 2
    assert page.eval_on_selector_all("th", "all => all.filter(one => !one.textContent.trim()).length") == 0
    page.close()
