"""The page Claims: every statement that a study puts on trial, what is published, what was found, and the verdict."""

from __future__ import annotations

import math
import shlex
from typing import Any

from ganbench.analysis.claims import REFUTED, SUPPORTED, UNDECIDED
from ganbench.report import markdown
from ganbench.report.context import DASH, Context, number

SLUGS = {SUPPORTED: "supported", REFUTED: "refuted", UNDECIDED: "undecided"}


def claims_page(context: Context) -> dict[str, Any] | None:
    """Return the page's rows and how many have which verdict; None for a study without claims."""
    table = context.claims
    if table.empty:
        return None
    names = dict(context.runs[["variant", "label"]].drop_duplicates().to_numpy())
    command = str(context.study.provenance.get("command", ""))
    rows = [_told(row, names, command) for row in table.to_dict("records")]
    counts = [(verdict, slug, sum(row["verdict"] == verdict for row in rows)) for verdict, slug in SLUGS.items()]
    return {"rows": rows, "counts": counts, "published": any(row["published"] or row["explained"] for row in rows)}


def _told(row: dict[Any, Any], names: dict[str, str], command: str) -> dict[str, Any]:
    texts = ("claim", "says", "source", "published", "explained", "treatment", "control", "measure", "why", "verdict")
    return {
        **{key: row[key] for key in texts},
        "slug": SLUGS[row["verdict"]],
        "expected": expectation(row),
        "treated": number(row["treated"]),
        "controlled": "" if is_number(row["control"]) else number(row["controlled"]),
        "effect": signed(row["effect"]),
        "value": "" if math.isnan(row["effect"]) else row["effect"],
        "interval": interval(row),
        "p": p_value(row["adjusted"]),
        "alone": p_value(row["p"]),
        "runs": f"{row['settings']} {DASH} {row['seeds']}",
        "of": f"{row['runs']} runs: settings that are compared, and seeds in each",
        "variants": [(one, names.get(one, one)) for one in row["variants"]],
        "command": _alone(command, row["claim"]),
    }


def _alone(command: str, claim: str) -> str:
    """Return the command that trains a claim's runs alone; empty where the study's is not known, or has chosen."""
    return f"{command} claims={shlex.quote(claim)}" if "suite=" in command and "claims=" not in command else ""


def is_number(control: str) -> bool:
    """Tell whether a number stands for a claim's control."""
    try:
        return math.isfinite(float(control))
    except ValueError:
        return False


def expectation(row: dict[Any, Any]) -> str:
    """Return what a claim says of its measure: "higher, by 0.1 or more"."""
    if row["expected"] == "same":
        return f"the same, within {number(row['margin'])}"
    return f"{row['expected']}, by {number(row['margin'])} or more"


def signed(value: float) -> str:
    """Return an effect with its sign."""
    return DASH if math.isnan(value) else f"{'+' if value > 0 else ''}{number(float(value))}"


def interval(row: dict[Any, Any]) -> str:
    """Return the interval of an effect, "range" before that of few seeds."""
    if math.isnan(row["low"]):
        return DASH
    return f"{signed(row['low'])} to {signed(row['high'])}"


def p_value(p: float) -> str:
    """Return a p-value: three digits after the point, less as "<.001"."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def claims_table(context: Context) -> list[str]:
    """Return the claims as lines of markdown; none for a study without."""
    table = context.claims
    if table.empty:
        return []
    head = ["claim", "published", "measured", "effect (95 %)", "p (Holm)", "verdict"]
    rows = []
    for row in table.to_dict("records"):
        of = f"{row['measure']}: {row['treatment']} {number(row['treated'])}, {row['control']}"
        of += "" if is_number(row["control"]) else f" {number(row['controlled'])}"
        effect = f"{signed(row['effect'])} ({interval(row)})"
        cells = [f"{row['says']} ({row['source']})", row["published"], of, effect, p_value(row["adjusted"])]
        verdict = f"**{row['verdict']}**: {markdown.text(row['why'])}"
        rows.append(markdown.row([*map(markdown.text, cells), verdict]))
    ruled = ["---", "---", "---", "---", "--:", "---"]
    return ["", "### Claims on trial", "", markdown.row(head), markdown.row(ruled), *rows]
