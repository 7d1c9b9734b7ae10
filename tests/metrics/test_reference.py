"""What is computed of the real samples: once, of as many as are asked for, and with errors that name the side."""

import pytest
import torch

from ganbench.errors import InputError
from ganbench.metrics import Reference, reference
from ganbench.metrics.distances import middle, neighbour_distances
from ganbench.metrics.reference import prepared
from ganbench.problems.base import Modes, stream

REAL = torch.randn(30, 3, generator=stream("reference", 0))
FAKE = torch.randn(2, 20, 3, generator=stream("reference", 1))


@pytest.mark.parametrize("neighbours", [None, 12, 30, 100])
@pytest.mark.parametrize("shuffled", [True, False])
def test_the_neighbours_are_some_of_the_samples(neighbours, shuffled):
    one, few = Reference(REAL, neighbours=neighbours, shuffled=shuffled), REAL[:neighbours]
    some = FAKE[:, :neighbours]
    if not shuffled and neighbours == 12:
        chosen = [torch.randperm(count, generator=stream("neighbours", 0))[:12] for count in (30, 20)]
        few, some = REAL[chosen[0]], FAKE[:, chosen[1]]
    assert one.neighbours == neighbours
    torch.testing.assert_close(one.centre, REAL.double().mean(0))
    assert torch.equal(one.some(FAKE), some)
    assert torch.equal(one.centred(FAKE), FAKE.double() - one.centre)
    assert torch.equal(one.close, few)
    assert torch.equal(one.points.samples[0], few)
    assert torch.equal(one.points.centre, middle(few[None]))
    assert torch.equal(torch.from_numpy(one.tree.data.copy()), one.centred(few))
    for k in (2, 1, 5, 3):
        assert torch.equal(one.radii(k), neighbour_distances(few, k)[:, -1])
    torch.testing.assert_close(one.covariance, torch.cov(REAL.double().T))
    torch.testing.assert_close(one.root @ one.root.T, one.covariance)


def test_neighbours_are_computed_anew_for_more_of_them_only(monkeypatch):
    asked = []
    monkeypatch.setattr(reference, "neighbour_distances", lambda x, k: asked.append(k) or neighbour_distances(x, k))
    one = Reference(REAL)
    for k in (3, 3, 1, 2, 4, 3, 4):
        one.radii(k)
    assert asked == [3, 4]


def test_what_a_metric_keeps_is_computed_once_by_its_key():
    one, made = Reference(REAL), []
    assert [one.once(key, lambda key=key: made.append(key) or f"of {key}") for key in ("a", "b", "a", ("a", 1))] == [
        "of a", "of b", "of a", "of ('a', 1)",
    ]  # fmt: skip
    assert made == ["a", "b", ("a", 1)]


def test_what_there_is_to_know_is_what_was_given():
    modes = Modes(torch.eye(3, dtype=torch.float64), 0.5, torch.full((3,), 1 / 3, dtype=torch.float64))
    assert Reference(REAL).provides == set()
    assert Reference(REAL, modes=modes).provides == {"modes"}
    assert Reference(REAL, modes=modes, class_head=abs).provides == {"modes", "classes"}


@pytest.mark.parametrize("given", [REAL, Reference(REAL)], ids=["samples", "reference"])
def test_both_sides_have_enough_samples_of_one_dimension(given):
    one, fake = prepared(given, FAKE)
    assert isinstance(one, Reference)
    assert torch.equal(one.real, REAL)
    assert torch.equal(fake, FAKE)
    prepared(given, FAKE, least=20)
    prepared(given, torch.cat([FAKE, FAKE], 1), least=30)
    prepared(given, FAKE[:, :1])
    with pytest.raises(InputError, match="'fake' has 20 samples, and this metric needs at least 21: give it more"):
        prepared(given, FAKE, least=21)
    with pytest.raises(InputError, match="'real' has 30 samples, and this metric needs at least 31: give it more"):
        prepared(given, torch.cat([FAKE, FAKE], 1), least=31)
    with pytest.raises(InputError, match="'fake' has dimension 2 and 'real' 3"):
        prepared(given, FAKE[..., :2])
