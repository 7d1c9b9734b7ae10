"""A study for a paper or a page: its ranking as LaTeX and markdown, its methods as a paragraph, metadata of a card."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.findings import percent
from ganbench.errors import unknown
from ganbench.files import replace_file, writing_to
from ganbench.report import drawn, markdown, methods, model_index
from ganbench.report.context import DASH, Context, number

WHOLE, FIRST, LAST = 30, 20, 5
"""Rows of a table that is printed whole; of a longer one the first and the last ones."""
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", DASH: "--", "∞": r"$\infty$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """A problem's ranking as cells of text; `best`: which rows may be the best; `cut`: before which some are left out.

    heads: of the columns, of which all but the second hold numbers.
    """

    problem: str
    heads: list[str]
    rows: list[list[str]]
    best: list[bool]
    of: int
    seeds: str
    cut: int | None


def write(study: Study, folder: Path, texts: Sequence[str], figures: Sequence[str] = ()) -> list[Path]:
    """Write what is asked for into a folder and return the paths: texts by their names in TEXTS, figures by formats.

    Figures go to figures/ below it. UserError for a name or a format that is not known.
    """
    drawn.check_formats(figures)
    for name in texts:
        if name not in TEXTS:
            raise unknown("text", name, TEXTS)
    context, written = Context(study), []
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(texts):
            file, made = TEXTS[name]
            with replace_file(folder / file) as temporary:
                temporary.write_text(made(context), encoding="utf-8", errors="backslashreplace")
            written.append(folder / file)
    return written + (drawn.save(context, folder / "figures", figures) if figures else [])


def ranked(context: Context) -> list[Ranked]:
    """Return the ranking of every problem with finished runs: rank, variant, failures with their interval, scores."""
    return [_ranked(context, str(problem), rows) for problem, rows in context.ranking.groupby("problem", sort=False)]


def _ranked(context: Context, problem: str, rows: pd.DataFrame) -> Ranked:
    first = rows.iloc[0]
    measures = {key: str(first[f"{key}_of"]) for key in ("covered", "quality") if isinstance(first[f"{key}_of"], str)}
    heads = ["rank", "variant", "failures", "95 %", *(_heading(context, problem, name) for name in measures.values())]
    short = len(rows) > WHOLE
    shown = pd.concat([rows.head(FIRST), rows.tail(LAST)]) if short else rows
    cells = [[*_cells(row), *(number(row[key]) for key in measures)] for row in shown.to_dict("records")]
    seeds = " to ".join(dict.fromkeys(str(int(value)) for value in (rows["seeds"].min(), rows["seeds"].max())))
    return Ranked(problem, heads, cells, shown["tied"].tolist(), len(rows), seeds, FIRST if short else None)


def _heading(context: Context, problem: str, measure: str) -> str:
    perfect = context.oracle(problem).get(measure)
    return measure.replace("_", " ") + ("" if perfect is None else f" (oracle {number(float(perfect))})")


def _cells(row: dict[Any, Any]) -> list[str]:
    interval = f"{percent(row['failure_low'])}{DASH}{percent(row['failure_high'])} %"
    return [str(row["rank"]), str(row["label"]), f"{row['failures']}/{row['seeds']}", interval]


def _caption(study: Study, table: Ranked) -> str:
    told = f"{table.problem}: variants by the share of their {table.seeds} training seeds that failed, with Wilson's "
    told += "interval, then the medians over seeds of the final scores; failed runs count. Bold: may be the best of "
    told += f"all {table.of} (95 % sure). "
    told += f"The first {FIRST} and the last {LAST}. " if table.cut else ""
    plan = study.provenance.get("plan_hash") or study.provenance.get("plan", "")
    return f"{told}ganbench {study.provenance.get('ganbench', '')}, plan {plan}."


# ---- LaTeX


def escaped(text: object) -> str:
    """Return a text for LaTeX, whatever it holds: each special character as the command that prints it.

    >>> escaped("loss_a & 50 %")
    'loss\\\\_a \\\\& 50 \\\\%'
    """
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(str(text).split()))


def latex(context: Context) -> str:
    """Return the ranking as LaTeX: a `table` a problem, ruled by booktabs, with a caption and a label."""
    tables = [_latex(context.study, table) for table in ranked(context)]
    return "\n".join(["% \\usepackage{booktabs}", *tables])


def _latex(study: Study, table: Ranked) -> str:
    lines = [_row(table.heads), r"\midrule"]
    for place, (cells, best) in enumerate(zip(table.rows, table.best, strict=True)):
        lines += [r"\midrule"] * (place == table.cut)
        lines.append(_row(cells, best))
    columns = "rlr" + "r" * (len(table.heads) - 3)
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{escaped(_caption(study, table))}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.problem)}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _row(cells: Sequence[str], best: bool = False) -> str:
    texts = [escaped(cell) for cell in cells]
    if best:
        texts[1] = rf"\textbf{{{texts[1]}}}"
    return " & ".join(texts) + r" \\"


# ---- markdown


def markdown_tables(context: Context) -> str:
    """Return the ranking as tables of GitHub markdown."""
    parts = []
    for table in ranked(context):
        rule = ["--:", "---", *["--:"] * (len(table.heads) - 2)]
        rows = [[markdown.text(cell) for cell in cells] for cells in table.rows]
        for cells, best in zip(rows, table.best, strict=True):
            cells[1] = f"**{cells[1]}**" if best else cells[1]
        if table.cut:
            rows.insert(table.cut, ["…"] * len(table.heads))
        lines = [markdown.row(cells) for cells in ([markdown.text(head) for head in table.heads], rule, *rows)]
        parts.append("\n".join([*lines, "", markdown.text(_caption(context.study, table)), ""]))
    return "\n".join(parts)


TEXTS: dict[str, tuple[str, Callable[[Context], str]]] = {
    "latex": ("ranking.tex", latex),
    "markdown": ("ranking.md", markdown_tables),
    "methods": ("methods.md", methods.methods),
    "hf": ("model-index.yaml", model_index.model_index),
}
"""What is written as text: by name, the file and the function that makes it."""
