"""The public jobs, from Python as from the command line: run a suite, load a study, write its report.

torch, scipy and what draws figures are heavy: each is imported where a job needs it.
"""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganbench import cells, kinds, provenance, registry, reuse
from ganbench.errors import UserError, quoted, unknown
from ganbench.notebook import watcher
from ganbench.plan import Plan, Run
from ganbench.reading import listed
from ganbench.results import tables
from ganbench.results.store import Store
from ganbench.results.study import Study as StoredStudy
from ganbench.suite import resolve

if TYPE_CHECKING:
    from ganbench.executors.base import Executor
    from ganbench.report.context import Context
    from ganbench.report.plots import Plots

DEVICES = ("auto", "cpu", "cuda")
SHOWN = 5
"""Variants of a problem that a notebook shows of a study."""
Watch = Callable[[str, dict[str, Any]], None]
Tell = Callable[[str], None]


class Study(StoredStudy):
    """A study with what follows from its results: `runs` with verdicts, `ranking`, `report`, `plot`, `compare`."""

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: settings, status, cost, and its verdict with onset step and evidence.

        so_far: for a run without an end, what its probes say, "collapsed since step 500, at step 2000"; empty for
        others. findings: what its game does, "D is not moving since step 500; ...".
        """
        from ganbench.analysis.game import briefly
        from ganbench.analysis.verdicts import judge, judged, so_far_briefly

        stored = StoredStudy(self.path)
        runs = judged(stored, judge(stored))
        for name, told in (("so_far", so_far_briefly(stored)), ("findings", briefly(stored))):
            runs[name] = [told.get(run, "") for run in runs["run"]]
        return runs

    def ranking(self) -> pd.DataFrame:
        """One row a variant: failures over seeds with their interval, then its typical scores; best first."""
        from ganbench.analysis.ranking import rank

        return rank(StoredStudy(self.path))

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report (default: report.html in the study's directory) and return its path.

        Beside it: report.md, which tells the same on a page, and the files of `export`.
        """
        return write_report(StoredStudy(self.path), path)

    def export(
        self,
        folder: str | Path | None = None,
        formats: Sequence[str] | None = None,
        *,
        figures: Sequence[str] = (),
        texts: Sequence[str] = (),
    ) -> list[Path]:
        """Write results.csv, results.json and, with pyarrow, results.parquet and series.parquet; return their paths.

        folder: by default the study's directory; formats: those of csv, json, parquet that are wanted; figures: write
        every figure as pdf, svg, png instead; texts: the ranking as latex, as markdown, the methods as a paragraph, the
        metadata of a model card for hf (files: `report.paper.TEXTS`). UserError for an unknown format, parquet without
        pyarrow, and a folder that cannot be written.
        """
        from ganbench.report import exports, paper

        stored, target, written = StoredStudy(self.path), Path(folder or self.path), []
        figures, texts = listed(figures, "figures", '["pdf"]'), listed(texts, "texts", '["latex"]')
        if formats is not None or not (figures or texts):
            written += exports.export(stored, target, formats)
        return written + (paper.write(stored, target, texts, figures) if figures or texts else [])

    @cached_property
    def plot(self) -> Plots:
        """Its figures for a notebook: `plot.grid()`, `.curves()`, `.samples()`, `.robustness()`, which return axes."""
        from ganbench.report.plots import Plots

        return Plots(StoredStudy(self.path))

    def compare(self, other: Study | str | Path) -> Comparison:
        """Set it against another study, variant by variant; UserError where the two measure in different ways."""
        from ganbench.analysis.comparison import compare_studies

        theirs = other if isinstance(other, StoredStudy) else Study(other)
        table = compare_studies(StoredStudy(self.path), StoredStudy(theirs.path))
        return Comparison(str(self.path), str(theirs.path), table)

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.runs["status"].value_counts().items())
        ranking = self.ranking()
        first = ranking.groupby("problem", sort=False).head(SHOWN) if len(ranking) else ranking
        head = ("variant", "problem", "rank", "failed", "95 %")
        rows = [(row["label"], row["problem"], row["rank"], f"{row['failures']}/{row['seeds']}",
                 f"{100 * row['failure_low']:.0f} to {100 * row['failure_high']:.0f} %")
                for row in first.to_dict("records")]  # fmt: skip
        more = f"The first {SHOWN} variants of each problem, of {len(ranking)}:" if len(rows) < len(ranking) else ""
        page = f"Report: {self.path / 'report.html'}" if (self.path / "report.html").exists() else ""
        return cells.card(f"Study {self.name} in {self.path}", [f"Runs: {counts}.", page, more], head, rows)


