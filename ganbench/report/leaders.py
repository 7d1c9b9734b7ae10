"""The leaders of a study on seeds that did not choose them: as `ganbench confirm` has found, or how to find out."""

from __future__ import annotations

import shlex
from typing import Any

from ganbench.analysis import Study
from ganbench.analysis.findings import percent
from ganbench.analysis.ranking import rank
from ganbench.errors import UserError
from ganbench.plan import OWN_NAME
from ganbench.report.context import Context
from ganbench.results.study import Study as StoredStudy

SUFFIX = "-confirmed"
"""What `ganbench confirm` puts behind a study's name and directory."""


def leaders(context: Context) -> dict[str, Any] | None:
    """Return a line a problem of who leads on new seeds, or the command that trains them; None where nothing leads."""
    if len(context.ranking) < 2 or OWN_NAME in context.study.axes:
        return None
    if context.study.name.endswith(SUFFIX):
        return {"lines": [], "command": "", "itself": True}
    trained = confirmed_beside(context.study)
    lines = _lines(context, trained) if trained is not None else []
    return {"lines": lines, "command": "" if lines else _command(context.study), "itself": False}


def confirmed_beside(study: Study) -> Study | None:
    """Return the study beside this one in which its leaders were trained on new seeds, if it is there and of it."""
    path = study.path.resolve()
    folder = path.with_name(path.name + SUFFIX)
    if not folder.is_dir():
        return None
    try:
        found = StoredStudy(folder)
    except UserError:
        return None
    # its description names the plan whose leaders it has
    return found if str(study.provenance.get("plan_hash", "?")) in found.description else None


def _lines(context: Context, trained: Study) -> list[dict[str, Any]]:
    """Return of each problem the variant that survives most on new seeds, beside what had been seen of it."""
    found = rank(trained)
    shown = context.ranking.set_index("variant")
    lines = []
    for problem, rows in found.groupby("problem", sort=False):
        first = rows.iloc[0]
        if first["variant"] not in shown.index:
            continue
        before = shown.loc[first["variant"]]
        lines.append(
            {
                "problem": problem,
                "variant": first["variant"],
                "label": before["label"],
                "now": f"{first['failures']}/{first['seeds']}",
                "interval": f"{percent(first['failure_low'])} to {percent(first['failure_high'])} %",
                "before": f"{before['failures']}/{before['seeds']}",
                "of": len(rows),
            }
        )
    return lines


def _command(study: Study) -> str:
    path = study.path.resolve()
    # where studies lie by default; elsewhere the reader knows better, and a page names no directories of a machine
    where = f"reports/{path.name}" if path.parent.name == "reports" else path.name
    return f"ganbench confirm {shlex.quote(where)}"
