"""The parts that distances are made of: bounds that hold, blocks that cover, the smallest of many."""

import math

import pytest
import torch

from ganbench.metrics import distances
from ganbench.metrics.distances import (
    NUMBERS,
    PAIRS,
    UNDERFLOW,
    Points,
    _smallest,
    bounds,
    differences,
    middle,
    neighbour_distances,
    neighbour_radii,
    spans,
    squared_distances,
)

CPU = torch.device("cpu")


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exact(a, b):
    return (a.double()[..., :, None, :] - b.double()[..., None, :, :]).square().sum(-1)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("n", [2, 5])
def test_squared_distances_are_by_differences_up_to_three_dimensions(d, n):
    # whole numbers around 2^20: exact by differences in float32, whose squares have not the digits
    far = 2.0**20 + torch.arange(n * d, dtype=torch.float32).reshape(n, d)
    found = squared_distances(far, far + 1)
    assert found.dtype == (torch.float32 if d <= 3 else torch.float64)
    assert torch.equal(found.double(), exact(far, far + 1))
    a, b = normal(2, n, d), normal(4, d, seed=1)
    torch.testing.assert_close(squared_distances(a, b), exact(a, b), rtol=1e-12, atol=1e-12)
    assert (squared_distances(a + 1e8, a + 1e8) >= 0).all(), "rounding makes none negative"


@pytest.mark.parametrize("d", [3, 4])
def test_they_stay_on_their_device(d):
    samples = torch.empty(2, 5, d, device="meta")
    assert squared_distances(samples, samples[0]).shape == (2, 5, 5)
    assert middle(samples).device.type == "meta"


@pytest.mark.parametrize(("count", "width", "budget", "expected"), [
    (10, 3, 12, [(0, 4), (4, 8), (8, 10)]), (8, 3, 12, [(0, 4), (4, 8)]), (3, 100, 12, [(0, 1), (1, 2), (2, 3)]),
    (3, 1, 12, [(0, 3)]), (0, 5, 12, []), (4, 5, 12, [(0, 2), (2, 4)]),
])  # fmt: skip
def test_spans_cover_all_within_the_budget(count, width, budget, expected):
    found = [*spans(count, width, CPU, {"cpu": budget, "cuda": 1})]
    assert found == [slice(*pair) for pair in expected]


