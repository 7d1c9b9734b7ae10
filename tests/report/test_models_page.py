"""The page Models: one table a problem, lost seeds counted, bounds marked, every cell a way to its variant."""

import re

import pytest

from ganbench.registry import measures
from ganbench.report import build
from ganbench.report.context import DASH, Context
from ganbench.report.models import models_page

BITS = {"realnvp": (2.0, 3.0, 2.5), "vae": (4.0, 4.0, 4.0), "gan": (float("nan"),) * 3}


@pytest.fixture
def study(fake, tmp_path):
    given = [
        ({"problem": "ring8", "model": model, "seed": seed}, "diverged" if (model, seed) == ("vae", 2) else "converged")
        for model in BITS
        for seed in range(3)
    ]
    made = fake.study_of(given, tmp_path, axes=["model"])
    bits = {run["run"]: BITS[run["model"]][run["seed"]] for run in made.runs.to_dict("records")}
    made.series["bits_per_dim"] = made.series["run"].map(bits)
    # what is measured before the end does not count
    made.series.loc[made.series["step"] < made.series["step"].max(), "bits_per_dim"] += 10
    made.measures = {**made.measures, "bits_per_dim": measures()["bits_per_dim"]}
    made.runs["gflop"], made.runs["memory_mb"] = 12.0, 3.0
    made.oracle = {**made.oracle, "ring8": {**made.oracle["ring8"], "bits_per_dim": 1.5}}
    return made


def test_rows_are_variants_in_the_order_of_the_ranking_with_medians_over_seeds(study):
    context = Context(study)
    (group,) = models_page(context)
    names = [column["name"] for column in group["columns"]]
    assert names[-1] == "bits_per_dim"
    assert {"modes_covered", "high_quality", "recall"} <= set(names)
    assert group["oracle"][-1] == "1.5"
    assert [row["variant"] for row in group["rows"]] == list(context.ranking["variant"])
    rows = {row["label"]: row for row in group["rows"]}
    assert {label: (row["failed"], row["cells"][-1]) for label, row in rows.items()} == {
        "realnvp": ("0/3", "2.5"), "vae": ("1/3", "≤ 4"), "gan": ("0/3", DASH),
    }  # fmt: skip
    assert rows["realnvp"]["legend"].startswith("Normalizing flow")
    assert [cost for cost, _ in group["costs"]] == ["seconds", "gflop", "memory_mb"]
    assert rows["gan"]["costs"] == {"seconds": "5", "gflop": "12", "memory_mb": "3"}


def cells_of(text, tag):
    """Return what stands in cells whose closing tags a page leaves out."""
    return [re.sub("<[^>]*>", "", tag + cell).strip() for cell in re.split(f"{tag}(?=[ >])", text)[1:]]


def test_what_few_models_have_stands_behind_what_all_cost(study, tmp_path):
    """Of three variants one has a recall: it is out of sight where the costs are not."""
    known = study.runs[study.runs["model"] == "vae"]["run"]
    study.series["recall"] = study.series["recall"].where(study.series["run"].isin(known))
    text = build(study, tmp_path / "r.html").read_text(encoding="utf-8")
    page = text.partition("id=models>")[2].partition("</section>")[0]
    head, _, body = page.partition("<tbody")
    heads = cells_of(head, "<th")
    assert heads[-5:] == ["bits per dim", "s to train", "GFLOP", "MB a run", "recall"]
    for row in body.partition("</table")[0].split("<tr")[1:]:
        cells = cells_of(row, "<td")
        assert len(cells) == len(heads)
        if cells[0] != "oracle":
            assert cells[-4:-1] == ["5", "12", "3"]
            assert (cells[-1] == DASH) == (cells[0] != "vae")


def test_a_lost_seed_has_the_worst_there_is(study):
    study.runs.loc[(study.runs["model"] == "vae") & (study.runs["seed"] == 1), "status"] = "diverged"
    study.runs["diverged_step"] = study.runs["diverged_step"].where(study.runs["status"] != "diverged", 100)
    (group,) = models_page(Context(study))
    cells = next(row["cells"] for row in group["rows"] if row["label"] == "vae")
    assert cells[-1] == "≤ ∞"
    assert cells[[column["name"] for column in group["columns"]].index("recall")] == "0"


def test_every_cell_leads_to_its_variant(study, tmp_path):
    text = build(study, tmp_path / "r.html").read_text(encoding="utf-8")
    page = text.partition("id=models>")[2].partition("</section>")[0]
    (group,) = models_page(Context(study))
    for row in group["rows"]:
        assert page.count(f"href=#v-{row['variant']}") == 2 + len(group["columns"]) + len(group["costs"])
        assert f"id=v-{row['variant']} " in text
    assert "<a href=#models>Models</a>" in text
    assert re.search("≤ 4", page)


def test_variants_of_one_model_are_told_by_their_settings(fake, tmp_path):
    given = [({"problem": "ring8", "model": model, "loss": loss, "seed": 0}, "converged")
             for model, loss in (("vae", "hinge"), ("gan", "hinge"), ("gan", "minimax"))]  # fmt: skip
    (group,) = models_page(Context(fake.study_of(given, tmp_path, axes=["model", "loss"])))
    assert {row["label"] for row in group["rows"]} == {"vae", "gan: hinge", "gan: minimax"}


@pytest.mark.parametrize("models", [["gan"], []])
def test_without_any_other_model_there_is_no_page(fake, tmp_path, models):
    given = [({"problem": "ring8", "seed": 0, **({"model": model} if model else {})}, "converged")
             for model in models or [""]]  # fmt: skip
    study = fake.study_of(given, tmp_path)
    assert models_page(Context(study)) is None
