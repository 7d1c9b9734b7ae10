"""A measure of a user's own is one file: by its role it ranks and is shown, with what it is blind to; verdicts stay."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from ganbench import contracts, registry
from ganbench.analysis.findings import sentences
from ganbench.analysis.ranking import rank
from ganbench.analysis.seeds import final_scores
from ganbench.analysis.verdicts import VERDICTS, judge, view
from ganbench.analysis.views import ranked_by
from ganbench.declarations import BETTER_UP, ROLES, TABLES
from ganbench.errors import UserError
from ganbench.registry import Measure, playing, share
from ganbench.report import build
from ganbench.report.context import Context
from ganbench.report.figures import measures_of
from ganbench.terminal import ranking_tables

pytestmark = pytest.mark.usefixtures("own_registry")

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = '''
from ganbench import register
from ganbench.registry import share, positive


@register("metric", measures={
    "roundness": share("how round samples lie", "up", role="ROLE", blind="Sees <no> mode at all."),
    "oddness": positive("a number that is only shown", "down"),
})
def own(real, fake):
    """A measure of my own."""
    return {"roundness": fake.square().mean((-2, -1)).clamp(max=1), "oddness": fake.abs().mean((-2, -1))}
'''


@pytest.fixture
def own(tmp_path):
    """What loads a user's file, whose measure has a role."""

    def load(role):
        (tmp_path / "own.py").write_text(FILE.replace("ROLE", role))
        registry.load_file(tmp_path / "own.py")

    return load


@pytest.fixture
def study(fake, tmp_path):
    """Two losses that converge: by shipped quality hinge is no worse, by the measure of one's own it is."""
    given = [({"loss": loss, "seed": seed}, "converged") for loss in ("hinge", "wasserstein") for seed in range(2)]
    made = fake.study_of(given, tmp_path)
    better = made.runs.set_index("run")["loss"].map({"hinge": 0.2, "wasserstein": 0.9})
    made.series["roundness"] = made.series["run"].map(better)
    # what both cover and how good they are is the same, but for the new measure
    made.series["high_quality"] = 0.97
    return made


def measured(study):
    study.measures = {**study.measures, "roundness": registry.measures()["roundness"]}
    study.oracle = {**study.oracle, "ring8": {**study.oracle["ring8"], "roundness": 0.95}}
    return study


@pytest.mark.parametrize(("role", "key"), [("quality", "quality"), ("covering", "covered"), ("modes", "covered")])
def test_by_its_role_it_ranks_and_changes_no_verdict(own, study, role, key):
    before, scores, shipped = judge(study), final_scores(study), ranked_by(study, "ring8")
    assert shipped == {"covered": "modes_covered", "quality": "high_quality"}
    assert rank(study)["rank"].tolist() == [1, 1]
    own(role)
    table = rank(measured(study))
    assert ranked_by(study, "ring8") == {**shipped, key: "roundness"}
    assert [label.partition(",")[0] for label in table["label"]] == ["wasserstein", "hinge"]
    assert table["rank"].tolist() == [1, 2]
    assert table[key].tolist() == [0.9, 0.2]
    assert set(table[f"{key}_of"]) == {"roundness"}
    assert judge(study).equals(before)
    assert final_scores(study) == scores, "what a gate compares is what it was"
    assert "First is wasserstein" in " ".join(sentences(study))
    assert "median roundness 0.9" in " ".join(sentences(study))


def test_it_ranks_nothing_that_it_does_not_measure(own, study):
    own("quality")
    study.series["roundness"] = float("nan")
    assert ranked_by(measured(study), "ring8")["quality"] == "high_quality"


def test_where_nothing_shipped_measures_it_is_judged_by():
    assert view({"roundness": 0.5}) is None

    @registry.register("metric", measures={"roundness": share("how round", "up", role="quality")})
    def rounded(real, fake):
        """A measure of my own."""

    assert view({"roundness": 0.5}).quality == "roundness"
    assert view({"roundness": 0.5, "precision": 0.5}).quality == "precision"


