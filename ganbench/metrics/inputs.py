"""What every metric asks of its arguments: checked once, in one place, with the argument's name in the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.registry import Measure

F = TypeVar("F", bound=Callable[..., Any])


def measured(**columns: Measure) -> Callable[[F], F]:
    """Declare what a metric returns: a measure for its one number, or one for each field of its result."""

    def declare(function: F) -> F:
        function.measures = columns  # type: ignore[attr-defined]
        return function

    return declare


def samples(value: Any, name: str, *, least: int = 1) -> Tensor:
    """Return an array or tensor [..., n, d] as a finite floating-point tensor with n >= least.

    Raises InputError naming the argument for integers, NaN or infinity, too few samples or axes.
    """
    tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if not isinstance(tensor, Tensor):
        raise InputError(f"'{name}' must be a tensor or an array of samples [..., n, d], got {type(value).__name__}.")
    if not tensor.is_floating_point():
        raise InputError(
            f"'{name}' holds {str(tensor.dtype).removeprefix('torch.')}; metrics compare features: convert it to "
            "floating point, images in the value range of the feature extractor."
        )
    if tensor.dim() < 2:
        raise InputError(f"'{name}' must be samples [..., n, d], got the shape {list(tensor.shape)}: add the last axis.")
    if tensor.shape[-2] < least:
        raise InputError(f"'{name}' has {tensor.shape[-2]} samples, {least} are the fewest for this metric.")
    if not bool(tensor.isfinite().all()):
        raise InputError(f"'{name}' holds NaN or infinity: a generator that diverged has no score; leave its run out.")
    return tensor


def pair(real: Any, fake: Any, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return real [n, d] and fake [..., m, d] as `samples` does, on the fakes' device.

    Raises InputError also where their dimensions differ, or where all real samples are one and the same.
    """
    real, fake = samples(real, "real", least=least), samples(fake, "fake", least=least)
    if real.dim() != 2:
        raise InputError(f"'real' must be one set of samples [n, d], got the shape {list(real.shape)}.")
    same_dimension(real.shape[-1], fake)
    if len(real) > 1 and bool((real == real[:1]).all()):
        raise InputError("'real' is constant: all its samples are equal, so that nothing can be told from them.")
    return real.to(fake.device), fake


def same_dimension(dimension: int, fake: Tensor) -> None:
    """Raise InputError unless fake [..., m, d] has d = dimension."""
    if fake.shape[-1] != dimension:
        raise InputError(
            f"'fake' has dimension {fake.shape[-1]} and 'real' {dimension}: both must come from the same feature space."
        )
