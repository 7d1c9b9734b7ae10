"""A check's outcome as text, markdown, JSON, JUnit XML and annotations, for people and for CI."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from ganbench.analysis.gate import Comparison
from ganbench.checking import Check
from ganbench.errors import UserError

HEADLINES = {
    "pass": "PASS: no variant is worse than the baseline by more than its margin.",
    "regressed": "REGRESSION: the failure rate or the quality of a variant is worse than the baseline's.",
    "inconclusive": "INCONCLUSIVE: neither a regression nor its absence is shown at this number of seeds.",
    "failed": "FAILED: the program or the machine failed in some runs, which says nothing about the variants.",
}
ORDER = ("regressed", "inconclusive", "improved", "pass")


def write(check: Check, *, json_file: Path | None = None, junit: Path | None = None) -> None:
    """Write the files that were asked for; under GitHub Actions also the job summary and annotations."""
    try:
        if json_file:
            json_file.write_text(as_json(check), encoding="utf-8")
        if junit:
            ElementTree.ElementTree(as_junit(check)).write(junit, encoding="utf-8", xml_declaration=True)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(markdown(check))
    except OSError as error:
        raise UserError(f"Cannot write '{error.filename}': {error.strerror}.") from error
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for comparison in _sorted(check):
            if comparison.verdict == "regressed":
                print(f"::error title=ganbench::{comparison.sentence}")


def text(check: Check) -> str:
    """Return the headline, what is worse or open in sentences, and how many comparisons passed."""
    counts = Counter(comparison.verdict for comparison in check.judgement.comparisons)
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    lines = [HEADLINES[check.verdict], *(f"  failed: {reason}" for reason in check.failures)]
    lines += [f"  {comparison.sentence}" for comparison in _sorted(check) if comparison.verdict != "pass"]
    lines += [f"  note: {note}" for note in check.notes]
    return "\n".join([*lines, f"{check.suite}, {check.judgement.seeds} seeds: {tally}."])


def markdown(check: Check) -> str:
    """Return the outcome as a short markdown section with a table of every comparison."""
    lines = [f"## ganbench check: {check.verdict}", "", HEADLINES[check.verdict], ""]
    lines += [f"- {note}" for note in (*check.failures, *check.notes)]
    lines += ["", "| variant | measure | baseline | now | seeds | p | verdict |", "|---|---|---|---|---|---|---|"]
    for c in _sorted(check):
        cells = (c.variant, c.measure, f"{c.baseline:.2f}", f"{c.candidate:.2f}", f"{c.counts[1]}", f"{c.adjusted:.2g}")
        lines.append(f"| {' | '.join(cells)} | {c.verdict} |")
    return "\n".join([*lines, "", ""])


def as_json(check: Check) -> str:
    """Return the outcome with all its numbers as JSON."""
    comparisons = [{**asdict(c), "sentence": c.sentence} for c in check.judgement.comparisons]
    outcome = {
        "verdict": check.verdict,
        "exit_code": check.exit_code,
        "suite": check.suite,
        "seeds": check.judgement.seeds,
        "notes": check.notes,
        "failures": check.failures,
        "studies": [str(path) for path in check.studies],
        "comparisons": comparisons,
    }
    return json.dumps(outcome, indent=1) + "\n"


def as_junit(check: Check) -> ElementTree.Element:
    """Return the outcome as a JUnit test suite: a regression is a failure, an inconclusive comparison is skipped."""
    found = Counter(comparison.verdict for comparison in check.judgement.comparisons)
    suite = ElementTree.Element(
        "testsuite",
        name=f"ganbench check {check.suite}",
        tests=str(len(check.judgement.comparisons)),
        failures=str(found["regressed"]),
        skipped=str(found["inconclusive"]),
        errors=str(len(check.failures)),
    )
    for comparison in check.judgement.comparisons:
        case = ElementTree.SubElement(suite, "testcase", classname=comparison.variant, name=comparison.measure)
        if comparison.verdict == "regressed":
            ElementTree.SubElement(case, "failure", message=comparison.sentence)
        elif comparison.verdict == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=comparison.sentence)
    for reason in check.failures:
        case = ElementTree.SubElement(suite, "testcase", classname="runs", name="failed")
        ElementTree.SubElement(case, "error", message=reason)
    return suite


def _sorted(check: Check) -> list[Comparison]:
    return sorted(check.judgement.comparisons, key=lambda comparison: ORDER.index(comparison.verdict))
