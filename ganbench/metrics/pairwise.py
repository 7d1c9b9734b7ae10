"""Distances between many samples in blocks, so that no metric ever holds all pairs at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError, quoted
from ganbench.metrics.distances import neighbour_radii, squared_distances
from ganbench.metrics.inputs import Samples, samples
from ganbench.metrics.reference import Reference, prepared

# pairs at a time: 8 MB of distances, which stays within a processor's cache
BLOCK = 1_000_000
# the least that a length is divided by
NOTHING = torch.finfo(torch.float64).tiny


def blocks(runs: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices of runs and of their rows that cover all rows, each of about BLOCK pairs with `columns` others."""
    step = max(1, min(rows, BLOCK // columns))
    many = max(1, BLOCK // (step * columns))
    for run in range(0, runs, many):
        for row in range(0, rows, step):
            yield slice(run, run + many), slice(row, row + step)


def sides(real: Samples | Reference, fake: Samples, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return real [n, d], from samples or their Reference, and fake [..., m, d] on one device; InputError otherwise."""
    reference, fake = prepared(real, fake, least=least)
    return reference.real, fake


def runs_of(values: Tensor) -> Tensor:
    """Return samples [..., m, d] as [runs, m, d], float64."""
    return values.reshape(-1, *values.shape[-2:]).double()


def nearest(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distance and index [..., m] of the nearest of others [n, d] to each of the rows [..., m, d]."""
    # the product form of a distance is exact to rounding near the origin only
    centre = others.double().mean(0)
    flat, among = runs_of(rows - centre), others - centre
    distance = flat.new_empty(flat.shape[:2])
    index = torch.empty_like(distance, dtype=torch.long)
    for run, row in blocks(len(flat), flat.shape[1], len(among)):
        index[run, row] = found = squared_distances(flat[run, row], among).argmin(-1)
        # by differences once more, so that the distance of copies is 0
        distance[run, row] = (flat[run, row] - among[found]).square().sum(-1)
    return distance.reshape(rows.shape[:-1]), index.reshape(rows.shape[:-1])


def directions(samples: Tensor) -> Tensor:
    """Return samples [..., n, d] divided by their lengths, float64; those at the origin stay there."""
    # by the largest entry first, so that no square vanishes
    scaled = samples.double() / samples.abs().amax(-1, keepdim=True).double().clamp(min=NOTHING)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True).clamp(min=NOTHING)


def earlier_twins(values: Tensor, tolerance: float) -> Tensor:
    """Return how many earlier samples of the same run lie within the tolerance of each of [..., m, d], as [..., m]."""
    flat = runs_of(values - values.double().mean(-2, keepdim=True))
    twins = torch.zeros(flat.shape[:2], dtype=torch.long, device=flat.device)
    order = torch.arange(flat.shape[1], device=flat.device)
    for run, row in blocks(len(flat), flat.shape[1], flat.shape[1]):
        close = _within(flat[run, row], flat[run], tolerance**2)
        twins[run, row] = (close & (order < order[row, None])).sum(-1)
    return twins.reshape(values.shape[:-1])


def _within(a: Tensor, b: Tensor, reach: float) -> Tensor:
    """Return which squared distances [runs, n, m] between a and b are at most the reach, whatever their rounding."""
    apart = squared_distances(a, b)
    slack = torch.finfo(a.dtype).eps * (a.shape[-1] + 4)
    rounding = slack * (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None, :])
    run, row, column = ((apart - reach).abs() <= rounding).nonzero(as_tuple=True)
    for part in torch.arange(len(run), device=run.device).split(max(1, BLOCK // a.shape[-1])):
        i, j, k = run[part], row[part], column[part]
        apart[i, j, k] = (a[i, j] - b[i, k]).square().sum(-1)
    return apart <= reach


def twin_tolerance(real: Tensor, tolerance: float | None) -> float:
    """Return the distance within which samples count as the same: given, or from real [n, d].

    By default a tenth of the median distance between a real sample and its nearest neighbour, so that it follows the
    features' scale and dimension. Raises InputError where that is 0, and for a tolerance that is not above 0.
    """
    if tolerance is None:
        tolerance = 0.1 * float(neighbour_radii(real, 1).sqrt().median())
        if tolerance == 0:
            raise InputError("'real' consists mostly of copies: pass the 'tolerance' within which samples are one.")
    return above("tolerance", tolerance)


def above(name: str, value: float) -> float:
    """Return the value; InputError unless it is above 0 and its square neither vanishes nor is infinite."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (is_number and value > 0 and 0 < float(value) * float(value) < float("inf")):
        raise InputError(f"'{name}' must be above 0, and its square finite and above 0, got {quoted(value)}.")
    return value


def held_out_samples(real: Tensor, held_out: Samples, *, least: int = 1) -> Tensor:
    """Return held-out real samples [n, d] of the training samples' dimension, on their device; InputError otherwise."""
    held = samples(held_out, "held_out", least=least)
    if held.dim() != 2 or held.shape[1] != real.shape[1]:
        raise InputError(
            f"'held_out' must be one set of samples [n, {real.shape[1]}] from the feature space of 'real', got the "
            f"shape {list(held.shape)}."
        )
    return held.to(real.device)