@dataclass(frozen=True)
class Comparison:
    """Two studies set against each other: `table` has a row a variant that both have (see `compare_studies`)."""

    first: str
    second: str
    table: pd.DataFrame

    def _repr_html_(self) -> str:
        from ganbench.report.compare import ANSWERS

        answers = Counter(self.table["answer"] if len(self.table) else ())
        told = ", ".join(f"{count} {ANSWERS.get(answer, answer)}" for answer, count in answers.most_common())
        both = f"{cells.counted(len(self.table), 'variant')} in both: {told}."
        told = both if told else "No variant is in both."
        head = ("variant", "problem", "failed in the first", "in the second", "difference of the rates (95 %)",
                "p (Holm)", "answer")  # fmt: skip
        rows = [(row["label"], row["problem"], f"{row['failures_a']}/{row['seeds_a']}",
                 f"{row['failures_b']}/{row['seeds_b']}",
                 f"{row['difference']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})",
                 f"{row['adjusted']:.2g}", ANSWERS.get(row["answer"], row["answer"]))
                for row in self.table.to_dict("records")]  # fmt: skip
        return cells.card(f"{self.first} and {self.second}", [told], head if rows else (), rows)


def load(path: str | Path) -> Study:
    """Open a study's directory, finished or not; UserError where there is none."""
    return Study(path)


def write_report(study: StoredStudy | Context, path: str | Path | None = None) -> Path:
    """Write the report of a study as it is stored, with what belongs beside it; see `Study.report`."""
    from ganbench.report import build, exports, summary
    from ganbench.report.context import Context

    context = study if isinstance(study, Context) else Context(study)
    page = build(context, path)
    summary.write(context, page.parent)
    exports.export(context.study, page.parent, context=context)
    return page


def make_plan(
    suite: str | None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    out: str | Path | None = None,
) -> Plan:
    """Load plug-in files and resolve a suite under overrides (`suite=NAME` among them counts too).

    out: where its study is to live; one that is there already may name the plug-in file that is missing.
    """
    for file in listed(plugins, "plugins", '["my_loss.py"]'):
        registry.load_file(file)
    overrides = [str(text) for text in listed(overrides, "overrides", '["loss=hinge", "seeds=3"]')]
    named = [text.removeprefix("suite=") for text in overrides if text.startswith("suite=")]
    if len(named) > 1 or (named and suite is not None):
        raise UserError(f"One suite at a time, got {', '.join(map(str, filter(None, [suite, *named])))}.")
    try:
        return resolve(named[0] if named else suite, [text for text in overrides if not text.startswith("suite=")])
    except UserError as error:
        if out is None or not (hint := _missing_plugins(Store(Path(out)))):
            raise
        raise UserError(f"{error} {hint}") from error


def _missing_plugins(store: Store) -> str:
    """Say which plug-in files a study was trained with that this session has not loaded: they are named, never run."""
    try:
        files = store.read_plan().plugin_files
    except UserError:
        return ""
    missing = [file for file in files if file not in registry.loaded_files()]
    options = " ".join(f"--plugin {shlex.quote(file)}" for file in missing)
    return f"The study in '{store.path}' was trained with plug-ins: add {options}." if missing else ""


def run(
    suite: str | None = None,
    overrides: Sequence[str] = (),
    *,
    plugins: Sequence[str | Path] = (),
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    fresh: bool = False,
    continue_anyway: bool = False,
    watch: Watch | None = None,
    tell: Tell | None = None,
    **settings: Any,
) -> Study:
    """Train everything that a suite asks for, or the part that is still missing, and return the study.

    suite: a shipped suite's name or a YAML file; overrides: `key=value` texts as on the command line; settings: the
    same by name, `loss=["hinge", my_loss], seeds=5, regularizer__r1__gamma=0.3` (see `worded`); plugins: files to load
    first; out: the study's directory (default: reports/SUITE-HASH); device: auto, cpu or cuda; workers:
    processes on a CPU (default: a core each); a plug-in of this session alone trains in this process, and one that
    ends its process then ends yours; executor: who does the work in place of these (see ganbench.executors.base);
    shard: "3/16" trains that share of the plan alone, for `ganbench merge`; fresh: start over; continue_anyway: go on
    with a study that other code of ganbench, another torch or another device has begun, and record it; watch: called
    with a population's name and an event while training goes on; tell: called with a sentence on what is reused.
    Repeating the call goes on where the last one ended. Where `watch` is not given, a notebook shows how far it is.
    Raises UserError for what cannot be done as asked.
    """
    plan = make_plan(
        suite, [*listed(overrides, "overrides", '["loss=hinge", "seeds=3"]'), *worded(settings)], plugins, out
    )
    return execute_plan(
        plan, out=out, device=device, workers=workers, executor=executor, shard=shard, fresh=fresh,
        continue_anyway=continue_anyway, watch=watch, tell=tell,
    )  # fmt: skip