def test_the_budget_is_that_of_the_device():
    assert [part.stop for part in spans(3, PAIRS["cpu"] // 2, CPU)] == [2, 3]
    assert [part.stop for part in spans(3, NUMBERS["cpu"] // 2, CPU, NUMBERS)] == [2, 3]
    # of a device that is neither it is the larger one
    assert [part.stop for part in spans(3, PAIRS["cuda"] // 2, torch.device("meta"))] == [2, 3]


def test_the_middle_is_the_median_of_the_first():
    few = torch.tensor([[5.0, 1.0], [1.0, 2.0], [100.0, 3.0]])
    assert middle(few).tolist() == [[5.0, 2.0]]
    assert middle(few).dtype == torch.float64
    many = torch.cat([torch.zeros(400, 1), torch.ones(800, 1)])[None]
    assert middle(many).shape == (1, 1, 1)
    assert middle(many).item() == 0, "a rough one, of the first few hundred"


@pytest.mark.parametrize("d", [1, 4, 25])
def test_float32_is_used_as_far_as_squares_do_not_overflow(d):
    limit = 1e17 / math.sqrt(d)
    for share, centre, fast in ((0.99, 0, True), (1.01, 0, False), (0.5, 0.49, True), (0.5, 0.51, False)):
        for sign in (1, -1):
            samples = torch.zeros(1, 7, d, dtype=torch.float64)
            samples[0, 3, d - 1] = sign * share * limit
            centres = torch.zeros(1, d, dtype=torch.float64)
            centres[0, 0] = -sign * centre * limit
            assert Points(samples, centres).fast is fast


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("runs", "d"), [(1, 1), (3, 6), (2, 40)])
@pytest.mark.parametrize("numbers", [30, 250_000])
def test_bounds_hold_and_are_as_near_as_rounding(dtype, runs, d, numbers, monkeypatch):
    monkeypatch.setitem(distances.NUMBERS, "cpu", numbers)
    fakes, real = normal(runs, 30, d), normal(1, 20, d, seed=1) * 3
    # points close to each other and far from the centre, where a product has few digits
    fakes[:, :5] = real[:, :5] + 1e-5
    a, b = Points(fakes, real.mean(1)), Points(real, real.mean(1))
    low, a_squares, b_squares, slack = bounds(a, b, slice(4, 25), slice(2, 19), dtype)
    apart = exact(fakes[:, 4:25], real[0, 2:19])
    assert low.shape == (runs, 21, 17)
    assert low.dtype == dtype
    assert slack == pytest.approx(2 * torch.finfo(dtype).eps * (4 + math.sqrt(d)))
    near, other = fakes[:, 4:25] - real.mean(1), real[:, 2:19] - real.mean(1)
    torch.testing.assert_close(a_squares.double(), near.square().sum(-1), rtol=1e-5, atol=0)
    torch.testing.assert_close(b_squares.double(), other.square().sum(-1), rtol=1e-5, atol=0)
    room = slack * (a_squares[:, :, None] + b_squares[:, None]).double()
    assert (low.double() <= apart).all()
    assert (apart <= low.double() + room + UNDERFLOW).all()
    if dtype == torch.float64:  # rounding is no more than half of the slack in either direction
        torch.testing.assert_close(low + room / 2, apart, rtol=1e-9, atol=1e-9)


def test_differences_are_of_float64_and_one_run_may_be_compared_to_all(monkeypatch):
    monkeypatch.setitem(distances.NUMBERS, "cpu", 7)
    a, b = normal(3, 5, 4, dtype=torch.float32), normal(3, 6, 4, seed=1, dtype=torch.float32)
    run, row, column = torch.tensor([0, 2, 1, 2]), torch.tensor([4, 0, 2, 3]), torch.tensor([5, 1, 0, 3])
    for others in (b, b[:1]):
        expected = exact(a, others.expand(3, -1, -1))[run, row, column]
        found = differences(a, others, run, row, column)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("n", [5, 31, 32, 33, 95, 96, 100, 161, 700])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_smallest_of_many(n, k):
    values = normal(2, 3, n, seed=n + k)
    found, places = _smallest(values, k)
    assert torch.equal(found, values.topk(k, largest=False).values)
    assert torch.equal(values.gather(-1, places), found)
    first = torch.arange(n, dtype=torch.float64)
    for ordered in (first, first.flip(0)):
        assert _smallest(ordered, k)[0].tolist() == list(range(k))
        assert ordered[_smallest(ordered, k)[1]].tolist() == list(range(k))
    assert _smallest(torch.empty(3, n, device="meta"), k)[1].shape == (3, k)


@pytest.mark.parametrize("d", [2, 8])
def test_radii_are_those_of_the_last_neighbour(d):
    samples = normal(2, 40, d)
    apart = exact(samples, samples).sort(-1).values[..., 1:]
    for k in (1, 2, 7, 39):
        torch.testing.assert_close(neighbour_distances(samples, k), apart[..., :k], rtol=1e-12, atol=1e-15)
        assert torch.equal(neighbour_radii(samples, k), neighbour_distances(samples, k)[..., -1])


def test_what_float32_cannot_tell_apart_is_looked_at_again(monkeypatch):
    # neighbours at 1e-4 around a point far from the centre: their products are all the same in float32
    samples = torch.cat([normal(60, 10) * 1e-4 + 100, normal(20, 10), -normal(60, 10, seed=1) * 1e-4 - 100])
    again = []
    monkeypatch.setattr(distances, "_again", lambda *words, real=distances._again: again.append(words) or real(*words))
    apart = exact(samples, samples)
    apart.fill_diagonal_(math.inf)
    expected = apart.sort(-1).values[:, :3]
    torch.testing.assert_close(neighbour_distances(samples, 3), expected, rtol=1e-9, atol=0)
    assert again
    again.clear()
    assert neighbour_distances(normal(80, 10), 3).shape == (80, 3)
    assert not again, "where it can, it is not"
