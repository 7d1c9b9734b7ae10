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
File = Annotated[Path | None, typer.Option(help="The file that `ganbench baseline` wrote.")]
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
Json = Annotated[Path | None, typer.Option("--json", help="Write the judgement as JSON.")]
Junit = Annotated[Path | None, typer.Option(help="Write the judgement as JUnit XML.")]
Reuse = Annotated[
    bool, typer.Option("--reuse", help="Reuse what an earlier check of the same plan, code and machine trained.")
]
Canary = Annotated[
    bool, typer.Option("--canary", help="Pass at once where every result equals the baseline's, seed by seed.")
]
Allow = Annotated[bool, typer.Option("--allow-inconclusive", help="Exit with 0 where nothing is shown either way.")]


def baseline(
    study: Annotated[Path, typer.Argument(help="Directory of a finished study.")],
    file: Annotated[Path, typer.Option("--out", "-o", help="The JSON file to write.")],
    margin: Margins = None,
) -> None:
    """Freeze a study's per-seed values in one file, to check later ones against."""
    # what judges studies is heavy
    from ganbench import checking

    frozen = checking.make_baseline(study, file, checking.parse_margins(margin or []))
    runs = sum(len(variant.runs) for variant in frozen.variants)
    out.print(
        f"Baseline of {counted(len(frozen.variants), 'variant')}, {runs} runs: {escape(str(file))}", soft_wrap=True
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
    allow_inconclusive: Allow = False,
) -> None:
    """Check studies, or a suite that is trained for as many seeds as it needs, against a baseline or a revision."""
    # what trains and judges is heavy
    from ganbench import checking
    from ganbench.against import Against, check_against
    from ganbench.report import verdict_files

    trains, other = any("=" in word for word in what), Against(against or "", against_env or "")
    _agree(trains, baseline, against is not None or against_env is not None, "--reuse" * reuse or "--canary" * canary)
    request = checking.Request(baseline, tuple(variant or ()), checking.parse_margins(margin or []), canary)
    training: checking.Training = {
        "plugins": plugin or [], "out": out_dir, "device": device, "workers": workers, "tell": _tell
    }  # fmt: skip
    if baseline is None:
        result = check_against(what, request, other, **training)
    elif trains:
        result = checking.check_suite(what, request, reuse=reuse, **training)
    else:
        load_files(plugin)
        result = checking.check_studies([Path(word) for word in what], request)
    out.print(escape(verdict_files.text(result)), soft_wrap=True)
    verdict_files.write(result, json_file=json_file, junit=junit)
    raise typer.Exit(0 if allow_inconclusive and result.verdict == "inconclusive" else result.exit_code)


def _agree(trains: bool, baseline: Path | None, other: bool, no_use: str) -> None:
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


def _tell(text: str) -> None:
    err.print(escape(text), soft_wrap=True)