def worded(settings: Mapping[str, Any]) -> list[str]:
    """Return settings by name as overrides: two underscores are a dot, a list is a sweep, a function its plug-in.

    A plain function is registered under its own name, as a plug-in of the key's kind. UserError for what cannot be
    written.

    >>> worded({"loss": ["hinge", "minimax"], "seeds": 5, "regularizer__r1__gamma": 0.3})
    ['loss=["hinge", "minimax"]', 'seeds=5', 'regularizer.r1.gamma=0.3']
    """
    return [f"{key.replace('__', '.')}={_worded(key, value)}" for key, value in settings.items()]


def _worded(key: str, value: Any) -> str:
    if callable(value):
        if key not in kinds.axes():
            raise UserError(f"The key '{key}' takes no function: functions are plug-ins, as in loss=my_loss.")
        registry.register(kinds.kind_of(key))(value)
        return str(value.__name__.rstrip("_"))
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, list | tuple | range):
        return json.dumps([_worded(key, one) if callable(one) else one for one in value], default=_number)
    return json.dumps(value, default=_number)


def _number(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's and torch's
        return value.tolist()
    raise UserError(f"A setting is a text, a number, a list, a mapping or a function, got {quoted(value)}.")


def execute_plan(
    plan: Plan,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    fresh: bool = False,
    continue_anyway: bool = False,
    watch: Watch | None = None,
    tell: Tell | None = None,
    by: str = "run",
) -> Study:
    """Train a plan; see `run`. by: the job that asks, which the study records."""
    from ganbench.executors import blame, shards
    from ganbench.executors.base import Tasks
    from ganbench.executors.local import choose
    from ganbench.executors.work import check, mend

    executor = choose(plan, device := pick_device(device), workers, executor)
    check(work := shards.share_of(plan, device, shard), plan.time_limit)
    store = Store(Path(out) if out else default_folder(plan, shard))
    reuse.refuse_uncovered(store, plan, fresh=fresh)
    store.begin(plan, fresh=fresh)
    watch = watch or watcher(plan, device, store.path)
    with store.lock():
        reuse.enter(store, device, by, anyway=continue_anyway)
        mend(store, plan, device, tell or (lambda text: watch("", {"event": "told", "text": text})))
        todo = store.todo(plan, work := blame.units(store, work))
        if len(todo) < len(work) and tell:
            tell(reuse.sentence(store, sum(map(len, work.values())), sum(map(len, todo.values()))))
        session, clock = provenance.begin_session(device, executor.workers, plan.plugin_files), time.monotonic()
        if todo:
            executor.run(Tasks(store, plan, todo, device, watch))
        if todo or shard or not store.sessions():
            store.log_session(provenance.end_session(session, time.monotonic() - clock, shard))
        store.status_file.unlink(missing_ok=True)
        tables.keep_large(store.path, plan, lambda: StoredStudy(store.path).layout)
    return Study(store.path)


def remaining(plan: Plan, device: str, folder: Path | None, shard: str | None = None) -> dict[str, list[Run]]:
    """Return the populations of a plan that have not ended in a study's folder, or all where it holds another plan.

    shard: of a share of it alone, "3/16".
    """
    from ganbench.executors.blame import units
    from ganbench.executors.shards import share_of

    work = share_of(plan, device, shard)
    if folder is None or not (store := Store(folder)).exists() or store.read_plan().hash != plan.hash:
        return work
    return store.todo(plan, units(store, work))


def default_folder(plan: Plan, shard: str | None = None) -> Path:
    """Return where a plan's study lives unless told otherwise: the same plan always finds its study again.

    shard: a share of it, "3/16", has a folder of its own.
    """
    folder = Path("reports") / f"{plan.name}-{plan.hash[:8]}"
    if shard is None:
        return folder
    from ganbench.executors.shards import Shard

    return folder.with_name(f"{folder.name}{Shard.read(shard).suffix}")


def pick_device(device: str) -> str:
    """Return cpu or cuda; UserError where it is unknown or not there."""
    import torch

    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here (torch.cuda.is_available() is False); use --device cpu.")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
