"""Distances between many samples: products in float32 propose who is close, differences in float64 decide.

A product costs a fraction of a difference, and in float32 half of one in float64, but it has few digits where points
are close to each other and far from their centre. It is used for bounds that hold despite its rounding; the few pairs
that a bound cannot decide are computed from differences. So results are those of float64 at the price of float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

# pairs at a time: on a processor 10 MB of them, on a GPU what fills it
PAIRS = {"cpu": 2_500_000, "cuda": 32_000_000}
# numbers converted or subtracted at a time: small blocks of memory are reused, large ones fragment it
NUMBERS = {"cpu": 250_000, "cuda": 32_000_000}
# in so few dimensions a tree takes a fraction of the time of all pairs; trees live on the processor
TREE = 3
# nearest candidates beyond k, so that rounding rarely hides one of the k
SPARE = 1
# numbers of which the smallest is looked at first, where the few smallest of many are wanted
GROUP = 16
# above this share of pairs that bounds cannot decide, a product in float64 is cheaper than differences
UNSURE = 1 / 16
# squares below are lost to float32
UNDERFLOW = 1e-36
# samples whose median is a centre good enough for products
ROUGH = 256


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances [..., n, m] between a [..., n, d] and b [..., m, d].

    Differences where d is small, otherwise the product form in float64: both keep the distance of a point to itself
    at rounding error for samples that are centred.
    """
    if a.shape[-1] > 3:
        a, b = a.double(), b.double()
        cross = a @ b.transpose(-1, -2)
        return (a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2) - 2 * cross).clamp_(min=0)
    total = (a[..., :, None, 0] - b[..., None, :, 0]).square_()
    for axis in range(1, a.shape[-1]):
        total += (a[..., :, None, axis] - b[..., None, :, axis]).square_()
    return total


