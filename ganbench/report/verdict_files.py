"""A check's outcome as text, markdown, JSON, JUnit XML and annotations, for people and for CI."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from ganbench.analysis.gate import Comparison
from ganbench.analysis.outcome import Check
from ganbench.analysis.regressions import Regression
from ganbench.files import writing_to
from ganbench.report import markdown as md

HEADLINES = {
    "pass": "PASS: no variant is worse than the baseline by more than its margin.",
    "regressed": "REGRESSION: the failure rate or the quality of a variant is worse than the baseline's.",
    "inconclusive": "INCONCLUSIVE: neither a regression nor its absence is shown at this number of seeds. The same "
    "check again answers the same; one of other seeds is a look of its own that may err in another 5 %, uncorrected.",
    "failed": "FAILED: the program or the machine failed in some runs, which says nothing about the variants.",
}
NO_COMMAND = "no command repeats it, its plug-in is in no file."
ORDER = ("regressed", "inconclusive", "improved", "pass")


def write(check: Check, *, json_file: Path | None = None, junit: Path | None = None) -> None:
    """Write the files that were asked for; under GitHub Actions also the job summary and annotations."""
    if json_file:
        with writing_to(json_file):
            json_file.write_text(as_json(check), encoding="utf-8", errors="backslashreplace")
    if junit:
        with writing_to(junit):
            ElementTree.ElementTree(as_junit(check)).write(junit, encoding="utf-8", xml_declaration=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with writing_to(Path(summary)), Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(markdown(check))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for comparison in _sorted(check):
            if comparison.verdict == "regressed":
                print(f"::error title=ganbench::{_escaped(_with_worst(check, comparison))}")


def text(check: Check) -> str:
    """Return the headline, what is worse or open in sentences, and how many comparisons passed."""
    counts = Counter(comparison.verdict for comparison in check.judgement.comparisons)
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    lines = [HEADLINES[check.verdict], *(f"  failed: {reason}" for reason in check.failures)]
    lines += [f"  {comparison.sentence}" for comparison in _sorted(check) if comparison.verdict != "pass"]
    lines += [f"  {label}: not decided, no result by then." for label in check.undecided]
    lines += [f"  {line}" for regression in check.regressions for line in details(regression)]
    lines += [f"  note: {note}" for note in check.notes]
    return "\n".join([*lines, f"{check.suite}, {check.judgement.seeds} seeds: {tally or 'nothing compared'}."])


def details(regression: Regression) -> list[str]:
    """Return the runs of a regressed variant as lines: seed by seed, where they are, how to repeat the worst."""
    worst = regression.worst
    lines = [f"{regression.variant}, the runs that are worse, in {', '.join(regression.studies)}:"]
    lines += [f"  {run.sentence}" for run in regression.runs]
    lines.append(f"  the worst is seed {worst.seed}: {worst.command or NO_COMMAND}")
    return [*lines, *[f"  its samples: {worst.picture}"] * bool(worst.picture)]


def markdown(check: Check) -> str:
    """Return the outcome as a short markdown section: every comparison in a table, and the runs of what regressed."""
    lines = [f"## ganbench check: {check.verdict}", "", HEADLINES[check.verdict], ""]
    lines += [f"- {md.text(note)}" for note in (*check.failures, *check.notes)]
    lines += [f"- {md.text(label)}: not decided" for label in check.undecided]
    lines += ["", "| variant | measure | baseline | now | seeds | p | verdict |", "|---|---|---|---|---|---|---|"]
    for c in _sorted(check):
        cells = (
            md.text(c.variant),
            c.measure,
            f"{c.baseline:.2f}",
            f"{c.candidate:.2f}",
            f"{c.counts[1]}",
            f"{c.adjusted:.2g}",
        )
        lines.append(md.row([*cells, c.verdict]))
    for regression in check.regressions:
        lines += ["", *_worse_runs(regression)]
    return "\n".join([*lines, "", ""])


def _worse_runs(regression: Regression) -> list[str]:
    head = [["seed", "verdict", "score", "baseline", "evidence"], ["--:", "---", "--:", "---", "---"]]
    rows = [
        [
            str(run.seed), md.text(run.verdict), f"{run.score:.2f}",
            md.text(f"{run.before}, {run.score_before:.2f}" if run.score_before is not None else "none"),
            md.text(run.evidence),
        ]
        for run in regression.runs
    ]  # fmt: skip
    where, worst = ", ".join(map(md.code, regression.studies)), regression.worst
    lines = [f"### {md.text(regression.variant)}", "", f"The runs that are worse, in {where}:", ""]
    again = md.code(worst.command) if worst.command else NO_COMMAND
    samples = f" Its samples: {md.code(worst.picture)}." if worst.picture else ""
    return [*lines, *map(md.row, [*head, *rows]), "", f"The worst is seed {worst.seed}: {again}{samples}"]


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
        "undecided": check.undecided,
        "studies": [str(path) for path in check.studies],
        "comparisons": comparisons,
        "regressions": [
            {**asdict(regression), "worst": asdict(regression.worst), "studies": list(regression.studies)}
            for regression in check.regressions
        ],
    }
    return json.dumps(outcome, indent=1) + "\n"


def as_junit(check: Check) -> ElementTree.Element:
    """Return the outcome as a JUnit test suite: a regression is a failure, an inconclusive comparison is skipped."""
    found = Counter(comparison.verdict for comparison in check.judgement.comparisons)
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(f"ganbench check {check.suite}"),
        tests=str(len(check.judgement.comparisons) + len(check.undecided)),
        failures=str(found["regressed"]),
        skipped=str(found["inconclusive"] + len(check.undecided)),
        errors=str(len(check.failures)),
    )
    for comparison in check.judgement.comparisons:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(comparison.variant), name=comparison.measure)
        if comparison.verdict == "regressed":
            failure = ElementTree.SubElement(case, "failure", message=_xml(comparison.sentence))
            failure.text = _xml("\n".join(line for one in _of(check, comparison) for line in details(one)))
        elif comparison.verdict == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=_xml(comparison.sentence))
    for label in check.undecided:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(label), name="not decided")
        ElementTree.SubElement(case, "skipped", message="no result by the time that the check was ended")
    for reason in check.failures:
        case = ElementTree.SubElement(suite, "testcase", classname="runs", name="failed")
        ElementTree.SubElement(case, "error", message=_xml(reason))
    if check.notes:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(check.notes))
    return suite


def _sorted(check: Check) -> list[Comparison]:
    return sorted(check.judgement.comparisons, key=lambda comparison: ORDER.index(comparison.verdict))


def _of(check: Check, comparison: Comparison) -> list[Regression]:
    """Return the regressions that a comparison is about: of its variant, or all for the pooled one."""
    return [one for one in check.regressions if one.variant == comparison.variant] or list(check.regressions)


def _with_worst(check: Check, comparison: Comparison) -> str:
    found = _of(check, comparison)
    worst = found[0].worst if found else None
    if worst is None:
        return comparison.sentence
    return " ".join(filter(None, (comparison.sentence, worst.sentence, worst.command, worst.picture)))


def _escaped(message: str) -> str:
    """Return a message as a workflow command takes it: one line, in which a percent sign is none of its escapes."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _xml(message: str) -> str:
    """Return a text without the characters that no XML file may hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", message)
