"""The command line: parses, prints, exits. Imports nothing heavy until a command needs it."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from ganbench import __version__, examining, gate, maintaining, studies, writing
from ganbench.console import (
    CODES,
    FULL,
    Margins,
    Overrides,
    Plugins,
    WorkersOption,
    drop_output,
    err,
    load_files,
    out,
    say,
    tell_bug,
)  # fmt: skip
from ganbench.dry_run import counted, show_plan, size_of
from ganbench.errors import Exit, UserError, unknown
from ganbench.kinds import KINDS

if TYPE_CHECKING:
    from ganbench.api import Study
    from ganbench.registry import Plugin
    from ganbench.results.study import Study as StoredStudy

S = TypeVar("S", bound="StoredStudy")

app = typer.Typer(
    epilog=CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmark and diagnose the stability of GAN training.",
)

UNENDED = ("failed", "pending", "running")
"""What a run may be that has not ended: success is that none is."""


def main() -> None:
    """Run the command line. The only place where an exception becomes a sentence and an exit code."""
    try:
        _refuse_empty(sys.argv[1:])
        code = app(standalone_mode=False) or Exit.OK
        # what cannot be written must not be found out after the code is told
        sys.stdout.flush()
        if code == Exit.INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except UserError as error:
        say(f"[red]Error:[/] {escape(str(error))}")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        say("Interrupted; repeat the command to go on.")
        sys.exit(Exit.INTERRUPTED)
    except (BrokenPipeError, SystemExit) as ended:
        # typer and rich end with 1, which is a regression here, where whoever read the output has gone
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        drop_output()
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # what the command line's own library refuses
            error.show()
            sys.exit(Exit.USAGE)
        if isinstance(error, OSError) and error.errno in FULL:
            say(f"[red]Error:[/] Cannot write: {escape(error.strerror or '')}.")
            drop_output()
            sys.exit(Exit.USAGE)
        tell_bug(error)
        sys.exit(Exit.INTERNAL)


def _refuse_empty(words: Sequence[str]) -> None:
    """Raise UserError for an empty argument, which an unset variable of a shell leaves: as a path it would be "."."""
    if words[:1] == ["doctor"]:
        return  # the words of a script are its own affair
    for before, word in itertools.pairwise(("", *words)):
        if not word or (word.startswith("--") and word.endswith("=")):
            named = word or (f"the one after '{before}'" if before else "the first")
            raise UserError(f"An argument is empty: {named}.")


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"ganbench {__version__}")
        raise typer.Exit(Exit.OK)


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take what holds for every command."""


@app.command(epilog=CODES)
def run(
    overrides: Overrides = None,
    plugin: Plugins = None,
    out_dir: Annotated[Path | None, typer.Option("--out", "-o", help="Directory of the study.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: WorkersOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what it would cost; train nothing.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Train the K-th of N shares alone; `ganbench merge` joins them.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over where a study exists.")] = False,
    continue_anyway: Annotated[
        bool,
        typer.Option("--continue-anyway", help="Go on with a study of other code, torch or device; it is recorded."),
    ] = False,
    margin: Margins = None,
) -> None:
    """Train a suite and write its report. Repeat the command to go on after an interruption."""
    from ganbench import api

    plan = api.make_plan(
        None, [*(overrides or []), *(f"margins.{text}" for text in margin or [])], plugin or [], out_dir
    )
    folder = out_dir or api.default_folder(plan, shard)
    if dry_run:
        show_plan(plan, api.pick_device(device), workers, None if fresh else folder, (out, err), shard=shard)
        return
    from ganbench.terminal import Progress

    out.print(f"{size_of(plan)} -> {escape(str(folder))}", soft_wrap=True)
    with Progress(plan, api.pick_device(device), folder, err) as progress:
        study = api.execute_plan(
            plan, out=folder, device=device, workers=workers, shard=shard, fresh=fresh,
            continue_anyway=continue_anyway, watch=progress.watch,
            tell=lambda text: out.print(escape(text), soft_wrap=True),
        )  # fmt: skip
    studies.tell_shard(study, shard, device) if shard else _tell_end(study)


