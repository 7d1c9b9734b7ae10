"""The reference reports in the repository: of today's suites, and small enough to be there."""

import re
from pathlib import Path

import pages
import pytest

from ganbench.suite import resolve

REFERENCE = Path(__file__).parents[1] / "reports" / "reference"
MOST_BYTES = 20_000_000
"""Of all pages together."""
WATCHED = "ruined"
"""The loop of examples/normal whose report by Monitor is there."""


@pytest.mark.parametrize("suite", [f.stem for f in sorted(REFERENCE.glob("*.html")) if f.stem != WATCHED])
def test_a_reference_report_is_of_the_suite_as_it_is(suite):
    page = (REFERENCE / f"{suite}.html").read_text(encoding="utf-8")
    (study,) = pages.data_of(page)["studies"]
    remake = (
        f"reports/reference/{suite}.html is of another suite '{suite}' than the shipped one. Make it again: "
        f"ganbench run suite={suite} --out reports/{suite} && "
        f"cp reports/{suite}/report.html reports/reference/{suite}.html"
    )
    plan = resolve(suite)
    runs = {(run["variant"], run["seed"]) for run in study["runs"].values()}
    assert runs == {(run.variant.id, run.seed) for run in plan.runs}, remake


def test_the_reports_are_small_enough_for_a_repository():
    sizes = {file.name: file.stat().st_size for file in REFERENCE.glob("*.html")}
    assert sizes.keys() >= {f"{name}.html" for name in ("stability", "images", "robustness", "claims", WATCHED)}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_the_report_of_a_watched_loop_says_what_its_page_says():
    page = (REFERENCE / f"{WATCHED}.html").read_text(encoding="utf-8")
    quoted = (REFERENCE.parents[1] / "docs" / "is-this-normal.md").read_text(encoding="utf-8")
    first = re.search(rf"<!-- {WATCHED}: ([^;]*)", quoted)[1]
    assert f"{first[:1].upper()}{first[1:]}" in page


def test_the_reports_that_the_readme_leads_to_are_there():
    readme = (REFERENCE.parents[1] / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\(reports/reference/([\w-]+\.html)\)", readme)
    there = {file.name for file in REFERENCE.glob("*.html")}
    assert named
    assert set(named) <= there
    listed = (REFERENCE.parent / "README.md").read_text(encoding="utf-8")
    assert there == set(re.findall(r"`([\w-]+\.html)`", listed))
