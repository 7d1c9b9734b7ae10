"""The commands of the gate: `ganbench baseline` and `ganbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ganbench.console import Margins, Plugins, WorkersOption, err, load_files, out
from ganbench.dry_run import counted
from ganbench.errors import UserError

What = Annotated[list[str], typer.Argument(metavar="STUDY... | suite=NAME_OR_FILE [KEY=VALUE]...")]
File = Annotated[Path | None, typer.Option(help="What `ganbench baseline` wrote: a file, or a folder of them.")]
Revision = Annotated[
    str | None,
    typer.Option("--against", metavar="REV", help="Train both sides: this tree, and its repository's revision REV."),
]
Interpreter = Annotated[
    str | None,
    typer.Option("--against-env", metavar="PYTHON", help="Train the other side by this interpreter's environment."),
]
Wanted = Annotated[list[str] | None, typer.Option(help="Check variants whose name holds this text only.")]
Folder = Annotated[Path | None, typer.Option("--out", "-o", help="Directory of the studies that are trained.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def _writable(file: Path | None) -> Path | None:
    """Return a file that is to be written; UserError where it cannot be, before anything is trained for it."""
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        why = "it is a folder" if file.is_dir() else f"there is no folder '{file.parent}'"
        raise UserError(f"Cannot write to '{file}': {why}.")
    return file


Json = Annotated[Path | None, typer.Option("--json", help="Write the judgement as JSON.", callback=_writable)]
Junit = Annotated[Path | None, typer.Option(help="Write the judgement as JUnit XML.", callback=_writable)]
Reuse = Annotated[
    bool, typer.Option("--reuse", help="Reuse what an earlier check of the same plan, code and machine trained.")
]
Canary = Annotated[
    bool, typer.Option("--canary", help="Pass at once where every result equals the baseline's, seed by seed.")
]
Minutes = Annotated[
    float | None, typer.Option(help="Train for so long at most; what is not decided by then is inconclusive.")
]
Bisect = Annotated[
    bool, typer.Option("--bisect", help="Exit as `git bisect run` has it: 125 for whatever is neither 0 nor 1.")
]
Allow = Annotated[bool, typer.Option("--allow-inconclusive", help="Exit with 0 where nothing is shown either way.")]


def baseline(
    study: Annotated[Path, typer.Argument(help="Directory of a finished study.")],
    file: Annotated[
        Path,
        typer.Option("--out", "-o", help="The JSON file to write, or a folder: a file for each machine and torch."),
    ],
    margin: Margins = None,
    update: Annotated[bool, typer.Option("--update", help="Replace a baseline, and tell what is another.")] = False,
) -> None:
    """Freeze a study's per-seed values in one file, to check later ones against."""
    # what judges studies is heavy
    from ganbench import checking
    from ganbench.analysis.drift import drift
    from ganbench.results import baselines

    frozen = checking.freeze_study(study, checking.parse_margins(margin or []))
    place = baselines.place(file, frozen.source)
    if place.exists():
        for line in drift(baselines.readable(place), frozen).lines:
            out.print(escape(line), soft_wrap=True)
        if not update:
            raise UserError(f"'{place}' is a baseline already, and was left as it is: --update replaces it.")
    frozen.save(place)
    runs = sum(len(variant.runs) for variant in frozen.variants)
    out.print(
        f"Baseline of {counted(len(frozen.variants), 'variant')}, {runs} runs: {escape(str(place))}", soft_wrap=True
    )


def check(
    what: What,
    baseline: File = None,
    against: Revision = None,
    against_env: Interpreter = None,
    variant: Wanted = None,
    margin: Margins = None,
    plugin: Plugins = None,
    out_dir: Folder = None,
    device: Device = "auto",
    workers: WorkersOption = None,
    json_file: Json = None,
    junit: Junit = None,
    reuse: Reuse = False,
    canary: Canary = False,
    minutes: Minutes = None,
    bisect: Bisect = False,
    allow_inconclusive: Allow = False,
) -> None:
    """Check studies, or a suite that is trained for as many seeds as it needs, against a baseline or a revision."""
    # what trains and judges is heavy; what --bisect asks for is done where the process ends, which sees every code
    from ganbench import checking
    from ganbench.against import Against, check_against
    from ganbench.report import verdict_files

    trains, other = any("=" in word for word in what), Against(against or "", against_env or "")
    beside = against is not None or against_env is not None
    _agree(trains, baseline, beside, "--reuse" * reuse or "--canary" * canary, minutes)
    request = checking.Request(baseline, tuple(variant or ()), checking.parse_margins(margin or []), canary)
    training: checking.Training = {"plugins": plugin or [], "out": out_dir, "device": device, "workers": workers}
    training |= {"minutes": minutes, "tell": _tell}
    if trains:
        result = check_against(what, request, other, **training) if baseline is None else (
            checking.check_suite(what, request, reuse=reuse, **training))  # fmt: skip
    else:
        load_files(plugin)
        result = checking.check_studies([Path(word) for word in what], request)
    out.print(escape(verdict_files.text(result)), soft_wrap=True)
    verdict_files.write(result, json_file=json_file, junit=junit)
    raise typer.Exit(0 if allow_inconclusive and result.verdict == "inconclusive" else result.exit_code)


def _agree(trains: bool, baseline: Path | None, other: bool, no_use: str, minutes: float | None) -> None:
    """Raise UserError where the options of a check do not go together."""
    if (baseline is None) == (not other):
        got = "both" if other else "neither"
        raise UserError(
            f"A check is against a baseline's file (--baseline FILE) or a side that is trained beside it (--against "
            f"REV, --against-env PYTHON): got {got}."
        )
    if other and not trains:
        raise UserError("With --against both sides are trained: give a suite (suite=NAME_OR_FILE), not a study.")
    if other and no_use:
        raise UserError(
            f"{no_use} is for checks against a file: with --against both sides are trained anew, and variants that "
            "give the same numbers on both pass at once."
        )
    if minutes is not None and not trains:
        raise UserError("--minutes is for checks that train: studies that exist are judged in no time.")


def _tell(text: str) -> None:
    err.print(escape(text), soft_wrap=True)
