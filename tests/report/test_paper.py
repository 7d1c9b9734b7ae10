"""What a paper takes from a study: tables, figures, the paragraph of methods, metadata; numbers derived again."""

import math
import re
from collections import Counter
from dataclasses import replace

import pytest
import yaml

from ganbench import api
from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.report import drawn, heatmaps, methods, model_index, paper
from ganbench.report.context import Context
from ganbench.suite import resolve

TINY = ["steps=20", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32", "network.mlp.width=8"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    overrides = [*TINY, "problem=ring8", "loss=hinge,minimax", "normalization=none,spectral", "seeds=2"]
    return api.run(None, overrides, out=tmp_path_factory.mktemp("trained") / "study", workers=1)


@pytest.fixture(scope="module")
def context(fake, tmp_path_factory):
    return Context(fake.large(tmp_path_factory.mktemp("fake"), seeds=2, problems=("ring8", "grid25")))


# ---- tables


def tabulars(text):
    """Return the rows of cells of every tabular, as LaTeX reads them: lines end with two backslashes, & parts cells."""
    found = []
    for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line != r"\midrule"]
        assert all(line.endswith(r" \\") for line in lines)
        found.append([re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines])
    return found


def test_latex_has_the_ranking(context):
    text = paper.latex(context)
    tables = tabulars(text)
    problems = list(context.ranking["problem"].unique())
    assert len(tables) == len(problems) == text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    columns = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    for problem, (head, *rows), ruled in zip(problems, tables, columns, strict=True):
        ranking = context.ranking[context.ranking["problem"] == problem].to_dict("records")
        shown = ranking if len(ranking) <= 30 else [*ranking[:20], *ranking[-5:]]
        assert head[:4] == ["rank", "variant", "failures", r"95 \%"]
        assert {len(row) for row in rows} == {len(head)} == {len(ruled)}
        for row, known in zip(rows, shown, strict=True):
            assert row[0] == str(known["rank"])
            label = known["label"].replace("_", r"\_")
            assert row[1] == (rf"\textbf{{{label}}}" if known["tied"] else label)
            assert row[2] == f"{known['failures']}/{known['seeds']}"


def test_latex_prints_what_a_name_holds():
    assert paper.escaped(r"a_b & 5 % of $x \ {y} #1 ~^") == (
        r"a\_b \& 5 \% of \$x \textbackslash{} \{y\} \#1 \textasciitilde{}\textasciicircum{}"
    )


def test_braces_of_latex_are_balanced(context):
    text = re.sub(r"\\[{}]", "", paper.latex(context))
    depth = 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0


def test_markdown_has_the_same_cells(context):
    text = paper.markdown_tables(context)
    for table in paper.ranked(context):
        for cells in table.rows:
            assert f"| {cells[0]} | " in text
            assert f" | {cells[2]} | " in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) <= 2


# ---- figures


def test_figures_are_named_by_what_they_show(trained, tmp_path):
    written = trained.export(tmp_path, figures=["pdf", "svg"])
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    expected = {"heatmap-failures", "curves", "samples"}
    assert {f"figures/ring8-{name}.{kind}" for name in expected for kind in ("pdf", "svg")} <= names
    assert not (tmp_path / "results.csv").exists(), "tables where nothing else is asked for"
    for path in written:
        head = path.read_bytes()[:200]
        assert head.startswith(b"%PDF-") if path.suffix == ".pdf" else b"<?xml" in head


@pytest.mark.slow
def test_the_same_study_gives_the_same_files(trained, tmp_path):
    one, two = (trained.export(tmp_path / name, figures=["pdf", "svg", "png"]) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_heat_map_has_the_colours_and_numbers_of_the_report(context):
    for each in heatmaps.maps(context, "ring8"):
        figure = drawn.heat_map(each)
        blocks = each["blocks"]
        assert len(figure.axes) == len(blocks)
        for axis, block in zip(figure.axes, blocks, strict=True):
            cells = [cell for row in block["rows"] for cell in row["cells"]]
            texts = Counter(text.get_text() for text in axis.texts)
            assert texts == Counter(text for cell in cells for text in (cell["text"], cell.get("small", "")))
            assert [patch.get_facecolor() for patch in axis.patches] == [
                matplotlib_colour(cell.get("background", drawn.ABSENT)) for cell in cells
            ]
            assert [label.get_text() for label in axis.get_yticklabels()] == [row["label"] for row in block["rows"]]


def matplotlib_colour(text):
    return (*(int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)), 1.0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"figures": ["eps"]}, "Unknown format of figures 'eps'. Did you mean"),
        ({"texts": ["latx"]}, "Unknown text 'latx'. Did you mean 'latex'?"),
        ({"figures": "pdf"}, "'figures' is a list of texts"),
    ],
)
def test_what_cannot_be_written_is_said_first(trained, tmp_path, given, told):
    with pytest.raises(UserError, match=re.escape(told.split(" Did")[0])):
        trained.export(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


# ---- methods


PLANS = {
    "one": [*TINY, "problem=ring8", "seeds=2"],
    "swept": [*TINY, "problem=ring8,line", "loss=hinge,minimax,wasserstein", "normalization=none,instance,layer",
              "seeds=0..6",
              "optimizer.adam.d_lr=0.0011,0.0022"],
    "tuned": ["suite=robustness", "problem=ring8", "seeds=3"],
    "stability": ["suite=stability"],
}  # fmt: skip


class Stored:
    """What the paragraph reads of a study beside its plan."""

    def __init__(self, plan: Plan) -> None:
        self.study, self.plan = self, plan
        self.provenance = {"ganbench": "0.1.0", "torch": "", "device": "cpu"}


def numbers(text):
    return re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])", text)