def test_the_report_and_the_terminal_show_it_with_what_it_is_blind_to(own, study, tmp_path):
    own("quality")
    context = Context(measured(study))
    assert context.measures("ring8") == ["modes_covered", "roundness", "high_quality", "recall", "frechet"]
    assert measures_of(study, "ring8")[:2] == ["modes_covered", "roundness"]
    page = build(context, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<td>Sees &lt;no&gt; mode at all.<" in page
    console = Console(width=200)
    with console.capture() as printed:
        console.print(*ranking_tables(context.ranking))
    assert "roundness" in printed.get()


@pytest.mark.parametrize("role", ["diversity", "distance"])
def test_what_is_shown_beside_has_columns_of_its_own(role, study):
    direction = "up" if role == "diversity" else "down"

    @registry.register("metric", measures={"roundness": share("how round", direction, role=role)})
    def rounded(real, fake):
        """A measure of my own."""

    table = rank(measured(study))
    assert table["rank"].tolist() == [1, 1], "neither ranks"
    names = ["roundness", "roundness_low"] if role == "diversity" else ["roundness_final", "roundness_best"]
    assert table.loc[table["label"].str.startswith("wasserstein"), names].to_numpy().tolist() == [[0.9, 0.9]]
    assert ("Roundness distance above 1.5 x" in " ".join(sentences(study))) == (role == "distance")


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"role": "qualty"}, "Unknown role of a measure 'qualty'. Did you mean 'quality'?"),
        ({"scale": "logs"}, "Unknown scale of a measure 'logs'. Did you mean 'log'?"),
        *(({"role": role}, f"A measure with the role '{role}' is better when larger: its direction is 'up'.")
          for role in BETTER_UP),
    ],
)  # fmt: skip
def test_a_measure_that_makes_no_sense_is_told(given, told):
    with pytest.raises(UserError) as refused:
        Measure("a distance", "down", **given)
    assert told in str(refused.value)


@pytest.mark.parametrize(("name", "told"), [
    ("tied", "The metric 'own' measures 'tied', which is a column of every study's tables: choose another name."),
    ("step", "measures 'step', which is a column of every study's tables"),
    ("converged", "measures 'converged', which the verdict 'converged' is already: choose another name."),
    ("recall_ema", "measures 'recall_ema', which the metric 'neighbours' does already: choose another name."),
])  # fmt: skip
def test_a_measure_called_like_a_column_is_refused(name, told):
    def own(real, fake):
        """A measure of my own."""

    with pytest.raises(UserError) as refused:
        registry.register("metric", measures={name: share("a share")})(own)
    assert told in str(refused.value)
    assert ("metric", "own") not in registry.known()


@pytest.mark.parametrize(("name", "told"), [
    ("seeds", "The verdict 'seeds' is 'seeds', which is a column of every study's tables: choose another name."),
    ("rank", "which is a column of every study's tables"),
    ("covered", "which is a column of every study's tables"),
    ("recall", "The verdict 'recall' is 'recall', which the metric 'neighbours' does already: choose another name."),
])  # fmt: skip
def test_a_verdict_called_like_a_column_is_refused(name, told):
    def own(case):
        """Is of my own."""

    own.__name__ = name
    with pytest.raises(UserError) as refused:
        registry.register("verdict", failure=False, rank=95, symbol="S", evidence=lambda case, held: "So.")(own)
    assert told in str(refused.value)


def test_every_column_of_the_ranking_is_known(study):
    beside = {f"{name}{end}" for name in playing("diversity") for end in ("", "_iqm", "_low", "_high")}
    beside |= {f"{name}_{score}" for name in playing("distance") for score in ("final", "best", "worst_after_best")}
    columns = set(rank(study).columns)
    assert beside <= columns
    assert columns - beside - set(VERDICTS) <= TABLES
    assert not TABLES & {*VERDICTS, *registry.measures()}


def test_every_role_is_played_and_has_a_meaning():
    assert all(playing(role) and " " in meaning for role, meaning in ROLES.items())
    assert not playing("quality", foreign=True)


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are not part of this installation")
def test_the_page_for_authors_names_every_role_and_its_examples_keep_their_laws(tmp_path):
    text = DOCS.read_text(encoding="utf-8")
    assert [role for role in ROLES if f"`{role}`" not in text] == []
    (tmp_path / "roundness.py").write_text(re.search(r"```python\n(# roundness\.py.*?)```", text, re.S)[1])
    rule = re.search(r"```python\n(def map_of.*?)```", text, re.S)[1]
    (tmp_path / "hasty.py").write_text(f"from ganbench import register\n\n\n{rule}")
    for file in ("roundness.py", "hasty.py"):
        (plugin,) = contracts.plugins_of(tmp_path / file)
        results = contracts.verify(plugin)
        assert {result.status for result in results} == {"kept"}, [result.detail for result in results]
    assert "goes_as_its_linear_map_says" in [result.law.name for result in results]
    assert playing("quality", foreign=True) == ("roundness",)
