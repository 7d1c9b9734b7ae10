"""Spectra: singular values of batched matrices, extreme eigenvalues of operators that are only applied."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, eigsh
from torch import Tensor

from ganbench.arrays import Array
from ganbench.metrics.inputs import exact
from ganbench.problems.base import stream

Operator = Callable[[Array], Array]

# below this size all columns cost no more than a Krylov space, and ARPACK needs some room
DENSE = 32
# of the spectral radius; one Krylov space mostly does better by a factor of ten
TOLERANCE = 1e-2
KRYLOV = 20
RESTARTS = 20
# ARPACK draws a new vector where its space is invariant: from a seed of ours where it takes one (SciPy 1.17)
SEEDED: dict[str, Any] = {"rng": 0} if "rng" in inspect.signature(eigs).parameters else {}


def singular_values(matrices: Tensor) -> Tensor:
    """Return the singular values of matrices [..., out, in], ascending [..., min(out, in)], in float64.

    Those under about 1e-8 of the largest are rounding. NaN where a matrix is not finite.
    """
    # the Gram matrix of the smaller side has the same singular values, squared, at a fraction of an SVD's cost
    matrices = exact(matrices.detach())
    tall = matrices.shape[-2] > matrices.shape[-1]
    gram = matrices.mT @ matrices if tall else matrices @ matrices.mT
    finite = gram.isfinite().all(dim=(-2, -1))[..., None]
    squares = torch.linalg.eigvalsh(torch.where(finite[..., None], gram, 0.0))
    return torch.where(finite, squares.clamp(min=0).sqrt(), math.nan)


def effective_rank(values: Tensor) -> Tensor:
    """Return exp of the entropy of normalised singular values [..., k] (Roy & Vetterli 2007), in [1, k]."""
    return torch.special.entr(values / values.sum(-1, keepdim=True)).sum(-1).exp()


def stable_rank(values: Tensor) -> Tensor:
    """Return squared Frobenius norm over squared spectral norm from singular values [..., k], in [1, k]."""
    return (values / values.amax(-1, keepdim=True)).square().sum(-1)


def collapsed_share(values: Tensor, below: float = 0.01) -> Tensor:
    """Return the share of singular values [..., k] under `below` times the largest (Liu et al. 2019)."""
    undefined = torch.where(values.isfinite().all(-1), 0.0, math.nan)
    return (values < below * values.amax(-1, keepdim=True)).double().mean(-1) + undefined


def eigenvalue_extremes(apply: Operator, size: int) -> tuple[float, float, float]:
    """Return smallest real part, largest imaginary part and largest modulus of a real operator's eigenvalues.

    The operator maps vectors [size] to vectors [size]; errors are mostly well under a hundredth of the largest. NaN for
    all three where the operator leaves the finite numbers, for one where ARPACK does not find it.
    """
    if size <= DENSE:
        values = _dense(apply, size, np.linalg.eigvals)
        return (values.real.min(), values.imag.max(), abs(values).max()) if len(values) else _UNDEFINED
    largest = abs(_extreme(eigs, apply, size, "LM"))
    # shifted by the radius, since ARPACK's tolerance is relative to the eigenvalue: one near zero would never converge
    smallest = _extreme(eigs, apply, size, "SR", largest).real
    return smallest, abs(_extreme(eigs, apply, size, "LI", largest).imag), largest


def symmetric_extremes(apply: Operator, size: int) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of a symmetric operator; conditions as for any operator."""
    if size <= DENSE:
        values = _dense(apply, size, np.linalg.eigvalsh)
        return (values.min(), values.max()) if len(values) else _UNDEFINED[:2]
    one = _extreme(eigsh, apply, size, "LM").real
    # the end that is farthest from the eigenvalue of largest modulus is the other end
    other = _extreme(eigsh, apply, size, "LM", one).real
    if math.isnan(other):
        return (other, one) if one > 0 else (one, other)
    return min(one, other), max(one, other)


_UNDEFINED = (math.nan,) * 3


class _NotFiniteError(ArithmeticError):
    pass


def _checked(apply: Operator) -> Operator:
    def applied(vector: Array) -> Array:
        image = apply(np.ravel(vector))
        if not np.isfinite(image).all():
            raise _NotFiniteError
        return image

    return applied


def _dense(apply: Operator, size: int, eigenvalues: Callable[[Array], Array]) -> Array:
    try:
        columns = [_checked(apply)(unit) for unit in np.eye(size)]
    except _NotFiniteError:
        return np.empty(0)
    return eigenvalues(np.stack(columns, axis=1))


def _extreme(solver: Callable[..., Array], apply: Operator, size: int, which: str, shift: float = 0.0) -> complex:
    """Return one extreme eigenvalue, sought at a distance `shift` from the origin; NaN where there is none."""
    start = torch.randn(size, generator=stream("Krylov start", 0), dtype=torch.float64).numpy()
    checked = _checked(apply)
    if math.isnan(shift):
        return complex(math.nan, math.nan)
    try:
        if not (checked(start) - shift * start).any():
            return complex(shift)  # a multiple of the identity, which ARPACK refuses
        shifted = LinearOperator((size, size), lambda x: checked(x) - shift * np.ravel(x), dtype=np.float64)
        found = solver(
            shifted, k=1, which=which, v0=start, ncv=KRYLOV, maxiter=RESTARTS, tol=TOLERANCE,
            return_eigenvectors=False, **SEEDED,
        )  # fmt: skip
    except (_NotFiniteError, ArpackError):
        return complex(math.nan, math.nan)
    return complex(found[0]) + shift
