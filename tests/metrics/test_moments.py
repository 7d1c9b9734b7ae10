"""Means, covariances and their roots: those of float64, in blocks of any size, on any device."""

import pytest
import torch

from ganbench.metrics import distances, moments

SHAPES = [(7, 1), (7, 2), (12, 8), (12, 9), (5, 12), (2, 9, 3), (2, 3, 11, 5), (2, 3, 4, 10)]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expected(samples):
    samples = samples.double()
    centre = samples.mean(-2)
    apart = samples - centre.unsqueeze(-2)
    return centre, apart.transpose(-1, -2) @ apart / (samples.shape[-2] - 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("pairs", [1, 20, 10**6])
@pytest.mark.parametrize("panel", [3, 4, 256])
def test_they_are_those_of_float64_whatever_is_looked_at_at_a_time(shape, pairs, panel, monkeypatch):
    monkeypatch.setitem(distances.PAIRS, "cpu", pairs)
    monkeypatch.setattr(moments, "PANEL", panel)
    for samples in (normal(*shape) * 3 + 100, (normal(*shape) + 10).float()):
        centre, covariance = expected(samples)
        for found in (
            (moments.mean(samples), moments.covariance(samples, centre)),
            moments.mean_and_covariance(samples),
        ):
            assert {one.dtype for one in found} == {torch.float64}
            torch.testing.assert_close(found[0], centre, rtol=1e-13, atol=1e-13)
            torch.testing.assert_close(found[1], covariance, rtol=1e-10, atol=1e-12)


def test_they_stay_on_their_device():
    for d in (3, 9):
        samples = torch.empty(2, 20, d, device="meta")
        found = (*moments.mean_and_covariance(samples), moments.mean(samples))
        assert [(one.device.type, one.shape) for one in found] == [
            ("meta", (2, d)), ("meta", (2, d, d)), ("meta", (2, d)),
        ]  # fmt: skip
        assert moments.covariance(samples, found[0]).shape == (2, d, d)


def test_only_what_is_small_is_held_in_float64_as_a_whole(monkeypatch):
    in_blocks = []
    monkeypatch.setattr(
        moments, "covariance", lambda *words, real=moments.covariance: in_blocks.append(1) or real(*words)
    )
    for shape, budget, blocks in (((10, 8), 80, 0), ((10, 8), 79, 1), ((10, 9), 10**6, 1), ((2, 5, 1), 10, 0)):
        monkeypatch.setitem(distances.PAIRS, "cpu", budget)
        in_blocks.clear()
        moments.mean_and_covariance(normal(*shape))
        assert len(in_blocks) == blocks, (shape, budget)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_a_root_is_triangular_where_all_directions_vary(d):
    covariance = expected(normal(50, d))[1]
    root = moments.root(covariance)
    torch.testing.assert_close(root @ root.T, covariance)
    assert torch.equal(root, root.tril())


def test_a_root_has_a_column_for_each_direction_with_variance():
    for rank in (1, 2, 4):
        factor = normal(6, rank, seed=rank)
        covariance = factor @ factor.T
        root = moments.root(covariance)
        assert root.shape == (6, rank)
        torch.testing.assert_close(root @ root.T, covariance)
    assert moments.root(torch.zeros(3, 3, dtype=torch.float64)).shape == (3, 0)


@pytest.mark.parametrize(("ratio", "triangular"), [(1e-3, True), (1.02e-6, True), (0.98e-6, False), (1e-7, False)])
def test_a_triangle_that_is_nearly_singular_is_not_used(ratio, triangular):
    for scale in (1.0, 1e4):
        covariance = scale * torch.diag(torch.tensor([1.0, ratio**2], dtype=torch.float64))
        root = moments.root(covariance)
        # eigenvectors come with the smallest eigenvalue first
        assert bool(root[0, 0] != 0) is triangular
        torch.testing.assert_close(root @ root.T, covariance, rtol=1e-6, atol=1e-18)


@pytest.mark.parametrize(("times", "rank"), [(1.5, 4), (0.5, 3)])
def test_variance_below_rounding_is_none(times, rank):
    least = times * 4 * torch.finfo(torch.float64).eps * 9
    covariance = torch.diag(torch.tensor([9.0, least, 9.0, 9.0], dtype=torch.float64))
    assert moments.root(covariance).shape == (4, rank)


@pytest.mark.parametrize("d", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("runs", [(), (2,), (2, 3)])
def test_congruence_by_panels_gives_the_lower_triangle(d, runs, monkeypatch):
    monkeypatch.setattr(moments, "PANEL", 3)
    samples = normal(*runs, 20, d)
    covariance = expected(samples)[1]
    triangle = moments.root(expected(normal(30, d, seed=1))[1])
    dense, thin = normal(d, d, seed=2), triangle[:, :-1]
    for root in (triangle, dense, thin):
        whole = root.T @ covariance @ root
        found = moments.congruence(root, covariance)
        torch.testing.assert_close(found.tril(), whole.tril(), rtol=1e-10, atol=1e-12)
        if root is triangle and d > 3:
            assert (found[..., :3, 3:] == 0).all()
        else:
            torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-12)


def test_the_trace_of_a_root_reads_the_lower_triangle_and_takes_rounding_for_0():
    matrix = torch.diag(torch.tensor([4.0, 9.0, -1e-9], dtype=torch.float64))
    assert moments.trace_of_root(matrix).item() == pytest.approx(5)
    matrix[0, 1] = 100.0
    assert moments.trace_of_root(torch.stack([matrix, 4 * matrix])).tolist() == pytest.approx([5, 10])
    matrix[1, 0] = 1.0
    assert moments.trace_of_root(matrix).item() == pytest.approx(
        sum(torch.linalg.eigvalsh(torch.tensor([[4.0, 1.0], [1.0, 9.0]])).sqrt().tolist())
    )
