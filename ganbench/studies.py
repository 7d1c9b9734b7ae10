"""The commands around studies: merge, status, archive, clean, sysinfo. Imports nothing heavy until one needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ganbench.console import Plugins, err, load_files, out
from ganbench.errors import Exit

if TYPE_CHECKING:
    from ganbench.api import Study

StudyArgument = Annotated[Path, typer.Argument(help="Directory of a study.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Directories of studies of one plan, such as shards.")],
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Directory of the merged study; it may exist.")],
    plugin: Plugins = None,
    continue_anyway: Annotated[
        bool, typer.Option("--continue-anyway", help="Take parts of other code, torch or device; it is recorded.")
    ] = False,
) -> None:
    """Put parts of one plan together that were trained apart, and write the report."""
    load_files(plugin)
    from ganbench import api, merging

    merged = merging.merge(parts, out_dir, anyway=continue_anyway, tell=_tell_err)
    study = api.load(out_dir)
    ended = int(study.runs["status"].isin(merging.ENDED).sum())
    out.print(f"{len(parts)} parts -> {escape(str(out_dir))}: {ended} of {len(study.runs)} rows ended.", soft_wrap=True)
    if ended:
        out.print(f"Report: {escape(str(study.report()))}", soft_wrap=True)
    for text in merged.missing:
        _tell_err(text)
    if merged.missing:
        raise typer.Exit(Exit.FAILED)


def status(study: StudyArgument, as_json: AsJson = False) -> None:
    """Show what of a study runs where, since when, and how long it may take."""
    from ganbench import upkeep

    found = upkeep.status(study)
    if as_json:
        print(upkeep.as_json(found))
        return
    runs = ", ".join(f"{count} {state}" for state, count in found["runs"].items())
    out.print(f"{escape(found['suite'])} in {escape(found['study'])}: {runs}", soft_wrap=True)
    for damage in found["damage"]:
        _tell_err(damage)
    work = found["work"]
    if not found["at_work"]:
        out.print("No command is at work on it." + " The last one was ended before its time." * bool(work))
        return
    if not work:
        out.print("A command is at work on it, and has told nothing yet.")
        return
    left = work.get("left_seconds")
    out.print(
        f"At work: process {work.get('pid')} on {escape(str(work.get('host')))} for {_duration(work['seconds'])}, "
        f"heard {_duration(found['told_seconds'])} ago{f', about {_duration(left)} left' if left else ''}",
        soft_wrap=True,
    )
    out.print(_table(work["out"]))


def _table(entries: list[dict[str, Any]]) -> Table:
    table = Table("population", "where", "runs", "step", "since", "heard", box=None, padding=(0, 2, 0, 0))
    for each in entries:
        ages = [_duration(each[key]) for key in ("seconds", "heard_seconds")]
        name, where = escape(str(each.get("population"))), escape(str(each.get("where")))
        table.add_row(name, where, str(each["runs"]), f"{each['step']}/{each['steps']}", *ages)
    return table


def archive(
    study: Annotated[Path, typer.Argument(help="Directory of a study, or an archive to lay out as one again.")],
    file: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")] = None,
) -> None:
    """Make one file of a study, to send; of such a file, a study again."""
    from ganbench import upkeep

    if study.is_file():
        out.print(f"Study: {escape(str(upkeep.unpack(study, file)))}", soft_wrap=True)
        return
    written = upkeep.archive(study, file)
    out.print(f"Archive: {escape(str(written))} ({written.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


def clean(
    study: StudyArgument,
    really: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only shown.")] = False,
) -> None:
    """Show, and with --yes remove, what of a study no reader needs: old checkpoints, attempts, rests of kills."""
    from ganbench import upkeep

    found = upkeep.clean(study, really=really)
    for path, size in found:
        out.print(f"{size / 1e6:10.1f} MB  {escape(str(path))}", soft_wrap=True)
    total = sum(size for _, size in found) / 1e6
    if not found:
        out.print("Nothing to remove.")
    elif really:
        out.print(f"Removed {len(found)} files and folders, {total:.1f} MB.")
    else:
        out.print(f"Would remove these {len(found)} files and folders, {total:.1f} MB; --yes removes them.")


def sysinfo(as_json: AsJson = False) -> None:
    """Tell the versions, the device and the extras of this machine."""
    from ganbench import upkeep

    record = upkeep.sysinfo()
    if as_json:
        print(upkeep.as_json(record))
        return
    for key, value in record.items():
        text = ", ".join(value) or "none" if isinstance(value, list) else str(value)
        out.print(f"{key:<12}{escape(text)}", soft_wrap=True)


def tell_shard(study: Study, shard: str, device: str) -> None:
    """Say what a shard came to, and exit with the code that its own runs ask for."""
    from ganbench import api
    from ganbench.executors.shards import share_of
    from ganbench.merging import ENDED

    work = share_of(study.plan, api.pick_device(device), shard)
    mine = {run.id for runs in work.values() for run in runs}
    rows = study.runs[study.runs["run"].isin(mine)]
    ended = int(rows["status"].isin(ENDED).sum())
    none = " (there are more shards than populations)" if not mine else ""
    out.print(f"Shard {shard}: {ended} of {len(mine)} runs ended{none}.", soft_wrap=True)
    out.print(f"`ganbench merge` puts shards together: {escape(str(study.path))}", soft_wrap=True)
    for reason in dict.fromkeys(rows.loc[rows["status"] == "failed", "reason"]):
        _tell_err(f"failed: {reason}")
    if ended < len(mine):
        raise typer.Exit(Exit.FAILED)


def _tell_err(text: str) -> None:
    err.print(escape(text), soft_wrap=True)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
