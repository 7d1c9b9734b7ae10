"""A kind that is added to the table is found everywhere: there is no other list of kinds."""

import pytest
from typer.testing import CliRunner

from ganbench import registry
from ganbench.analysis.ranking import level
from ganbench.binding import bind
from ganbench.cli import app
from ganbench.contracts.base import laws
from ganbench.errors import UserError
from ganbench.kinds import KINDS, Axis, Kind
from ganbench.plan import Plan
from ganbench.repeat import repeat
from ganbench.suite import resolve


@pytest.fixture
def curricula(own_registry, monkeypatch):
    """A kind that nobody here knows, with two plug-ins, an axis that came later, and a home without any."""
    kind = Kind(
        "curriculum", "json", {"": ("progress",)}, axes=(Axis("curriculum", "even", later=True),), composes=True
    )
    monkeypatch.setitem(KINDS, "curriculum", kind)

    @registry.register("curriculum")
    def even(progress):
        """All samples alike."""
        return 1.0

    @registry.register("curriculum")
    def easy_first(progress, *, until: float = 0.5):
        """Easy samples first."""
        return min(1.0, progress / until)


@pytest.mark.usefixtures("curricula")
def test_it_is_an_axis_of_every_suite():
    before = resolve(None, []).variants[0].id
    plan = resolve(
        None, ["curriculum=even,easy_first,even+easy_first", "curriculum.easy_first.until=0.25,0.5", "seeds=1"]
    )
    assert [v.curriculum for v in plan.variants] == ["even", *["easy_first"] * 2, *["even+easy_first"] * 2]
    assert plan.variants[0].id == before, "an axis that came later leaves the ids of its default alone"
    assert plan.variants[1].id.startswith("ring8-nonsaturating-none-easy_first-")
    assert "curriculum.easy_first" in plan.versions
    assert plan.legends["curriculum.easy_first"] == "Easy samples first."
    assert Plan.from_dict(plan.to_dict()) == plan
    assert bind(plan.variants[1], "curriculum")(0.05) == 0.2
    assert plan.varying == ["curriculum", "curriculum.easy_first.until"]
    assert "curriculum" not in plan.to_dict()["variants"][0]


@pytest.mark.usefixtures("curricula")
def test_it_is_listed_shown_named_and_repeated():
    run = CliRunner().invoke
    assert "easy_first" in run(app, ["list", "curriculum"]).output
    assert "curriculum" in run(app, ["list"]).output
    assert "until" in run(app, ["show", "curriculum", "easy_first"]).output
    assert (level("curriculum", "easy_first"), level("g_regularizer", "none")) == (
        "easy_first",
        "no generator regularizer",
    )
    assert not laws("curriculum")
    plan = resolve(None, ["curriculum=easy_first", "seeds=1"])
    assert "curriculum=easy_first" in repeat(plan, plan.runs[0])


@pytest.mark.usefixtures("curricula")
@pytest.mark.parametrize(("override", "told"), [
    ("curriculum=easy_frst", "Unknown curriculum 'easy_frst'. Did you mean 'easy_first'?"),
    ("curiculum=even", "Unknown key 'curiculum'. Did you mean 'curriculum'?"),
    ("curriculum.easy_first.util=1",
     "Unknown hyper-parameter of the curriculum 'easy_first' 'util'. Did you mean 'until'?"),
])  # fmt: skip
def test_mistakes_in_it_are_told(override, told):
    with pytest.raises(UserError) as refused:
        resolve(None, [override])
    assert told in str(refused.value)


@pytest.mark.usefixtures("curricula")
def test_its_plugins_are_held_to_the_table():
    with pytest.raises(UserError, match="is called as"):

        @registry.register("curriculum")
        def wrong(progress, other):
            """Takes too much."""