@pytest.mark.parametrize("name", PLANS)
def test_every_number_of_the_methods_is_the_plans(name):
    plan = api.make_plan(None, PLANS[name])
    text = methods.methods(Stored(plan))
    own = text.replace(methods.JUDGED, "").replace("ganbench 0.1.0", "").replace(plan.hash, "")
    known = plan.to_dict()
    rows = known["variants"]
    counted = [len(rows) * len(known["seeds"]), len(rows), len(known["seeds"]), len(known["skipped"])]
    problems = Counter(row["problem"] for row in rows)
    counted += [len(problems), *problems.values(), known["probe_every"], known["samples"], known["neighbours"]]
    counted += [*known["seeds"]]
    # 0 and 0.0 are one number, and two texts
    values = {str(value) for v in plan.variants for value in (*v.values.values(), *dict(v.hypers).values())}
    for problem in problems:
        points = {tuple(dict(v.hypers).get(key) for key in plan.tuned) for v in plan.variants if v.problem == problem}
        counted.append(len(points))
    allowed = {*map(str, counted), *values}
    assert [number for number in numbers(own) if number not in allowed] == []
    # and what a reader looks for first is there
    assert f"We trained {counted[0]} run" in text
    assert f"{len(rows)} variant" in text
    assert f"plan {plan.hash}" in text


def test_the_methods_say_what_varied_and_what_did_not():
    text = methods.methods(Stored(api.make_plan(None, PLANS["swept"])))
    assert "the loss (hinge, minimax and wasserstein)" in text
    assert "optimizer.adam.d_lr (0.0011 and 0.0022)" in text
    assert "12 combinations are not defined and were not trained" in text
    assert "with 7 training seeds 0 to 6 each" in text
    assert "the batch size is 16" in text
    assert "network.mlp.width = 8" in text
    assert "Every 10 steps and at the end, 64 generated samples" in text


def test_of_a_watched_loop_no_more_is_told_than_is_known():
    plan = api.make_plan(None, PLANS["one"])
    text = methods.methods(Stored(replace(plan, listed=(plan.runs[0].id,))))
    assert text.startswith("We watched 1 run of a training loop of our own with ganbench.Monitor. Every 10 steps")
    assert "adam" not in text
    assert "All runs were judged by ganbench" in text


def test_the_methods_of_a_stored_study(trained, tmp_path):
    (path,) = trained.export(tmp_path, texts=["methods"])
    text = path.read_text()
    assert text.startswith(
        "We trained 8 runs: 4 variants on 1 problem (variants: ring8 (4)) with 2 training seeds 0, 1 each."
    )
    assert trained.plan.hash in text


# ---- a model card


def test_model_index_is_what_the_hub_reads(context):
    models = yaml.safe_load(model_index.model_index(context))["model-index"]
    ranking = context.ranking.to_dict("records")
    assert [model["name"] for model in models] == [f"{row['problem']}: {row['label']}" for row in ranking]
    for model, row in zip(models, ranking, strict=True):
        (result,) = model["results"]
        assert set(result["task"]) == set(result["dataset"]) == {"type", "name"}
        values = {metric["type"]: metric["value"] for metric in result["metrics"]}
        assert all(isinstance(value, float) and math.isfinite(value) for value in values.values())
        assert values["failure_rate"] == pytest.approx(row["failures"] / row["seeds"], abs=1e-6)
        assert not [kind for kind in values if kind.startswith("fid")], "no distance of ours is the hub's FID"


def test_plans_of_the_table_are_those_that_run(trained):
    assert resolve(None, PLANS["one"]).runs
    assert len(trained.runs) == 8
