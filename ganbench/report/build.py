"""Build the report: one HTML file that opens from disk, and its figures beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ganbench.analysis import Study
from ganbench.files import replace_file, writing_to
from ganbench.report import colours, sections
from ganbench.report.claims import claims_page
from ganbench.report.classes import classes
from ganbench.report.compare import LOOKS, comparisons
from ganbench.report.context import Context, number
from ganbench.report.figures import Curves, curves, file_name
from ganbench.report.front import front
from ganbench.report.heatmaps import scores_of
from ganbench.report.images import images
from ganbench.report.models import models_page
from ganbench.report.one_run import one_run, run_pages
from ganbench.report.packing import as_json, folded, shortened
from ganbench.report.payload import payload
from ganbench.report.profiles import statistics
from ganbench.report.robustness import robustness_page
from ganbench.report.survival import survival
from ganbench.report.theory import theory
from ganbench.report.thumbnails import png_uri

PAGE = Path(__file__).parent / "page"
SCRIPT = ("base.js", "curves.js", "steps.js", "samples.js", "pages.js")
"""The page's own script, in the order of its parts: `pages.js`, which puts it together, is the last."""
PAGES = (
    ("findings", "Findings"), ("claims", "Claims"), ("grid", "Grid"), ("variants", "Variants"),
    ("models", "Models"), ("robustness", "Robustness"), ("survival", "Survival"), ("statistics", "Statistics"),
    ("curves", "Curves"), ("samples", "Samples"), ("images", "Images"), ("diagnosis", "Diagnosis"),
    ("classes", "Classes"), ("theory", "Theory"), ("settings", "Settings"), ("missing", "Skipped and failed"),
    ("measures", "Measures"), ("provenance", "Provenance"),
)  # fmt: skip
"""Pages in the order of the navigation: each is a section with this id in template.html, or in a file that it includes,
made of what `build` puts under a name of its own into the study's page, and left out where there is None under its id.
With a script it has a line in `set_up`."""
COMPARING = ("grid", "variants", "robustness", "survival", "statistics")
"""Pages that a study of one run has not: there is nothing to compare."""
ALONE: dict[str, Any] = {"survival": {}, "profiles": {}, "ranked": []}
"""What the script draws on those, where there are none."""


def build(study: Study | Context | Sequence[Study | Context], path: Path | str | None = None) -> Path:
    """Write the report of one or several studies, as they are or with what was computed of them, and return its path.

    `path` is the HTML file, by default `report.html` in the (first) study's directory; the figures go to `figures/`
    beside it, as PNG. The page loads nothing: pictures, data, styles and script are in it, and without the
    script it shows the same findings, tables and static figures.
    """
    given = list(study) if isinstance(study, Sequence) else [study]
    if not given:
        raise ValueError("a report needs at least one study")
    contexts = [one if isinstance(one, Context) else Context(one) for one in given]
    studies = [context.study for context in contexts]
    target = Path(path) if path is not None else studies[0].path / "report.html"
    with writing_to(target.parent):
        (target.parent / "figures").mkdir(parents=True, exist_ok=True)
    several, folder = len(studies) > 1, target.parent / "figures"
    made = [_study(one, folder, f"s{index}-" if several else "") for index, one in enumerate(contexts, 1)]
    # the path of a study may be no text: what UTF-8 does not have is spelt out
    _write(target, _page(studies, made).encode("utf-8", "backslashreplace"))
    return target


