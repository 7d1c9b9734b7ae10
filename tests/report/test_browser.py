"""The report in a real browser, from the disk, with the network off; whatever it tells its console fails the test."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pages
import pytest

from ganbench.report import build

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FATES = ["converged", "collapsed", "diverged", "vanished", "never learned"]
PLACE = "Math.round(document.querySelector('tr.detail').getBoundingClientRect().top)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(fake: Any, tmp_path_factory: Any) -> Path:
    fates = [
        ({"problem": problem, "loss": loss, "normalization": normalization, "seed": seed}, FATES[(place + seed) % 5])
        for problem in ("ring8", "digits")
        for place, loss in enumerate(("hinge", "minimax", "wasserstein"))
        for normalization in ("none", "spectral")
        for seed in range(3)
    ]
    skipped = ({"loss": "hinge", "normalization": "batch", "seed": None, "reason": "impossible pair"}, "skipped")
    return build(fake.study_of([*fates, skipped], tmp_path_factory.mktemp("study")))


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Any]:
    context = chromium.new_context(offline=True, viewport={"width": 1300, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html.js")
    yield page
    assert said == []
    context.close()


def visible(page: Any, selector: str) -> list[Any]:
    return [one for one in page.query_selector_all(selector) if one.is_visible()]


def painted(page: Any, selector: str) -> int:
    """Return how many different colours a canvas shows."""
    return int(
        page.eval_on_selector(
            selector,
            "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size",
        )
    )


def test_one_page_at_a_time_each_reached_by_its_link(page: Any) -> None:
    names = [link.inner_text() for link in visible(page, "nav a")]
    assert names[:3] == ["Findings", "Grid", "Variants"]
    for name in names:
        page.click(f"nav a:text-is('{name}')")
        page.wait_for_timeout(50)
        assert len(visible(page, "main section")) == 1
        assert page.inner_text("nav a[aria-current]") == name
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(overflow) == 0, f"{name} is wider than the window"


def test_the_keyboard_alone_reaches_a_page(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the findings"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#variants:not(.away)")
    page.locator("#variants button.sort").first.focus()
    page.keyboard.press("Enter")
    assert page.get_attribute("#variants th[aria-sort]", "aria-sort") == "ascending"


def test_variants_sort_and_filter(page: Any) -> None:
    page.click("nav a:text-is('Variants')")
    first = "#variants table[data-problem=ring8]"
    rates = f"{first} tr[data-variant] td:nth-child(3)"
    read = "cells => cells.map(cell => Number(cell.dataset.value))"
    page.click(f"{first} th:has-text('failures') button")
    up = page.eval_on_selector_all(rates, read)
    page.click(f"{first} th:has-text('failures') button")
    assert up == sorted(up)
    assert page.eval_on_selector_all(rates, read) == sorted(up, reverse=True)
    assert page.eval_on_selector(f"{first} tbody tr", "row => row.className") == "oracle"
    page.fill("#variants input[type=search]", "hinge, spectral")
    names = [row.query_selector("td:nth-child(2)").inner_text() for row in visible(page, "#variants tr[data-variant]")]
    assert names == ["hinge, spectral, no regularizer"] * 2
    assert page.inner_text("#variants [role=status]") == "2 of 12 variants"


def test_a_cell_of_the_grid_opens_its_variant_and_a_mark_its_diagnosis(page: Any) -> None:
    page.click("nav a:text-is('Grid')")
    page.select_option("#grid select >> nth=1", label="modes covered")
    assert len(visible(page, "#grid .map")) == 1
    cell = visible(page, "#grid .map:not([data-measure=failures]) td a")[0]
    final = cell.inner_text()
    page.select_option("#grid select >> nth=2", label="worst after best")
    assert cell.inner_text().split("\n")[0].removesuffix(" \u00d7") == final.split(" · ")[-1].split("\n")[-1]
    cell.hover()
    name = cell.get_attribute("title").split(":")[0]
    cell.click()
    page.wait_for_selector("#variants tr.detail .uplot canvas")
    assert page.inner_text("#variants tr.chosen td:nth-child(2)") == name
    assert page.evaluate(PLACE) < 300
    page.click("#variants tr.detail li >> nth=1 >> a")
    page.wait_for_selector("#diagnosis tr.detail .frames figure:nth-child(6)")
    told = page.inner_text("#diagnosis tr.detail")
    verdict = page.inner_text("#diagnosis tr.chosen td:nth-child(2)")
    assert verdict in told
    assert ("What usually helps" in told) == (verdict != "converged")


def test_curves_overlay_variants_under_one_cursor(page: Any) -> None:
    page.click("nav a:text-is('Variants')")
    for place in (0, 1, 2):
        page.click(f"#variants table[data-problem=ring8] input[type=checkbox] >> nth={place}")
    page.click("button:has-text('Draw the ticked')")
    page.wait_for_selector("#curves .uplot canvas")
    assert len(visible(page, "#curves .token .swatch")) == 3
    panels = visible(page, "#curves .panel")
    assert len(panels) > 3
    assert painted(page, "#curves .uplot canvas") > 20
    box = panels[0].query_selector(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(100)
    heads = [panel.query_selector(".told").inner_text() for panel in panels]
    assert len({head.split(":")[0] for head in heads}) == 1
    assert all(head.startswith("step ") and len(head.split()) == 5 for head in heads)
    page.select_option("#curves select >> nth=1", label="d loss")
    assert "d loss" in visible(page, "#curves .panel .head")[-1].inner_text()
    page.click("#curves .token:has(.swatch) >> nth=0")
    assert len(visible(page, "#curves .token .swatch")) == 2


def test_survival_draws_the_lines_chosen_and_tells_them(page: Any) -> None:
    page.click("nav a:text-is('Survival')")
    page.wait_for_selector("#survival .uplot canvas")
    assert page.eval_on_selector_all("#survival .token", "t => t.map(b => b.innerText.slice(0, -2))") == [
        "hinge", "minimax", "wasserstein",
    ]  # fmt: skip
    shaded = painted(page, "#survival .uplot canvas")
    page.click("#survival label:has-text('intervals') input")
    assert painted(page, "#survival .uplot canvas") < shaded
    box = page.query_selector("#survival .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
    page.wait_for_timeout(100)
    told = page.inner_text("#survival .told")
    # at the end as in the table: of six runs each
    rows = page.query_selector_all("#survival .problem:not([hidden]) table:has-text('by loss') tbody tr")
    for row in rows:
        name, failures = [cell.inner_text() for cell in row.query_selector_all("th, td")[:2]]
        gone, runs = map(int, failures.split("/"))
        assert f"{name} {round(1 - gone / runs, 3):g}" in told
    # just before a failure it has not happened yet, however near
    lines = pages.data_of(page.content())["studies"][0]["survival"]["ring8"]
    event = next(x for line in lines["settings"]["loss"].values() for x in line["x"] if 0 < x < lines["last"])
    page.mouse.move(box["x"] + box["width"] * event / lines["last"] - 3, box["y"] + 20)
    page.wait_for_timeout(100)
    assert int(page.inner_text("#survival .told").split(":")[0].removeprefix("step from ")) < event
    page.select_option("#survival select >> nth=1", label="single variants")
    page.click("#survival .token >> nth=0")
    assert len(visible(page, "#survival .token")) == 3
    page.fill("#survival input[list]", "wasserstein, spectral, no regularizer")
    page.keyboard.press("Enter")
    page.wait_for_timeout(50)
    assert "wasserstein, spectral" in page.inner_text("#survival .pick")
    page.select_option("#survival select >> nth=0", label="digits")
    assert [head.inner_text() for head in visible(page, "#survival h3")] == ["digits"]


def test_print_shows_the_static_figures(page: Any) -> None:
    assert not page.is_visible("#survival .static img")
    # a browser prints no lazy picture that was never scrolled to
    assert page.query_selector("img[loading=lazy]") is None
    page.emulate_media(media="print")
    for place in ("#survival .static img >> nth=0", "#statistics .static img"):
        assert page.is_visible(place)
        assert page.eval_on_selector(place, "image => image.decode().then(() => image.naturalWidth)") > 300
    assert not page.is_visible("#survival .steps")


def test_statistics_draw_profiles_over_all_problems_or_one(page: Any) -> None:
    page.click("nav a:text-is('Statistics')")
    page.wait_for_selector("#statistics .uplot canvas")
    assert painted(page, "#statistics .uplot canvas") > 10
    box = page.query_selector("#statistics .u-over").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 20)
    page.wait_for_timeout(100)
    # every run scores at least nothing
    assert page.inner_text("#statistics .told").startswith("score up to 0: ")
    tokens = len(visible(page, "#statistics .token"))
    assert page.inner_text("#statistics .told").count(" 1 ") == tokens
    page.select_option("#statistics select", label="digits")
    page.wait_for_timeout(50)
    assert len(visible(page, "#statistics .token")) == tokens
    page.click("#statistics th:has-text('typical score') button")
    read = "cells => cells.map(cell => Number(cell.dataset.value))"
    typical = page.eval_on_selector_all("#statistics table.improvement >> nth=0 >> td:nth-child(4)", read)
    assert typical == sorted(typical)
    assert page.eval_on_selector("#statistics tr.reference", "row => row.cells[4].innerText").startswith("reference")


def test_the_grid_shows_the_mean_over_training(page: Any) -> None:
    page.click("nav a:text-is('Grid')")
    page.select_option("#grid select >> nth=1", label="modes covered")
    page.select_option("#grid select >> nth=2", value="3")
    cell = visible(page, "#grid .map:not([data-measure=failures]) td:has(a)")[0]
    variant = cell.query_selector("a").get_attribute("href")[3:]
    shown = cell.query_selector("a").inner_text().split()[0]
    cell.hover()
    assert cell.query_selector("a").get_attribute("title").endswith(f"mean over training {shown}")
    page.goto(page.url.split("#")[0] + f"#v-{variant}")
    row = page.query_selector(f"tr[id='v-{unquote(variant)}']")
    # the last column but one: before the seconds
    assert row.query_selector_all("td")[-2].inner_text() == shown


def test_samples_scrub_through_training_beside_real_data(page: Any) -> None:
    page.click("nav a:text-is('Samples')")
    pictures = visible(page, "#samples canvas")
    assert len(pictures) == 4
    read = "canvas => canvas.toDataURL()"
    page.wait_for_timeout(200)
    last = [canvas.evaluate(read) for canvas in pictures]
    page.focus("#samples input[type=range]")
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    assert page.inner_text("#samples output") == "0"
    first = [canvas.evaluate(read) for canvas in pictures]
    assert first[0] == last[0]
    assert all(a != b for a, b in zip(first[1:], last[1:], strict=True))
    page.select_option("#samples select >> nth=0", label="digits")
    page.wait_for_timeout(200)
    assert painted(page, "#samples canvas") > 8


def test_diagnosis_filters_by_verdict(page: Any) -> None:
    page.click("nav a:text-is('Diagnosis')")
    page.select_option("#diagnosis select", value="vanished")
    shown = visible(page, "#diagnosis tr[data-run]")
    assert shown
    assert {row.query_selector("td:nth-child(2)").inner_text() for row in shown} == {"vanished"}


def test_without_the_script_findings_tables_and_figures_are_there(chromium: Any, report: Path) -> None:
    context = chromium.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    for place in (
        "findings li",
        "grid table",
        "variants tr[data-variant]",
        "survival img",
        "statistics img",
        "statistics tr.reference",
        "curves img",
        "diagnosis .runs tr[id]",
    ):
        assert page.is_visible(f"#{place}"), place
    assert "impossible pair" in page.inner_text("#missing")
    context.close()


def test_a_browser_that_cannot_unpack_the_data_shows_the_page_without_the_script_and_says_so(
    chromium: Any, report: Path
) -> None:
    page, said = chromium.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    assert "This browser cannot unpack the data of this page" in page.inner_text("main .warning")
    for place in ("findings li", "variants tr[data-variant]", "survival img", "curves img", "diagnosis .runs tr[id]"):
        assert page.is_visible(f"#{place}"), place
    assert said == []
    page.close()


@pytest.mark.slow
def test_500_runs_with_200_probes_open(chromium: Any, fake: Any, tmp_path: Path) -> None:
    names = ["l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10"]
    fates = [
        ({"loss": loss, "normalization": f"n{n}", "seed": seed, "probes": 200}, FATES[(n + seed) % 5])
        for loss in names for n in range(10) for seed in range(5)
    ]  # fmt: skip
    path = build(fake.study_of(fates, tmp_path))
    assert path.stat().st_size < 10e6, path.stat().st_size
    page = chromium.new_page()
    page.goto(path.as_uri() + "#curves", timeout=60_000)
    page.wait_for_selector("#curves .uplot canvas", timeout=60_000)
    (study,) = pages.data_of(path.read_text(encoding="utf-8"))["studies"]
    assert len(study["problems"]["ring8"]["steps"]) == 200
    page.close()
