"""Shards by hand: how they are written, and who gets what. That they are one study again: tests/test_merging.py."""

import pytest

from ganbench.errors import UserError
from ganbench.executors import shards
from ganbench.executors.shards import Shard, cut, share_of
from ganbench.executors.work import populations
from ganbench.suite import resolve


@pytest.mark.parametrize(("text", "shard"), [
    ("1/1", Shard(1, 1)), ("1/16", Shard(1, 16)), ("16/16", Shard(16, 16)), ("100000/100000", Shard(100_000, 100_000))
])  # fmt: skip
def test_the_first_the_last_and_the_most_are_shards(text, shard):
    assert Shard.read(text) == shard
    assert shard.suffix == f"-{text.replace('/', '-of-')}"


@pytest.mark.parametrize("text", ["0/1", "2/1", "1/100001", "1", ""])
def test_what_is_none_is_refused_with_how_one_is_written(text):
    with pytest.raises(UserError) as refused:
        Shard.read(text)
    told = f"A shard is written NUMBER/OF, from 1/16 to 16/16 for sixteen, got '{text}'."
    assert str(refused.value) == told


def test_the_longest_goes_first_to_whom_has_the_least(monkeypatch):
    """Costs 5, 4, 3, 3, 3: 5 | 4, then 5 | 4 + 3, 5 + 3 | 7 and 8 | 7 + 3; of equals the first by name."""
    monkeypatch.setattr(shards, "cost", sum)
    work = {"e": [3], "d": [1, 2], "c": [3], "b": [4], "a": [5]}
    assert cut(work, 2) == [{"a", "d"}, {"b", "c", "e"}]
    assert cut(work, 1) == [set(work)]
    assert Shard(1, 2).part(work) == {"d": [1, 2], "a": [5]}
    assert list(Shard(2, 2).part(work)) == ["e", "c", "b"], "in the plan's order"


def test_a_plans_share_is_all_of_it_where_none_is_named():
    plan = resolve(None, ["problem=ring8", "seeds=1", "normalization=none,spectral"])
    work = populations(plan, "cpu")
    assert share_of(plan, "cpu", None) == work
    assert [len(share_of(plan, "cpu", text)) for text in ("1/2", "2/2")] == [1, 1]
    assert share_of(plan, "cpu", "1/2") | share_of(plan, "cpu", "2/2") == work
    with pytest.raises(UserError):
        share_of(plan, "cpu", "")
