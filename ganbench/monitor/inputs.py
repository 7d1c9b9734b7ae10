"""What a watched loop brings along: real samples, latents, a problem; each read once and checked in one sentence."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ganbench import registry
from ganbench.errors import UserError, unknown
from ganbench.monitor.isolation import own_randomness
from ganbench.monitor.outputs import tensors_in
from ganbench.problems.base import Batch, Given, Problem, mapped, stream

Real = Tensor | np.ndarray[Any, Any] | DataLoader[Any] | Iterable[Any] | Callable[..., Any]
GivenKey = str | int | None
_TAKEN = ": its batches would be missing in the loop; give the function that makes it"
Latent = int | Callable[[int], Tensor]

FEWEST = 64
# the Frechet distance of pixels takes the eigenvalues of a matrix of that many rows
PIXELS = 1024


class RealSamples(Problem):
    """A finite set of real samples [n, *shape]: half of them to measure against, the other half as the oracle."""

    def __init__(self, name: str, real: Tensor) -> None:
        self.name, self.shape = name, tuple(real.shape[1:])
        real = real[torch.randperm(len(real), generator=stream("real halves", 0))]
        self._reference, self._oracle = real[: len(real) // 2], real[len(real) // 2 :]
        if len(self.shape) == 3:
            self.capabilities = frozenset({"image"})
            self.feature_spaces = ("conv", "pixels") if real[0].numel() <= PIXELS else ("conv",)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, *shape] of the reference samples with replacement."""
        return self._reference[torch.randint(len(self._reference), (n,), generator=generator)]

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return the first n of the reference samples, [n, *shape], or all of them."""
        return self._reference[:n]

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return the first n held-out samples, [n, *shape], or all of them."""
        return self._oracle[:n]


def real_samples(real: Real, count: int) -> Tensor:
    """Return up to `count` real samples [n, *shape], float32 on the CPU; the same ones at every call.

    Raises UserError for what cannot be samples: too few, integers, NaN, one axis.
    """
    return real_batch(real, count, None).x


def real_batch(real: Real, count: int, given: GivenKey) -> Batch:
    """Return real samples as `real_samples` does, with what is given beside each: an entry of a batch, by its key.

    For a tensor of samples there is none; a tuple of tensors is one batch.
    """
    with own_randomness():
        if isinstance(real, tuple | dict):
            batch = _split(real, given)
            place = torch.randperm(len(batch.x), generator=stream("real part", 0))[:count]
            batch = Batch(batch.x[place], mapped(lambda part: part[place], batch.given))
        elif isinstance(real, DataLoader):
            batch = _from_loader(real, count, given)
        elif isinstance(real, Tensor | np.ndarray):
            # a fair part, whatever their order
            every = torch.as_tensor(real)
            chosen = torch.randperm(len(every), generator=stream("real part", 0))[:count] if every.dim() else ...
            batch = Batch(every[chosen])
        elif inspect.isgeneratorfunction(real):
            batch = _joined(real(), count, given)
        elif callable(real):
            drawn = real(count)
            batch = _split(drawn, given) if isinstance(drawn, tuple | dict) else Batch(torch.as_tensor(drawn))
        elif isinstance(real, Iterable) and not isinstance(real, str | Iterator):
            batch = _joined(real, count, given)
        else:
            raise UserError(
                "'real' must be a tensor, an array, a DataLoader or a callable n -> samples, got "
                f"{type(real).__name__}" + _TAKEN * isinstance(real, Iterator) + "."
            )
    if given is not None and batch.given is None:
        raise UserError(f"'given' is {given!r}, and 'real' has no such part: give batches, a tuple or a dict.")
    return Batch(_checked(batch.x), batch.given)


def _checked(samples: Tensor) -> Tensor:
    if samples.dim() < 2:
        raise UserError(f"'real' must hold samples [n, d] or [n, C, H, W], got the shape {list(samples.shape)}.")
    if not samples.is_floating_point():
        kind = str(samples.dtype).removeprefix("torch.")
        raise UserError(
            f"'real' holds {kind}; give it as the discriminator gets it: floating point, images scaled to the range of "
            "the generator's outputs."
        )
    if len(samples) < FEWEST:
        raise UserError(f"'real' gives {len(samples)} samples; at least {FEWEST} are needed, 2000 are a good number.")
    samples = samples.detach().float().cpu()
    if not bool(samples.isfinite().all()):
        raise UserError("'real' holds NaN or infinity: clean the data first.")
    if bool((samples == samples[:1]).all()):
        raise UserError("'real' is constant: all its samples are equal, so that nothing can be told from them.")
    return samples