def _study(context: Context, folder: Path, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the page shows of a study, and what its script reads of it; write its figures."""
    study, only = context.study, one_run(context)
    page = sections.section(context, prefix)
    compared, lines = _compared(context, folder, prefix) if only is None else (dict.fromkeys(COMPARING), ALONE)
    if only is not None and not page["missing"] and not page["damage"]:
        page["missing"] = None
    data = {"places": context.places, "grid": scores_of(page["problems"]), **payload(context), **lines}
    more = {"classes": classes(context), "images": images(context), "theory": _theory(context, folder, prefix)}
    more["models"] = models_page(context)
    page["front"] = None if only is not None else front(context)
    page |= {"curves": _curves(study, folder, prefix), **compared, **more, "claims": claims_page(context)}
    page |= {"one": only, "run_pages": run_pages(context)}
    return page, {"prefix": prefix, "name": study.name, **folded(data)}


def _compared(context: Context, folder: Path, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pages that compare runs, and what the script draws on them; write their figures."""
    alive, over = _survival(context, folder, prefix), _statistics(context, folder, prefix)
    lines = {
        "survival": {group["problem"]: group.pop("lines") for group in alive},
        "profiles": over.pop("lines"),
        "ranked": over.pop("ranked"),
    }
    return {"survival": alive, "statistics": over, "robustness": _robustness(context, folder, prefix)}, lines


def _page(studies: Sequence[Study], made: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "coded": _coded}
    scripts = [_file("uPlot.iife.min.js"), _script()]
    return shortened(
        environment.get_template("template.html").render(
            studies=[page for page, _ in made],
            pages=PAGES,
            comparisons=comparisons(studies),
            looks=LOOKS,
            rules=sections.rules(),
            thresholds=sections.thresholds(),
            styles=Markup(_file("uPlot.min.css") + colours.styles() + _file("report.css")),  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704
            script_hashes=Markup(" ".join(map(_hash, scripts))),  # noqa: S704
            data=Markup(as_json({"studies": [data for _, data in made], "rules": sections.rules(), **colours.drawn()})),  # noqa: S704
        )
    )


def _coded(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def _file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _script() -> str:
    """Return the parts of the page's script as one, out of which no name leaks."""
    return '(async () => {\n"use strict";\n' + "\n".join(map(_file, SCRIPT)) + "})();"


def _hash(script: str) -> str:
    """Return the policy's name of a script: no other one runs, so that no name in a study can become one."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _survival(context: Context, folder: Path, prefix: str) -> list[dict[str, Any]]:
    groups = []
    for group in survival(context):
        figure = group.pop("figure")
        _save(figure, folder, prefix)
        groups.append({**group, "title": figure.title, "uri": png_uri(figure.png)})
    return groups


def _theory(context: Context, folder: Path, prefix: str) -> dict[str, Any] | None:
    page = theory(context)
    for game in page["games"] if page else []:
        figure = game.pop("figure")
        if figure:
            _save(figure, folder, prefix)
        game["pictures"] = _embedded([figure] if figure else [])
    return page


def _robustness(context: Context, folder: Path, prefix: str) -> list[dict[str, Any]] | None:
    groups = robustness_page(context)
    for group in groups or []:
        figures = group.pop("figures")
        for figure in figures:
            _save(figure, folder, prefix)
        group["pictures"] = _embedded(figures)
    return groups


def _statistics(context: Context, folder: Path, prefix: str) -> dict[str, Any]:
    page = statistics(context)
    figure = page.pop("figure")
    if figure is None:
        return {**page, "title": "", "uri": ""}
    _save(figure, folder, prefix)
    return {**page, "title": figure.title, "uri": png_uri(figure.png)}


def _save(figure: Curves, folder: Path, prefix: str) -> None:
    _write(folder / f"{file_name(prefix + figure.name)}.png", figure.png)


def _curves(study: Study, folder: Path, prefix: str) -> list[dict[str, Any]]:
    groups = []
    for problem in study.runs["problem"].unique():
        figures = list(curves(study, str(problem)))
        for figure in figures:
            _save(figure, folder, prefix)
        if figures:
            groups.append({"problem": str(problem), "left_out": figures[0].left_out, "figures": _embedded(figures)})
    return groups


def _embedded(figures: list[Curves]) -> list[dict[str, Any]]:
    return [{"title": figure.title, "uri": png_uri(figure.png)} for figure in figures]


def _write(path: Path, content: bytes) -> None:
    with writing_to(path), replace_file(path) as temporary:
        temporary.write_bytes(content)