@app.command(epilog=CODES)
def confirm(
    study: Annotated[Path, typer.Argument(help="Directory of a study, whose leaders are trained on new seeds.")],
    top: Annotated[int, typer.Option(help="How many variants of each problem.")] = 5,
    seeds: Annotated[int, typer.Option(help="How many new seeds.")] = 20,
    plugin: Plugins = None,
    out_dir: Annotated[Path | None, typer.Option("--out", "-o", help="Directory of the new study.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: WorkersOption = None,
) -> None:
    """Train the best of a study on seeds that did not choose them, and say what they are worth."""
    load_files(plugin)
    from ganbench import api, confirming
    from ganbench.terminal import Progress, confirmation_table

    asked = confirming.confirmation(_load(study), top, seeds, out_dir)
    if asked.changed:
        changed = escape(", ".join(asked.changed))
        out.print(f"Changed since the study was trained, and confirmed as it is now: {changed}.", soft_wrap=True)
    out.print(f"{size_of(asked.plan)} -> {escape(str(asked.folder))}", soft_wrap=True)
    with Progress(asked.plan, api.pick_device(device), asked.folder, err) as progress:
        trained = api.execute_plan(
            asked.plan, out=asked.folder, device=device, workers=workers, watch=progress.watch,
            tell=lambda text: out.print(escape(text), soft_wrap=True),
        )  # fmt: skip
    out.print(confirmation_table(confirming.confirmed(asked, trained)))
    out.print()
    _tell_end(trained)


@app.command()
def report(
    studies: Annotated[list[Path], typer.Argument(help="Directories of studies.")],
    file: Annotated[
        Path | None, typer.Option("--out", "-o", help="One HTML file for all of them, which compares them.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write the report of one or more studies, finished or not; verdicts of your own are in plug-in files."""
    load_files(plugin)
    from ganbench import api
    from ganbench.results.study import Study as StoredStudy

    loaded = [StoredStudy(folder) for folder in studies]  # without verdicts, which the report finds itself
    if file:
        from ganbench.report import build
        from ganbench.report.compare import LOOKS

        path = build([_tell_damage(study) for study in loaded], file)
        out.print(f"Report: {escape(str(path))}", soft_wrap=True)
        if len(loaded) > 1:
            out.print(LOOKS, soft_wrap=True)
        return
    for study in loaded:
        path = api.write_report(_tell_damage(study))
        out.print(f"Report: {escape(str(path))}", soft_wrap=True)


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A study, or a directory with studies in it.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
) -> None:
    """Show progress and reports of studies in the browser while they run."""
    from ganbench import serve as server

    server.serve(folder, host, port, tell=lambda text: out.print(escape(text), soft_wrap=True))


app.command()(gate.baseline)
app.command(epilog=CODES)(gate.check)
app.command()(maintaining.init)
app.command()(maintaining.history)
app.command(epilog=CODES)(examining.doctor)
for _command in (studies.merge, studies.status, studies.archive, studies.clean, studies.sysinfo,
                 writing.config, writing.export, writing.publish, writing.completion):  # fmt: skip
    app.command(epilog=CODES)(_command)


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help=f"suite, {', '.join(KINDS)}")] = None,
    plugin: Plugins = None,
) -> None:
    """List suites and plug-ins with their legends."""
    from ganbench.listing import legends

    load_files(plugin)
    if kind is not None and kind not in ("suite", *KINDS):
        raise unknown("kind", kind, ["suite", *KINDS])
    for each in [kind] if kind else ["suite", *KINDS]:
        table = Table("name", "what it is", title=each, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name, legend in legends(each, every=bool(plugin)):
            table.add_row(escape(name), escape(legend))
        out.print(table)
        out.print()


@app.command()
def show(kind: str, name: str, plugin: Plugins = None) -> None:
    """Show one plug-in or suite: its legend, hyper-parameters with defaults, needs and source."""
    load_files(plugin)
    if kind == "suite":
        from ganbench.reading import suite_text

        # of the user's own, perhaps: nothing in it reaches the terminal's controls
        text = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in suite_text(name).rstrip())
        out.print(escape(text), soft_wrap=True)
        return
    from ganbench import registry

    record = registry.get(kind, name)
    out.print(f"[bold]{kind} {record.name}[/]  {escape(record.legend)}", soft_wrap=True)
    for hyper, default in record.hypers.items():
        out.print(f"  {kind}.{record.name}.{hyper} = {escape(str(default))}", soft_wrap=True)
    for need, reason in record.needs.items():
        out.print(f"  needs {need}: {escape(reason)}", soft_wrap=True)
    if record.provides:
        out.print(f"  provides {', '.join(sorted(record.provides))}")
    for declared, value in record.meta.items():
        if declared not in ("measures", "thresholds", "evidence", "linear"):
            out.print(f"  {declared}: {escape(_declared(value))}", soft_wrap=True)
    for measure, about in record.meta.get("measures", {}).items():
        better = {"up": ", larger is better", "down": ", smaller is better"}.get(about.direction or "", "")
        out.print(f"  {measure}: {escape(about.legend)}{better}", soft_wrap=True)
    for threshold, known in record.meta.get("thresholds", {}).items():
        out.print(f"  threshold {threshold} = {known.value:g}: {escape(known.reason)}", soft_wrap=True)
    out.print(f"  {escape(_version(record))}, {escape(record.source or 'this session')}", soft_wrap=True)


def _version(record: Plugin) -> str:
    try:
        version = record.version_with([record.hypers])
    except UserError as error:  # it reads files, which are not here
        return f"without a version: {error}"
    return f"version {version}" if version else f"never reused ({record.identity.uncovered})"


@app.command(epilog=CODES)
def verify(files: Annotated[list[Path], typer.Argument(help="Python files with plug-ins.")]) -> None:
    """Hold the plug-ins of files to the laws of their kinds: which they break, and by how much."""
    from ganbench import contracts
    from ganbench.terminal import LAW_COLOURS, law_line

    broken = False
    for plugin in [plugin for file in files for plugin in contracts.plugins_of(file)]:
        results = contracts.verify(plugin)
        out.print(f"[bold]{plugin.kind} {plugin.name}[/]  {escape(plugin.legend)}", soft_wrap=True)
        for result in results:
            out.print(law_line(result), soft_wrap=True)
        counts = Counter(result.status for result in results)
        told = ", ".join(f"{counts[status]} {status}" for status in LAW_COLOURS if counts[status])
        out.print(f"  {told}", soft_wrap=True)
        broken |= counts["broken"] > 0
    raise typer.Exit(Exit.REGRESSED if broken else Exit.OK)


@app.command()
def bench(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of each figure, side by side.")] = 5,
    jobs: Annotated[bool, typer.Option("--jobs", help="Whole jobs on all cores of a CPU, too: minutes.")] = False,
) -> None:
    """Measure this machine: populations beside an ordinary training loop, and the rates that limit both."""
    import torch

    from ganbench import api, whole_job
    from ganbench import bench as measured

    place = torch.device(api.pick_device(device))
    table = Table(*measured.HEAD, title=measured.machine(place), title_justify="left", box=None, padding=(0, 2, 0, 0))
    with err.status("Measuring ..."):
        for row in measured.rows(place, rounds):
            table.add_row(*row)
        for work, steps in whole_job.JOBS if jobs else ():
            for row in whole_job.whole_job(work, steps, rounds).rows():
                table.add_row(*row)
    out.print(table)


def _declared(value: object) -> str:
    """Return a declaration in a line: the name of what has one, and a tuple without its brackets."""
    if isinstance(value, tuple):
        return ", ".join(map(_declared, value))
    return str(getattr(value, "name", getattr(value, "__name__", value)))


def _load(folder: Path) -> Study:
    """Open a study and tell what is damaged in it."""
    from ganbench import api

    return _tell_damage(api.load(folder))


def _tell_damage(study: S) -> S:
    for damage in study.damage:
        err.print(escape(str(damage)), soft_wrap=True)
    return study


def _tell_end(study: Study) -> None:
    """Write the report of a trained study, print its ranking, and exit with the code that its runs ask for."""
    from ganbench.terminal import ranking_tables

    out.print("Judging runs and writing the report ...")
    path = study.report()
    for table in ranking_tables(study.ranking()):
        out.print(table)
        out.print()
    if study.claims:
        from ganbench.analysis.claims import judge_claims, sentences

        out.print(escape("\n".join(sentences(judge_claims(study)))), soft_wrap=True)
    _print_failures(study)
    out.print(f"Report: {escape(str(path))}", soft_wrap=True)
    if study.runs["status"].isin(UNENDED).any():
        raise typer.Exit(Exit.FAILED)


def _print_failures(study: Study) -> None:
    failed = study.runs[study.runs["status"].isin(UNENDED)]
    for (status, reason), rows in failed.groupby(["status", "reason"]):
        what = "failed" if status == "failed" else "did not end"
        err.print(f"[red]{counted(len(rows), 'run')} {what}:[/] {escape(str(reason))}", soft_wrap=True)
