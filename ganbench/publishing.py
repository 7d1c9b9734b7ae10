"""The job behind `ganbench publish`: studies as a static site, with an index, a leaderboard and every report.

Plain files that need no server and load nothing: what draws and judges is heavy, and imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import ganbench
from ganbench.errors import UserError
from ganbench.files import replace_file, writing_to
from ganbench.results.store import Store
from ganbench.results.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from ganbench.report.context import Context

REPORTS = Path("reports")
DEPTH = 3
"""Levels of folders below `reports` that are looked through for studies."""
FILES = ("report.html", "report.md", "results.csv", "results.json")
BOARD = 50
"""Variants of a board that are shown."""
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A study of the site: its folder below `studies`, and what its pages say of it."""

    slug: str
    context: Context

    @property
    def told(self) -> dict[str, Any]:
        """What the index shows."""
        runs = self.context.runs[self.context.runs["status"] != "skipped"]
        finished = runs[runs["failed"].notna()]
        known = self.context.study.provenance
        return {
            "name": self.context.study.name, "description": self.context.study.description, "address": self.address,
            "runs": len(runs), "finished": len(finished), "failures": int(finished["failed"].astype(bool).sum()),
            "variants": int(runs["variant"].nunique()), "problems": self.context.problems,
            "when": known.get("finished", ""),
            "by": ", ".join(f"{key} {known[key]}" for key in ("ganbench", "torch", "device") if known.get(key)),
            "plan": known.get("plan_hash", ""), "finding": next(iter(self.context.findings), ""), "files": FILES[1:],
        }  # fmt: skip

    @property
    def address(self) -> str:
        """Where its pages are, as a link from the index."""
        return f"studies/{quote(self.slug)}"


def publish(
    folder: Path, studies: Sequence[Path] | None = None, tell: Callable[[str], None] = lambda text: None
) -> Path:
    """Write index.html, leaderboard.html and studies/NAME/ with each report into a folder; return the index's path.

    studies: by default all below reports/. Pages that are there are replaced, others stay. UserError where there is no
    study, where one does not read, and where the folder cannot be written.
    """
    from ganbench import api
    from ganbench.report.context import Context
    from ganbench.report.figures import file_name

    if Store(folder).exists():
        raise UserError(f"The directory '{folder}' holds a study: choose another one for the site.")
    entries: list[Entry] = []
    for path in studies or found(REPORTS):
        name = file_name(path.resolve().name) or "study"
        taken = {entry.slug for entry in entries}
        slug = next(one for one in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)
        entry = Entry(slug, Context(Study(path)))
        tell(f"{path} -> {api.write_report(entry.context, folder / 'studies' / slug / 'report.html')}")
        entries.append(entry)
    _write(folder / "leaderboard.html", page="leaderboard", boards=list(boards(entries)), most=BOARD)
    _write(folder / "index.html", page="index", studies=[entry.told for entry in entries])
    return folder / "index.html"


def found(folder: Path) -> list[Path]:
    """Return the studies below a folder; UserError where there is none."""
    patterns = ["/".join(["*"] * level) for level in range(1, DEPTH + 1)]
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if Store(path).exists()]
    if not paths:
        raise UserError(f"There is no study in '{folder}': name the studies to publish, or train one.")
    return paths


def boards(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Yield a board a problem that is measured alike: the variants of all studies, ranked as within one.

    Their order is that of `analysis.ranking`: failures and undecided runs, failures, modes, quality. `best` marks those
    that may be the best of the board (95 %), whichever study they are of.
    """
    import pandas as pd

    from ganbench.analysis.inference import may_be_best

    tables = [_rows(entry) for entry in entries if len(entry.context.ranking)]
    if not tables:
        return
    table = pd.concat(tables, ignore_index=True)
    alike = ["problem", "covered_of", "quality_of", "samples"]
    for (problem, covered, quality, samples), rows in table.groupby(alike, sort=False, dropna=False):
        lost = rows["failures"] + rows["undecided"]
        rows = rows.assign(best=may_be_best(lost, rows["seeds"]), lost=lost / rows["seeds"])
        order = rows.assign(covered=-rows["covered"].fillna(-1e300), quality=-rows["quality"].fillna(-1e300))
        order = order.sort_values(["lost", "failure_rate", "covered", "quality"], kind="stable")
        measures = [name for name in (covered, quality) if isinstance(name, str)]
        yield {
            "problem": problem, "samples": samples, "measures": [name.replace("_", " ") for name in measures],
            "rows": [_told(row, len(measures)) for row in rows.loc[order.index].head(BOARD).to_dict("records")],
            "of": len(rows),
        }  # fmt: skip


def _rows(entry: Entry) -> pd.DataFrame:
    steps = dict(entry.context.study.runs[["variant", "steps"]].drop_duplicates("variant").to_numpy())
    ranking = entry.context.ranking
    samples = entry.context.study.provenance.get("samples")
    more = {"study": entry.context.study.name, "address": entry.address, "samples": samples}
    return ranking.assign(steps=ranking["variant"].map(steps), **more)


def _told(row: dict[Any, Any], measures: int) -> dict[str, Any]:
    from ganbench.report.context import number

    # a failure rate with nothing of its interval would be a claim
    low, high = round(100 * row["failure_low"]), round(100 * row["failure_high"])
    scores = [number(row[key]) for key in ("covered", "quality")][:measures]
    return {**row, "interval": f"{low} to {high} %", "scores": scores}


def _write(path: Path, **given: Any) -> None:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = Markup((FOLDER / "serve.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    text = environment.get_template("publish.html").render(style=style, version=ganbench.__version__, **given)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
