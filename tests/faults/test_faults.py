"""Faults planted in the recipes are named, and healthy recipes are left alone."""

from collections import defaultdict

import pytest
from corpus import (
    BLIND,
    EXAMPLES,
    FAULTS,
    FRESH,
    LATER,
    MEASURING,
    MEASURING_BLIND,
    MEASURING_FRESH,
    MEASURING_LATER,
    MEASURING_UNSEEN,
    SETTLING,
    SETTLING_BLIND,
    SETTLING_FRESH,
    SETTLING_LATER,
    SETTLING_UNSEEN,
    UNSEEN,
    healthy,
    play,
)

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="examples are not installed")

# a tenth of a second each
QUICK = {"tabular", "conditional", "distillation", "closures", "energy", "scaled", "together"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def some(planted):
    return pytest.param(
        planted, marks=() if planted.recipe in QUICK and planted.name != "healthy" else pytest.mark.slow
    )


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 40
    assert {planted.recipe for planted in FAULTS} == {*SETTLING, *MEASURING}
    assert len({planted.id for planted in FAULTS}) == len(FAULTS)


def test_there_are_as_many_in_other_styles():
    assert len(LATER) >= 40
    assert {planted.recipe for planted in LATER} == {*SETTLING_LATER, *MEASURING_LATER}
    assert len({planted.id for planted in LATER}) == len(LATER)


@pytest.mark.parametrize("planted", [some(planted) for planted in [*FAULTS, *LATER]], ids=lambda planted: planted.id)
def test_a_planted_fault_is_named_among_the_first_two(planted):
    told = play(planted)
    assert told.names(planted), [str(fault) for fault in told.faults]


@pytest.mark.parametrize("recipe", sorted(QUICK))
def test_a_healthy_recipe_has_no_fault(recipe):
    assert play(healthy(recipe)).faults == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_rates_on_other_seeds(seed):
    """By half: at least 90 % named among the first two, and nothing said of healthy loops."""
    named = defaultdict(list)
    for planted in FAULTS:
        named[planted.recipe in SETTLING].append(play(planted, seed).names(planted))
    for half in named.values():
        assert sum(half) >= 0.9 * len(half)
    assert [recipe for recipe in (*SETTLING, *MEASURING) if play(healthy(recipe), seed).faults] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_rates_in_other_styles_on_other_seeds(seed):
    for half in (SETTLING_LATER, MEASURING_LATER):
        named = [play(planted, seed).names(planted) for planted in LATER if planted.recipe in half]
        assert sum(named) >= 0.9 * len(named)
    assert [recipe for recipe in (*SETTLING_LATER, *MEASURING_LATER) if play(healthy(recipe), seed).faults] == []


WITHOUT_SIGHT = [
    (UNSEEN, SETTLING_UNSEEN, MEASURING_UNSEEN), (FRESH, SETTLING_FRESH, MEASURING_FRESH),
    (BLIND, SETTLING_BLIND, MEASURING_BLIND),
]  # fmt: skip
NAMED = ["unseen", "fresh", "blind"]


@pytest.mark.parametrize(("faults", "settling", "measuring"), WITHOUT_SIGHT, ids=NAMED)
def test_there_are_as_many_that_were_written_without_sight_of_the_rules(faults, settling, measuring):
    assert len(faults) >= 80
    assert {planted.recipe for planted in faults} == {*settling, *measuring}
    assert len({planted.id for planted in faults}) == len(faults)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("faults", "settling", "measuring"), WITHOUT_SIGHT, ids=NAMED)
def test_rates_on_loops_written_without_sight_of_the_rules(faults, settling, measuring, seed):
    """No worse than docs/monitor.md says of both halves, rules having been extended for both."""
    for half in (settling, measuring):
        named = [play(planted, seed).names(planted) for planted in faults if planted.recipe in half]
        assert sum(named) >= 0.9 * len(named)
    said = {recipe: [fault.name for fault in play(healthy(recipe), seed).faults] for recipe in (*settling, *measuring)}
    # as their authors have it
    assert said.pop("texture", []) in ([], ["a gradient penalty through batch norm"])
    assert said.pop("finetuned", []) in ([], ["part of the discriminator is frozen"])
    assert not any(said.values()), said