class Points:
    """Samples [runs, n, d] made ready for products: centred in float64, and kept in float32 where that can be."""

    def __init__(self, samples: Tensor, centre: Tensor) -> None:
        self.samples, self.centre = samples, centre

    @cached_property
    def fast(self) -> bool:
        """Whether products of float32 are exact to its rounding on this machine, and squares do not overflow."""
        matmul = (torch.backends.cuda if self.samples.is_cuda else torch.backends.mkldnn).matmul
        low, high = self.samples.aminmax()
        reach = max(-float(low), float(high)) + float(self.centre.abs().max())
        return reach < 1e17 / self.samples.shape[-1] ** 0.5 and matmul.fp32_precision in ("none", "ieee")

    @cached_property
    def _float32(self) -> tuple[Tensor, Tensor]:
        near = torch.empty(self.samples.shape, dtype=torch.float32, device=self.samples.device)
        squares = near.new_empty(near.shape[:-1])
        for rows in spans(near.shape[1], near[:, 0].numel(), near.device, NUMBERS):
            near[:, rows], squares[:, rows] = self.part(rows, torch.float64)
        return near, squares

    def part(self, rows: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the centred samples [runs, rows, d] of a slice and their squared norms [runs, rows]."""
        if dtype == torch.float32:
            near, squares = self._float32
            return near[:, rows], squares[:, rows]
        near = self.samples[:, rows] - self.centre
        return near, torch.linalg.vector_norm(near, dim=-1).square()


def middle(samples: Tensor) -> Tensor:
    """Return a rough centre [..., 1, d] of samples [..., n, d], float64, that outliers do not move."""
    return medians(samples[..., :ROUGH, :]).double()


def medians(samples: Tensor) -> Tensor:
    """Return the median [..., 1, d] of each coordinate of samples [..., n, d], the lower of two; NaN where one is."""
    known = samples.dtype in (torch.float32, torch.float64)  # to numpy too
    if samples.device.type != "cpu" or not known or not bool(samples.isfinite().all()):
        return samples.median(dim=-2, keepdim=True).values
    # on a CPU a third of the time of torch's own
    middle = (samples.shape[-2] - 1) // 2
    turned = samples.detach().mT.contiguous().numpy()
    return torch.from_numpy(np.partition(turned, middle, axis=-1)[..., middle]).unsqueeze(-2)


def spans(count: int, width: int, device: torch.device, budget: dict[str, int] = PAIRS) -> Iterator[slice]:
    """Yield slices of range(count) of so many rows, `width` numbers each, as are looked at at a time."""
    step = max(1, budget.get(device.type, budget["cuda"]) // width)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


class Bounds(NamedTuple):
    """Lower and upper bounds of squared distances: low, and low + slack (|a|^2 + |b|^2) + UNDERFLOW."""

    low: Tensor
    a_squares: Tensor
    b_squares: Tensor
    slack: float


def bounds(a: Points, b: Points, rows: slice, columns: slice, dtype: torch.dtype) -> Bounds:
    """Return bounds of the squared distances [runs, rows, columns] between points of a and b, from products."""
    # rounding errors of a product add up like a random walk
    rounding = torch.finfo(dtype).eps * (4 + a.samples.shape[-1] ** 0.5)
    first, a_squares = a.part(rows, dtype)
    if dtype == torch.float32:
        parts = [slice(0, columns.stop - columns.start)]
    else:  # not kept, but converted piece by piece
        parts = [*spans(columns.stop - columns.start, first[:, 0].numel(), first.device, NUMBERS)]
    low = first.new_empty(*first.shape[:2], parts[-1].stop)
    squares = first.new_empty(len(b.samples), parts[-1].stop)
    for part in parts:
        second, squares[:, part] = b.part(slice(columns.start + part.start, columns.start + part.stop), dtype)
        second = second.expand(len(first), -1, -1).transpose(1, 2)
        with torch.autocast(first.device.type, enabled=False):
            near = (1 - rounding) * squares[:, None, part]
            torch.baddbmm(near, first, second, alpha=-2, out=low[:, :, part])
    low += (1 - rounding) * a_squares.unsqueeze(2)
    return Bounds(low, a_squares, squares, 2 * rounding)


def differences(a: Tensor, b: Tensor, run: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return the squared distances [pairs] of samples a[run, row] and b[run, column], in float64; b may be one run."""
    other = run if len(b) > 1 else torch.zeros_like(run)
    apart = torch.empty(len(run), dtype=torch.float64, device=run.device)
    for pairs in spans(len(run), a.shape[-1], run.device, NUMBERS):
        between = a[run[pairs], row[pairs]].double().sub_(b[other[pairs], column[pairs]])
        apart[pairs] = between.square_().sum(-1)
    return apart


class Close(NamedTuple):
    """Pairs of points close to each other: their run, row and column, and squared distance, each [pairs]."""

    run: Tensor
    row: Tensor
    column: Tensor
    squared: Tensor


def close_pairs(a: Points, b: Points, a_reach: Tensor, b_reaches: Sequence[Tensor]) -> Iterator[Close]:
    """Yield all pairs whose squared distance is within a_reach [runs, n] or one of b_reaches [m] (and some others).

    Squared distances are exact where they are near one of the pair's reaches, and on their right side elsewhere.
    """
    fastest = torch.float32 if a.fast and b.fast else torch.float64
    for rows in spans(a.samples.shape[1], len(a.samples) * b.samples.shape[1], a.samples.device):
        yield _close(a, b, rows, (a_reach, b_reaches), fastest)


def _close(a: Points, b: Points, rows: slice, reaches: tuple[Tensor, Sequence[Tensor]], dtype: torch.dtype) -> Close:
    a_reach, b_reaches = reaches
    low, a_squares, b_squares, slack = bounds(a, b, rows, slice(0, b.samples.shape[1]), dtype)
    near = low <= _raised(a_reach[:, rows, None], dtype)
    near |= low <= _raised(torch.stack([*b_reaches]).amax(0), dtype)
    run, row, column = near.nonzero(as_tuple=True)
    bound, other = low[run, row, column].double(), run if len(b_squares) > 1 else torch.zeros_like(run)
    squared = bound + slack * (a_squares[run, row] + b_squares[other, column]) + UNDERFLOW
    row = row + rows.start
    thresholds = torch.stack([a_reach[run, row], *(reach[column] for reach in b_reaches)])
    unsure = ((bound <= thresholds) & (thresholds <= squared)).any(0).nonzero().squeeze(1)
    if dtype == torch.float32 and len(unsure) > UNSURE * low.numel():
        return _close(a, b, rows, reaches, torch.float64)
    squared[unsure] = differences(a.samples, b.samples, run[unsure], row[unsure], column[unsure])
    return Close(run, row, column, squared)


def _raised(reach: Tensor, dtype: torch.dtype) -> Tensor:
    # conversion may take the last digit
    return reach.to(dtype) * (1 + 4 * torch.finfo(dtype).eps)


def neighbour_distances(samples: Tensor, k: int) -> Tensor:
    """Return squared distances [..., n, k] of each sample [..., n, d] to its k nearest others, ascending, float64.

    A sample is left out of its own neighbours by index, so that a copy of it is one. Needs n > k.
    """
    flat = samples.reshape(-1, *samples.shape[-2:])
    if flat.shape[-1] <= TREE and flat.device.type == "cpu":
        index = torch.stack([_tree_neighbours(run.double().numpy(), k + 1) for run in flat])
        # the sample itself is at distance 0, where no other can be nearer
        return _ascending(flat, index)[..., 1:].reshape(*samples.shape[:-1], k)
    size = max(1, PAIRS.get(flat.device.type, PAIRS["cuda"]) // flat.shape[1] ** 2)
    parts = [_pair_neighbours(runs, k) for runs in flat.split(size)]
    return torch.cat(parts).reshape(*samples.shape[:-1], k)


def _tree_neighbours(points: np.ndarray, k: int) -> Tensor:
    return torch.from_numpy(cKDTree(points).query(points, k=k)[1])


def _ascending(flat: Tensor, index: Tensor) -> Tensor:
    """Return the squared distances [runs, n, k] of samples [runs, n, d] to those with the indices [runs, n, k]."""
    run = torch.arange(len(flat), device=flat.device)[:, None, None].expand_as(index)
    row = torch.arange(flat.shape[1], device=flat.device)[None, :, None].expand_as(index)
    apart = differences(flat, flat, run.reshape(-1), row.reshape(-1), index.reshape(-1))
    return apart.reshape(index.shape).sort(-1).values


def _pair_neighbours(flat: Tensor, k: int) -> Tensor:
    """Return the squared distances [runs, n, k] by the candidates of float32, checked, else by those of float64."""
    points = Points(flat, middle(flat))
    dtype = torch.float32 if points.fast else torch.float64
    count = min(k + SPARE, flat.shape[1] - 1)
    reach, index = _candidates(points, count, dtype)
    apart = _ascending(flat, index)[..., :k]
    # nobody but a candidate is nearer than `reach`, of which squares that vanish in float32 may have taken something
    sure = reach.double() - (UNDERFLOW if dtype == torch.float32 else 0.0)
    unsure = (apart[..., -1] > sure) & (count < flat.shape[1] - 1)
    if dtype == torch.float32:
        for run in unsure.any(1).nonzero().flatten().tolist():
            rows = unsure[run].nonzero().flatten()
            apart[run, rows] = _again(flat[run], rows, points.centre[run], k)
    return apart


def _candidates(points: Points, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return by lower bounds the nearest others of each point: the last one's bound [runs, n], all indices."""
    runs, n, _ = points.samples.shape
    best = torch.full((runs, n, count), torch.inf, dtype=dtype, device=points.samples.device)
    index = torch.zeros_like(best, dtype=torch.long)

    def merge(rows: slice, low: Tensor, offset: int) -> None:
        values, places = _smallest(low, min(count, low.shape[-1]))
        best[:, rows], order = torch.cat([best[:, rows], values], -1).topk(count, largest=False)
        index[:, rows] = torch.cat([index[:, rows], places + offset], -1).gather(-1, order)

    # each block serves its rows and, transposed, its columns: half of all products
    for rows in spans(n, runs * n, points.samples.device):
        low = bounds(points, points, rows, slice(rows.start, n), dtype).low
        low.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        merge(rows, low, rows.start)
        if rows.stop < n:
            merge(slice(rows.stop, n), low[:, :, low.shape[1] :].transpose(1, 2), rows.start)
    return best[..., -1], index


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k smallest of values [..., n] and their indices, as [..., k]: `topk` in a fraction of its time."""
    share = values.shape[-1] // GROUP
    if share < 2 * k:
        return values.topk(k, largest=False)
    # each of the k smallest is in one of the k groups with the smallest minima; groups are columns of n / GROUP
    groups = values[..., : GROUP * share].unflatten(-1, (GROUP, share)).amin(-2).topk(k, largest=False).indices
    steps = torch.arange(GROUP, device=values.device).unsqueeze(-1) * share
    rest = torch.arange(GROUP * share, values.shape[-1], device=values.device).expand(*values.shape[:-1], -1)
    among = torch.cat([(groups.unsqueeze(-2) + steps).flatten(-2), rest], -1)
    found, order = values.gather(-1, among).topk(k, largest=False)
    return found, among.gather(-1, order)


def _again(samples: Tensor, rows: Tensor, centre: Tensor, k: int) -> Tensor:
    """Return the squared distances [rows, k] of some samples to their k nearest others, by products in float64."""
    points, few = Points(samples[None], centre), Points(samples[None, rows], centre)
    found = []
    for part in spans(len(rows), len(samples), samples.device):
        low = bounds(few, points, part, slice(0, len(samples)), torch.float64).low[0]
        low[torch.arange(len(low)), rows[part]] = torch.inf
        found.append(low.topk(k, largest=False).indices)
    index = torch.cat(found)
    row = rows[:, None].expand_as(index).reshape(-1)
    apart = differences(samples[None], samples[None], torch.zeros_like(row), row, index.reshape(-1))
    return apart.reshape(index.shape).sort(-1).values


def neighbour_radii(samples: Tensor, k: int) -> Tensor:
    """Return the squared distance of each sample [..., n, d] to its k-th neighbour, itself left out by index."""
    return neighbour_distances(samples, k)[..., -1]
