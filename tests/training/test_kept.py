"""What outlasts a step lies in one place, whoever binds it and in whatever form."""

import pytest
import torch

from ganbench.training.kept import Kept, settle


def test_what_is_remembered_keeps_its_place_whoever_binds_it():
    kept, first = Kept(), torch.arange(3.0)
    kept["a"] = first
    kept.settle()
    place = kept["a"]
    assert place.data_ptr() != first.data_ptr(), "whoever owns the tensor may write to it"
    kept.update(a=torch.ones(3).requires_grad_() * 2, b=torch.zeros(1))
    kept.settle()
    assert kept["a"] is place
    assert not place.requires_grad
    assert place.tolist() == [2, 2, 2]
    assert first.tolist() == [0, 1, 2]
    kept["a"] = torch.ones(5, dtype=torch.float64)
    kept.settle()
    assert kept["a"].tolist() == [1] * 5
    kept.restore({"a": torch.zeros(5, dtype=torch.float64)})
    assert kept["a"].tolist() == [0] * 5


@pytest.mark.parametrize("other", [torch.ones(4), torch.ones(1), torch.ones(1, 3), torch.ones(3, dtype=torch.float64)])
def test_a_value_of_another_form_gets_a_place_of_its_own(other):
    kept = Kept()
    kept["a"] = torch.zeros(3)
    kept.settle()
    place = kept["a"]
    kept["a"] = other
    kept.settle()
    assert kept["a"] is not place
    assert kept["a"].data_ptr() != other.data_ptr()
    assert kept["a"].shape == other.shape
    assert kept["a"].dtype == other.dtype
    assert place.tolist() == [0, 0, 0]
    # and that place is the one from then on
    place = kept["a"]
    kept["a"] = torch.full_like(other, 5)
    kept.settle()
    assert kept["a"] is place
    assert (place == 5).all()


def test_who_lies_in_its_place_does_not_keep_others_from_theirs():
    kept = Kept()
    kept.update(a=torch.zeros(2), b=torch.zeros(2), c=torch.zeros(2))
    kept.settle()
    places = dict(kept)
    kept["b"] = torch.ones(2)
    kept.settle()
    assert all(kept[name] is place for name, place in places.items())
    assert [place.tolist() for place in places.values()] == [[0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("again", [False, True])
def test_no_graph_outlasts_a_step(again):
    kept, leaf = Kept(), torch.ones(3, requires_grad=True)
    if again:
        kept["a"] = torch.zeros(3)
        kept.settle()
    kept["a"] = leaf * 2
    kept.settle()
    assert not kept["a"].requires_grad
    assert kept["a"].tolist() == [2, 2, 2]


def test_a_checkpoint_is_taken_to_the_same_places_and_can_bring_names():
    kept = Kept()
    kept["a"] = torch.zeros(3)
    kept.settle()
    place, saved = kept["a"], {"a": torch.arange(3.0), "b": torch.ones(1)}
    kept.restore(saved)
    assert kept["a"] is place
    assert place.tolist() == [0, 1, 2]
    saved["b"].zero_()
    assert kept["b"].tolist() == [1]


def test_all_owners_settle_outside_of_any_graph():
    owners = [Kept(), Kept()]
    for own in owners:
        own["a"] = torch.zeros(2)
    settle(owners)
    places = [own["a"] for own in owners]
    leaf = torch.ones(2, requires_grad=True)
    for own in owners:
        own["a"] = leaf * 3
    settle(owners)
    for own, place in zip(owners, places, strict=True):
        assert own["a"] is place
        assert place.tolist() == [3, 3]
        assert not place.requires_grad