def _from_loader(loader: DataLoader[Any], count: int, given: GivenKey) -> Batch:
    with _kept_generators(loader):
        # a copy, so that persistent workers are not started on the loop's own loader
        own = copy.copy(loader)
        own._iterator = None
        return _joined(own, count, given)


def _joined(loader: Iterable[Any], count: int, given: GivenKey) -> Batch:
    batches: list[Batch] = []
    for batch in loader:
        batches.append(_split(batch, given))
        if sum(len(own.x) for own in batches) >= count:
            break
    if not batches:
        raise UserError(f"'real' is a {type(loader).__name__} without a single batch.")
    beside = None if given is None else torch.cat([own.given for own in batches])[:count]  # type: ignore[misc]
    return Batch(torch.cat([own.x for own in batches])[:count], beside)


def _split(batch: Any, given: GivenKey) -> Batch:
    """Return a batch's samples, and the entry that is given with them: never the same."""
    if given is None:
        return Batch(_samples_of(batch).detach().cpu())
    parts = batch if isinstance(batch, dict | tuple | list) else ()
    entries: dict[Any, Any] = dict(parts if isinstance(parts, dict) else enumerate(parts))
    if given not in entries:
        raise unknown("part of a batch in 'given'", str(given), [str(key) for key in entries])
    beside = torch.as_tensor(entries.pop(given)).detach().cpu()
    return Batch(_samples_of(list(entries.values())).detach().cpu(), beside)


def _samples_of(batch: Any) -> Tensor:
    """Return the samples in a batch: the first tensor of numbers with a point, beyond the batch axis, or the first."""
    found = list(tensors_in(batch))
    if not found:
        raise UserError(
            f"'real' is a DataLoader whose batches are {type(batch).__name__}; they must be tensors, or begin with "
            "the tensor of samples."
        )
    return next((own for own in found if own.is_floating_point() and own.dim() > 1), found[0])


@contextmanager
def _kept_generators(loader: DataLoader[Any]) -> Iterator[None]:
    """Seed the loader's own generators for a block, so that it gives the same batches to every seed; then restore."""
    owners = [loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    generators = list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(0)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def latent_samples(latent: Latent | None, n: int, given: Given = None) -> Tensor:
    """Return n latents [n, ...], standard normal of a dimension or as a callable draws them; the same every time.

    None: [n, 0], for a generator that is fed by what is given alone.
    """
    if latent is None and given is not None:
        return torch.empty(min(n, len(given)), 0)
    if isinstance(latent, int) and not isinstance(latent, bool):
        if latent < 1:
            raise UserError(f"'latent' must be a dimension of at least 1 or a callable n -> latents, got {latent}.")
        return torch.randn(n, latent, generator=stream("probe latents", 0))
    if not callable(latent):
        raise UserError(f"'latent' must be a dimension or a callable n -> latents, got {type(latent).__name__}.")
    with own_randomness():
        drawn = latent(n)
    if not isinstance(drawn, Tensor) or drawn.dim() < 1 or len(drawn) != n:
        got = list(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
        raise UserError(f"'latent' was asked for {n} latents and gave {got}; it must return a tensor [n, ...].")
    return drawn.detach()


def as_problem(problem: str | Problem | None, samples: Tensor | None) -> Problem:
    """Return the problem that a name or the real samples stand for; UserError where there is neither."""
    if isinstance(problem, str):
        plugin = registry.get("problem", problem)
        made: Problem = plugin(**plugin.hypers)
        return made
    if isinstance(problem, Problem):
        return problem
    if problem is not None:
        raise UserError(f"'problem' must be a name or a Problem, got {type(problem).__name__}.")
    if samples is None:
        raise UserError("Nothing to measure against: give 'real' (a tensor, a DataLoader or a callable) or 'problem'.")
    return RealSamples("real", samples)
