"""The commands that write for others to read: config, export, publish, completion. Nothing heavy until one needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ganbench.console import Plugins, err, load_files, out

StudyArgument = Annotated[Path, typer.Argument(help="Directory of a study, finished or not.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[SUITE] [KEY=VALUE | KEY=A,B,C]...")]
Formats = Annotated[
    str | None, typer.Option("--format", metavar="A,B", help="csv, json, parquet (default: all that can be).")
]
Figures = Annotated[
    str | None, typer.Option("--figures", metavar="A,B", help="Every figure and heat map as pdf, svg, png.")
]


def config(
    words: Words = None,
    plugin: Plugins = None,
    file: Annotated[Path | None, typer.Option("--out", "-o", help="Write it there.")] = None,
) -> None:
    """Print every setting of a suite under overrides as a suite that makes the same plan."""
    load_files(plugin)
    from ganbench.files import replace_file, writing_to
    from ganbench.written import written

    suite, overrides = _suite(words or [])
    _, text = written(suite, overrides)
    if file is None:
        print(text, end="")
        return
    with writing_to(file), replace_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    out.print(f"Wrote {escape(str(file))}", soft_wrap=True)


def _suite(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the suite that is named, and the overrides: one is given by its name alone, or as `suite=NAME`."""
    from ganbench.errors import UserError

    named = [word.removeprefix("suite=") for word in words if word.startswith("suite=") or "=" not in word]
    if len(named) > 1:
        raise UserError(f"One suite at a time, got {', '.join(named)}.")
    return named[0] if named else None, [word for word in words if "=" in word and not word.startswith("suite=")]


def export(
    study: StudyArgument,
    folder: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write (default: the study).")] = None,
    formats: Formats = None,
    figures: Figures = None,
    latex: Annotated[bool, typer.Option("--latex", help="The ranking as LaTeX (booktabs).")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The ranking as markdown.")] = False,
    methods: Annotated[bool, typer.Option("--methods", help="A methods paragraph, from the plan.")] = False,
    hf: Annotated[bool, typer.Option("--hf", help="Metadata of a model card: Hugging Face's model-index.")] = False,
    plugin: Plugins = None,
) -> None:
    """Write a study's results as tables, figures and texts: CSV, JSON and Parquet unless others are asked for."""
    load_files(plugin)
    from ganbench import api
    from ganbench.report import exports, paper

    texts = [name for name, wanted in zip(paper.TEXTS, (latex, markdown, methods, hf), strict=True) if wanted]
    opened = api.load(study)
    for damage in opened.damage:
        err.print(escape(str(damage)), soft_wrap=True)
    for path in opened.export(folder, _listed(formats), figures=_listed(figures) or (), texts=texts):
        out.print(f"Wrote {escape(str(path))}", soft_wrap=True)
    if formats is None and not (texts or figures) and not exports.has_parquet():
        err.print(f"Left out: {escape(exports.NO_PARQUET)}", soft_wrap=True)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the pages go, for any web host.")],
    studies: Annotated[
        list[Path] | None, typer.Argument(metavar="[STUDY]...", help="Studies (default: all in reports/).")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write a static site: an index of studies, a leaderboard of their variants, and every report."""
    load_files(plugin)
    from ganbench import publishing

    path = publishing.publish(folder, studies, tell=lambda text: out.print(escape(text), soft_wrap=True))
    out.print(f"Site: {escape(str(path))}", soft_wrap=True)


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")]) -> None:
    """Print what teaches a shell to complete commands, options, keys and values: eval "$(ganbench completion bash)"."""
    from ganbench import shells

    print(shells.script(shell), end="")
