"""The page Theory, of a study of games that was trained for it."""

import numpy as np
import pytest

from ganbench import api
from ganbench.analysis import courses
from ganbench.report import build
from ganbench.report.context import Context

GRID = [
    "problem=dirac", "network=point", "loss=nonsaturating,wasserstein", "optimizer=sgd", "optimizer.sgd.g_lr=0.1",
    "optimizer.sgd.d_lr=0.1", "update=alternating,simultaneous,consensus", "regularizer=none,r1,lazy_r1",
    "regularizer.r1.gamma=0.5", "steps=300", "probe_every=5", "seeds=2", "batch_size=2", "latent_dim=1", "samples=16",
    "neighbours=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    plan = api.make_plan(None, GRID, [])
    return api.execute_plan(plan, out=tmp_path_factory.mktemp("games") / "study")


def test_what_was_measured_is_what_theory_says(study):
    rows = courses.table(study)
    known = rows[rows["agrees"].notna()]
    assert known["agrees"].all()
    by = {variant.id: variant for variant in study.variants}
    assert {by[v].regularizer for v in rows.loc[rows["agrees"].isna(), "variant"]} == {"lazy_r1"}
    for row in known.itertuples():
        variant = by[row.variant]
        if (variant.loss, variant.update, variant.regularizer) == ("wasserstein", "simultaneous", "none"):
            assert row.radius == pytest.approx(np.sqrt(1 + 0.01), abs=1e-4)
            assert row.went == {"leaves": 2}
        if (variant.loss, variant.update, variant.regularizer) == ("nonsaturating", "alternating", "r1"):
            assert row.radius == pytest.approx(np.sqrt(1 - 0.05), abs=1e-3)
            assert row.went == {"converges": 2}


@pytest.mark.parametrize("change", [lambda path: path[::-1], lambda path: path**2 * np.sign(path)])
def test_a_path_that_theory_does_not_expect_is_told(study, change, monkeypatch):
    seen = courses.displacements
    monkeypatch.setattr(courses, "displacements", lambda run: change(seen(run)))
    rows = courses.table(study)
    by = {variant.id: variant for variant in study.variants}
    converging = rows[[by[v].regularizer == "r1" for v in rows["variant"]]]
    assert not converging["agrees"].astype(bool).any()
    (text,) = courses.sentences(rows)
    assert ", not dirac-" in text


def test_the_page_has_both_sides(study, tmp_path):
    page = build(study, tmp_path / "report.html").read_text()
    section = page[page.index("id=theory>") : page.index("id=settings>")]
    assert "12 of 12 variants" in section
    assert "of 6 more it says nothing" in section
    assert "1.0050" in section
    assert section.count("<tr>") == 1 + len(study.variants)
    assert (tmp_path / "figures" / "dirac-trajectories.png").exists()
    assert "Theory:</b> 12 of 12 variants with a prediction went as it says." in page
    assert Context(study).findings[1].startswith("Theory: 12 of 12")


def test_other_studies_have_no_such_page(tmp_path):
    plan = api.make_plan(None, ["steps=4", "probe_every=4", "seeds=1", "samples=32", "neighbours=16"], [])
    page = build(api.execute_plan(plan, out=tmp_path / "study")).read_text()
    assert "id=theory>" not in page
    assert "Theory" not in page[page.index("<nav") : page.index("</nav>")]
