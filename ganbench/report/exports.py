"""A study's results as files for other programs: CSV and JSON always, Parquet where pyarrow is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.scores import SCORES
from ganbench.errors import UserError, unknown
from ganbench.files import replace_file, writing_to
from ganbench.report import settings
from ganbench.report.context import Context

SCHEMA = 1
"""Of results.json; it grows when a key changes its meaning or goes, not when one is added."""

FORMATS = ("csv", "json", "parquet")
NO_PARQUET = "Parquet files need pyarrow: pip install 'ganbench[parquet]'."


def export(
    study: Study, folder: Path | str, formats: Iterable[str] | None = None, *, context: Context | None = None
) -> list[Path]:
    """Write a study's results into a folder, created where it is missing, and return the files' paths.

    results.csv, results.json and results.parquet hold the same table of runs (see `table`), series.parquet every probe
    of every run. formats: any of csv, json, parquet; by default all of them, without parquet where pyarrow is missing.
    context: of this study, where there is one already: it takes seconds. UserError for an unknown format, for parquet
    that is asked for without pyarrow, and where the folder cannot be written.
    """
    wanted = check_formats(formats)
    context = context or Context(study)
    target, results = Path(folder), table(context)
    writers: dict[str, Callable[[Path], Any]] = {}
    if "csv" in wanted:
        writers["results.csv"] = lambda file: results.to_csv(file, index=False)
    if "json" in wanted:
        writers["results.json"] = lambda file: file.write_text(
            as_json(context, results), encoding="utf-8", errors="backslashreplace"
        )
    if "parquet" in wanted:
        writers["results.parquet"] = lambda file: _as_parquet(_storable(results), file)
        writers["series.parquet"] = lambda file: _as_parquet(study.series, file)
    with writing_to(target):
        target.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            with replace_file(target / name) as temporary:
                write(temporary)
    return [target / name for name in writers]


def _as_parquet(frame: pd.DataFrame, file: Path) -> None:
    # opened here: pyarrow takes no path that is no text
    with file.open("wb") as stream:
        frame.to_parquet(stream, engine="pyarrow", index=False)


def check_formats(formats: Iterable[str] | None = None) -> Sequence[str]:
    """Return the formats to write, by default all that can be; UserError for one that is unknown or cannot be."""
    if formats is None:
        return FORMATS if has_parquet() else [name for name in FORMATS if name != "parquet"]
    wanted = list(formats)
    for name in wanted:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if "parquet" in wanted and not has_parquet():
        raise UserError(NO_PARQUET)
    return wanted


def has_parquet() -> bool:
    """Tell whether Parquet files can be written here."""
    try:
        import_module("pyarrow")
    except ImportError:
        return False
    return True


def table(context: Context) -> pd.DataFrame:
    """Return one row a run, a skipped combination one row too: settings, status, cost, verdict, scores, origin.

    Beside the columns of `Study.runs` there is `label`, the variant in words, and for every measure that has a
    direction its three scores, MEASURE_final, MEASURE_best and MEASURE_worst_after_best: NaN where the problem does
    not define it or the run has not finished, infinite for a run that diverged or failed where the measure's bad end
    is infinite. At the end come the command that trains the run again, every setting that has no column yet, and what
    trained the study.
    """
    runs = context.runs.assign(failed=context.runs["failed"].astype("boolean"))
    first = ["run", "variant", "label", "problem"]
    runs = runs[[*first, *(name for name in runs.columns if name not in first)]]
    return _with_origin(context, _with_scores(context, runs))


def _with_scores(context: Context, runs: pd.DataFrame) -> pd.DataFrame:
    long = context.scores
    if long.empty:
        return runs
    wide = long.pivot(index="run", columns="measure", values=list(SCORES))
    known = context.study.measures
    measured = [name for name in known if (SCORES[0], name) in wide.columns]
    columns = [(score, name) for name in measured for score in SCORES]
    wide = wide[columns]
    wide.columns = pd.Index([f"{name}_{score}" for score, name in columns])
    return runs.merge(wide, left_on="run", right_index=True, how="left")


def _with_origin(context: Context, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the table with how to repeat each run, what was set for all of them, and by what they were trained."""
    commands, others = context.study.commands, settings.others(context)
    runs = runs.assign(command=[commands.get(run, "") for run in runs["run"]])
    runs = runs.merge(others, left_on="variant", right_index=True, how="left") if others.size else runs
    # all at once: a table that grows column by column warns of its fragments where there are many
    told = pd.DataFrame(settings.environment(context), index=runs.index)
    return pd.concat([runs.drop(columns=told.columns, errors="ignore"), told], axis=1)


def as_json(context: Context, results: pd.DataFrame) -> str:
    """Return the runs with ranking, findings, settings, the meaning of the measures, oracle and provenance as JSON.

    Valid JSON: what is missing, not a number or infinite is null. What is the same for all runs of a problem, or of the
    study, is there once.
    """
    study = context.study
    differing = {key for problem in context.problems for key in settings.differing(context, problem)}
    once = [*settings.environment(context), *(key for key in settings.others(context) if key not in differing)]
    content = {
        "schema": SCHEMA,
        "name": study.name,
        "description": study.description,
        "mixed": study.provenance.get("mixed", ""),
        "findings": context.findings,
        "ranking": context.ranking.to_dict("records"),
        "settings": {problem: settings.shared(context, problem) for problem in context.problems},
        "runs": results.drop(columns=once).to_dict("records"),
        "measures": {name: asdict(measure) for name, measure in study.measures.items()},
        "oracle": study.oracle,
        "provenance": study.provenance,
    }
    return json.dumps(_plain(content), allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: object) -> Any:
    """Return a value in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (str, bool, int, float)) else str(value)


def _storable(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one type a column: a swept setting may mix numbers, words and lists."""
    mixed = [name for name in results.columns if results[name].dtype == object]
    texts = {name: results[name].map(lambda value: None if _plain(value) is None else str(value)) for name in mixed}
    return results.assign(**texts)
