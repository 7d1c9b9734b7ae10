"""Finite data: places are drawn, and samples taken from one table as they are stored."""

import pytest
import torch
from hypothesis import given as varied
from hypothesis import settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.problems.base import Problem, SampleTable, stream
from ganbench.problems.images import ImagesWithLabels, LabelledImages
from ganbench.training.noise import BLOCK, Places, Stream, source

CPU = torch.device("cpu")
COUNT, SIDE, SEEDS, BATCH = 40, 64, 5, 16


def part(n, seed, levels=255):
    draws = torch.Generator().manual_seed(seed)
    images = torch.randint(levels + 1, (n, 3, SIDE, SIDE), generator=draws, dtype=torch.uint8)
    return images, torch.randint(4, (n,), generator=draws)


def pictures(kind=LabelledImages, levels=255, value_range=(-1.0, 1.0)):
    return kind("pictures", part(COUNT, 0, levels), part(9, 1, levels), value_range, levels)


def held_bytes(own):
    """Return the bytes that a stream holds of a block."""
    return sum(x.untyped_storage().nbytes() for x in (own._held[1].x, own._held[1].given) if x is not None)


@pytest.mark.parametrize("kind", [LabelledImages, ImagesWithLabels])
def test_streams_hold_places(kind):
    problem = pictures(kind)
    own = Stream("data", range(SEEDS), BATCH, source(problem, CPU), CPU, torch.float32)
    x = own.at(3)
    assert x.shape == (SEEDS, BATCH, 3, SIDE, SIDE)
    assert held_bytes(own) == SEEDS * BLOCK * BATCH * 8, "a place is one number"
    assert own.table.rows.dtype == torch.uint8
    assert own.table.rows.data_ptr() == problem.table.rows.data_ptr(), "one table serves all streams"


@pytest.mark.parametrize("name", ["digits", "digits_labelled"])
@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_the_samples_that_the_problem_draws(name, weighted):
    """The batch at an index is, bit for bit, the one that a stream of samples has there."""
    problem = registry.get("problem", name)()
    weights = torch.arange(1.0, 11.0, dtype=torch.float64) / 55 if weighted else None
    places = source(problem, CPU, weights)
    assert isinstance(places, Places)

    def draw(n, generator):
        return problem.draw(n, generator) if weights is None else problem.draw_groups(weights, n, generator)

    for dtype in (torch.float32, torch.float64):
        own, plain = (Stream("data", [0, 3], 7, how, CPU, dtype) for how in (places, draw))
        for index in (0, 31, 32, 70):
            assert own.at(index).dtype == dtype
            assert torch.equal(own.at(index), plain.at(index))
            if problem.gives:
                assert own.given(index).dtype == torch.int64
                assert torch.equal(own.given(index), plain.given(index))
            else:
                assert own.given(index) is plain.given(index) is None


def test_draws_of_digits_are_those_of_their_images():
    problem = registry.get("problem", "digits")()
    places = torch.randint(1297, (500,), generator=stream("test", 2))
    assert torch.equal(problem.sample(500, stream("test", 2)), problem.images[places])


@settings(deadline=None, max_examples=20)
@varied(levels=st.integers(1, 255), low=st.sampled_from([-1.0, 0.0]), high=st.sampled_from([1.0, 4.0]))
def test_levels_are_equal_steps_from_end_to_end(levels, low, high):
    problem = pictures(levels=levels, value_range=(low, high))
    want = low + (high - low) * problem.table.rows.double() / levels
    assert problem.images.dtype == torch.float32
    torch.testing.assert_close(problem.images.double(), want, rtol=0, atol=1e-6)
    assert torch.equal(problem.reference(), problem.images)
    assert problem.held_out_images.min() >= low - 1e-6


def test_floats_are_taken_as_they_are():
    (images, labels), held_out = part(COUNT, 0), part(9, 1)
    floats = images.float() / 255
    problem = LabelledImages("floats", (floats, labels), (held_out[0].float() / 255, held_out[1]), (0.0, 1.0))
    own = Stream("data", [0], BATCH, source(problem, CPU), CPU, torch.float32)
    places = problem.places(BLOCK * BATCH, stream("data:0", 0))[:BATCH]
    assert torch.equal(own.at(0)[0], floats[places])


def test_whoever_draws_otherwise_keeps_its_draws():
    class Turned(LabelledImages):
        def sample(self, n, generator):
            return super().sample(n, generator).flip(-1)

    problem = pictures(Turned)
    own = Stream("data", [0], BATCH, source(problem, CPU), CPU, torch.float32)
    assert own.table is None
    assert torch.equal(own.at(0)[0], problem.sample(BLOCK * BATCH, stream("data:0", 0))[:BATCH])


def test_data_without_end_has_no_table():
    problem = registry.get("problem", "ring8")()
    assert isinstance(problem, Problem)
    assert problem.table is None
    assert not isinstance(source(problem, CPU), Places)


def test_what_is_given_may_be_a_tuple():
    table = SampleTable(torch.arange(6.0)[:, None], (torch.arange(6), (torch.arange(6.0) / 2,)))
    x, (label, (half,)) = table.batch(torch.tensor([4, 1]))
    assert x.tolist() == [[4], [1]]
    assert label.tolist() == [4, 1]
    assert half.tolist() == [2, 0.5]
