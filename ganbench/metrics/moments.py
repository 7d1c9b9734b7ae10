"""Means, covariances and their roots in float64, without a copy of all samples in it."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.metrics.distances import PAIRS, spans

# columns of a covariance computed at a time: what lies below the diagonal is a copy of what lies above
PANEL = 256
# with so few columns a sum over samples is faster where they are neighbours in memory
FEW = 8
# a triangular root with a smaller ratio of diagonal entries says nothing about directions without variance
SINGULAR = 1e-6


def mean(samples: Tensor) -> Tensor:
    """Return the mean [..., d] of samples [..., n, d], float64."""
    total = torch.zeros(*samples.shape[:-2], samples.shape[-1], dtype=torch.float64, device=samples.device)
    for rows in spans(samples.shape[-2], total.numel(), samples.device):
        total += samples[..., rows, :].double().sum(-2)
    return total / samples.shape[-2]


def covariance(samples: Tensor, centre: Tensor) -> Tensor:
    """Return the unbiased covariance [..., d, d] of samples [..., n, d] with the mean [..., d], float64."""
    dimension = samples.shape[-1]
    total = torch.zeros(*centre.shape, dimension, dtype=torch.float64, device=samples.device)
    for rows in spans(samples.shape[-2], centre.numel(), samples.device):
        part = samples[..., rows, :].transpose(-1, -2)
        if dimension <= FEW:
            part = part.contiguous()
        centred = part.double() - centre.unsqueeze(-1)
        for start in range(0, dimension, PANEL):
            panel = centred[..., start : start + PANEL, :] @ centred[..., start:, :].transpose(-1, -2)
            total[..., start : start + PANEL, start:] += panel
    for start in range(PANEL, dimension, PANEL):
        above = total[..., start - PANEL : start, start:]
        total[..., start:, start - PANEL : start] = above.transpose(-1, -2)
    return total / (samples.shape[-2] - 1)


def mean_and_covariance(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return both for samples [..., n, d]: at once where they are few enough to be held in float64."""
    *runs, n, dimension = samples.shape
    if dimension > FEW or samples.numel() > PAIRS.get(samples.device.type, PAIRS["cuda"]):
        centre = mean(samples)
        return centre, covariance(samples, centre)
    across = torch.empty(*runs, dimension, n, dtype=torch.float64, device=samples.device)
    across.copy_(samples.transpose(-1, -2))
    centre = across.mean(-1, keepdim=True)
    across -= centre
    return centre.squeeze(-1), across @ across.transpose(-1, -2) / (n - 1)


def root(covariance: Tensor) -> Tensor:
    """Return a factor L [d, rank] of a covariance [d, d] = L L^T: as few columns as it has directions with variance."""
    triangle, failed = torch.linalg.cholesky_ex(covariance)
    diagonal = triangle.diagonal()
    if not bool(failed) and bool(diagonal.min() > SINGULAR * diagonal.max()):
        return triangle
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors[:, kept] * values[kept].sqrt()


def congruence(root: Tensor, covariance: Tensor) -> Tensor:
    """Return L^T S L for a root L [d, rank] and covariances S [..., d, d]; maybe its lower triangle only."""
    dimension, rank = root.shape
    if dimension <= PANEL or rank < dimension or bool(root.triu(1).any()):
        return root.T @ covariance @ root
    # neither what is 0 in a triangular root nor what symmetry gives: a third of the products
    result = torch.empty_like(covariance)
    for start in range(0, dimension, PANEL):
        half = covariance[..., start:, start:] @ root[start:, start : start + PANEL]
        result[..., start:, start : start + PANEL] = root[start:, start:].T @ half
        result[..., :start, start : start + PANEL] = 0
    return result


def trace_of_root(matrix: Tensor, zeros: int = 0) -> Tensor:
    """Return the sum of the square roots of the eigenvalues [...] of matrices [..., d, d], from lower triangles.

    zeros: how many of them are known to be 0: what rounding leaves there, 1e-16, has a root of 1e-8.
    """
    return torch.linalg.eigvalsh(matrix, UPLO="L")[..., zeros:].clamp(min=0).sqrt().sum(-1)
