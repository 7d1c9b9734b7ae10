"""What every metric asks of its arguments: checked once, in one place, with the argument's name in the error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import InputError
from ganbench.registry import Measure

F = TypeVar("F", bound=Callable[..., Any])

# squared distances of larger numbers leave float64
LARGEST = 1e150
# and those of smaller ones vanish in it
SMALLEST = 1e-150


Samples: TypeAlias = Tensor | np.ndarray[Any, np.dtype[Any]]
"""Samples [..., n, d] of whatever a metric looks at, as tensor or array."""


def measured(**columns: Measure) -> Callable[[F], F]:
    """Declare what a metric returns: a measure for its one number, or one for each field of its result."""

    def declare(function: F) -> F:
        function.measures = columns  # type: ignore[attr-defined]
        return function

    return declare


def measures_of(function: Callable[..., Any]) -> Mapping[str, Measure]:
    """Return what `measured` declared of a metric: a measure for each number that it returns."""
    return function.measures  # type: ignore[attr-defined]


@lru_cache(maxsize=16)
def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64: Apple's (MPS) and some of Intel's do not."""
    if device.type in ("cpu", "cuda", "meta"):
        return True
    try:
        torch.ones((), dtype=torch.float64, device=device).add(1)
    except (TypeError, RuntimeError):
        return False
    return True


def home(device: torch.device) -> torch.device:
    """Return where float64 is computed of what lies on a device: there or, where it has none, on the CPU."""
    return device if has_float64(device) else torch.device("cpu")


def exact(values: Tensor) -> Tensor:
    """Return numbers in float64, on their device's `home`."""
    return values.to(home(values.device)).double()


def numbers(value: Any) -> Tensor:
    """Return numbers of any kind as a tensor, on their device's `home`."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    return tensor.to(home(tensor.device))


def samples(value: object, name: str, *, least: int = 1) -> Tensor:
    """Return an array or tensor [..., n, d] as a finite floating-point tensor with n >= least, without gradients.

    It stays on its device where that computes in float64, and goes to the CPU otherwise. Raises InputError naming the
    argument for integers, NaN or infinity, too few samples or axes.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"'{name}' has masked values, which no metric leaves out: leave their samples out first.")
    tensor = _tensor(value) if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else value
    if not isinstance(tensor, Tensor):
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"'{name}' must be a tensor or an array of samples [..., n, d], got {got}.")
    if tensor.is_nested or tensor.layout is not torch.strided or tensor.is_meta:
        raise InputError(f"'{name}' must be a dense tensor with numbers in it: make it one, as by to_dense().")
    if tensor.is_floating_point() and tensor.dtype.itemsize < 2:
        raise InputError(f"'{name}' holds {str(tensor.dtype).removeprefix('torch.')}: convert it to float32.")
    if not tensor.is_floating_point():
        raise InputError(
            f"'{name}' holds {str(tensor.dtype).removeprefix('torch.')}; metrics compare features: convert it to "
            "floating point, images in the value range of the feature extractor."
        )
    if tensor.dim() < 2:
        raise InputError(
            f"'{name}' must be samples [..., n, d], got the shape {list(tensor.shape)}: add the last axis."
        )
    if tensor.shape[-2] < least:
        raise InputError(
            f"'{name}' has {tensor.shape[-2]} samples, and this metric needs at least {least}: give it more."
        )
    if tensor.numel() == 0:
        raise InputError(f"'{name}' is empty, got the shape {list(tensor.shape)}: give it samples of some features.")
    tensor = tensor.to(home(tensor.device))
    # the extremes are NaN where anything is, at a tenth of the time of looking at each number
    largest = torch.stack(tensor.aminmax()).abs().max()
    if not bool(largest.isfinite()):
        raise InputError(f"'{name}' holds NaN or infinity: a generator that diverged has no score; leave its run out.")
    if tensor.dtype == torch.float64 and bool(largest > LARGEST):
        raise InputError(f"'{name}' holds numbers beyond {LARGEST:g}, whose squares are infinite: scale them down.")
    return tensor.detach()


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)  # the widest that torch has
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    # torch shares memory with arrays that can be written to and run forward only
    shared = array.flags.writeable and min(array.strides, default=0) >= 0
    return torch.from_numpy(array if shared else array.copy())


def real_samples(value: object, *, least: int = 1) -> Tensor:
    """Return real samples [n, d] as `samples` does; InputError also where all of them are one and the same."""
    real = samples(value, "real", least=least)
    if real.dim() != 2:
        raise InputError(f"'real' must be one set of samples [n, d], got the shape {list(real.shape)}.")
    if len(real) > 1 and bool((real == real[:1]).all()):
        raise InputError("'real' is constant: all its samples are equal, so that nothing can be told from them.")
    if real.dtype == torch.float64 and 0 < float(real.abs().max()) < SMALLEST:
        raise InputError(f"'real' holds no number above {SMALLEST:g}, and their squares vanish: scale both sides up.")
    return real


def pair(real: object, fake: object, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return real [n, d] and fake [..., m, d] as `samples` does, on the fakes' device.

    Raises InputError also where their dimensions differ, or where all real samples are one and the same.
    """
    real, fake = real_samples(real, least=least), samples(fake, "fake", least=least)
    same_dimension(real.shape[-1], fake)
    return real.to(fake.device), fake


def same_dimension(dimension: int, fake: Tensor) -> None:
    """Raise InputError unless fake [..., m, d] has d = dimension."""
    if fake.shape[-1] != dimension:
        raise InputError(
            f"'fake' has dimension {fake.shape[-1]} and 'real' {dimension}: both must come from the same feature space."
        )


def whole(value: object, name: str, *, least: int = 1) -> int:
    """Return a whole number of at least `least`; InputError names the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"'{name}' must be a whole number of {least} or more, got {value!r}.")
    return int(value)
