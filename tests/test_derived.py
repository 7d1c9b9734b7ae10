"""What is derived from a table of records is what the table says now, however it was changed."""

import pytest

from ganbench import registry
from ganbench.analysis.verdicts import FAILURES, THRESHOLDS, VERDICTS, limit, rules
from ganbench.derived import Table
from ganbench.registry import Threshold, register

CHANGES = {
    "set": lambda table: table.__setitem__("b", 7),
    "deleted": lambda table: table.__delitem__("a"),
    "popped": lambda table: table.pop("a"),
    "updated": lambda table: table.update({"a": 5, "c": 6}),
    "cleared": lambda table: table.clear(),
    "added": lambda table: table.setdefault("d", 8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_derived_follows_every_change_and_is_computed_once_between(change):
    table, asked = Table(), []
    table.update({"a": 1, "b": 2})

    @table.derived
    def total(times, *, plus=0):
        asked.append(times)
        return times * sum(table.values()) + plus

    assert [total(1), total(1), total(2), total(1, plus=3), total(1, plus=4)] == [3, 3, 6, 6, 7]
    assert asked == [1, 2, 1, 1]
    CHANGES[change](table)
    assert total(2) == 2 * sum(dict(table).values())
    assert len(asked) == 5


def test_what_changes_the_table_itself_is_computed_again():
    table = Table()

    @table.derived
    def size():
        before = len(table)
        table.setdefault("loaded", 1)
        return before

    assert [size(), size(), size()] == [0, 1, 1]


def test_tables_of_verdicts_follow_the_registry(own_registry):
    def odd(case):
        """Is odd."""

    before = len(rules())
    assert "odd" not in VERDICTS
    register(
        "verdict", failure=True, rank=1, symbol="?", evidence=lambda case, held: "it is",
        thresholds={"oddity": Threshold(0.5, "of all")},
    )(odd)  # fmt: skip
    assert len(rules()) == before + 1
    assert VERDICTS["odd"] == "is odd"
    assert "odd" in FAILURES
    assert (limit("oddity"), THRESHOLDS["oddity"].value) == (0.5, 0.5)
    own_registry.plugins.pop(("verdict", "odd"))
    assert len(rules()) == before
    assert "oddity" not in THRESHOLDS


def test_what_is_measured_follows_the_registry(own_registry):
    def odd(real, fake):
        """Oddity."""

    roles, measures = registry.playing("distance"), set(registry.measures())
    register("metric", measures={"oddity": registry.Measure("odd", "down", role="distance")})(odd)
    assert registry.playing("distance") == (*roles, "oddity")
    assert {name.partition("_")[0] for name in set(registry.measures()) - measures} == {"oddity"}
