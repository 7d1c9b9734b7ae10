"""The reference reports in the repository: of today's suites, and small enough to be there."""

import re
from html import unescape
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


def test_what_is_said_of_the_two_runs_of_the_claims_is_what_they_decide():
    page, summary, told = (
        (REFERENCE.parent / place).read_text(encoding="utf-8")
        for place in ("reference/claims.html", "reference/claims.md", "README.md")
    )
    decided = r"(supported|refuted|not decided)"
    table = re.findall(rf"^\| ([^|]+) \|.*\| \*\*{decided}\*\*", summary, re.MULTILINE)
    rows = re.findall(rf"id=claim-(\w+)><td class=wrap>(.*?)<br>.*?<b class=.verdict[^>]*>{decided}<", page, re.DOTALL)
    found = {
        name: (verdict, *(other for claim, other in table if claim.startswith(unescape(says))))
        for name, says, verdict in rows
    }
    assert all(len(pair) == 2 for pair in found.values())
    assert len(found) == len(table) == 26
    differ = {name: pair for name, pair in found.items() if len(set(pair)) > 1}
    told = " ".join(told.split())
    assert f"Of its 26 verdicts {26 - len(differ)} are those of `claims.html`, and none is turned round." in told
    assert all("not decided" in pair for pair in differ.values())
    assert set(re.findall(r"`(\w+)`", told[told.index("The page has") : told.index("So 6 claims")])) == set(differ)
    counts = {verdict: sum(pair[0] == verdict for pair in found.values()) for verdict in ("supported", "refuted")}
    assert f"So {counts['supported']} claims are supported there, {counts['refuted']} refuted" in told
