"""What is drawn of images when training ends: ways between latents, and what samples are nearest to in the data."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganbench.problems.base import Given, Picture, Problem, SampleTable, mapped
from ganbench.training.learner import Learner

STRIPS, FRAMES, NEIGHBOURS = 4, 8, 8
CHUNK = 2048
"""Training images that are numbers at once."""


def pictures(learner: Learner, latents: Tensor, given: Given) -> Iterator[tuple[str, Tensor]]:
    """Yield what is drawn of the images of each run, by name, of latents [runs, n, latent_dim + noise].

    "interpolations" [runs, STRIPS, FRAMES, C, H, W]: on the way from one latent to another, in what is given for the
    first. "neighbours" [runs, NEIGHBOURS, C, H, W]: the training image that is nearest to each of the first samples.
    "given" [runs, NEIGHBOURS, *shape]: the picture that each of these samples was made of, where the problem gives one.
    """
    with learner.measuring(), torch.no_grad():
        yield "interpolations", _interpolations(learner, latents, given)
        samples = learner.generate(latents, given)[:, :NEIGHBOURS]
    yield "neighbours", nearest(learner.problem, samples)
    if isinstance(learner.problem.gives, Picture) and isinstance(given, Tensor):
        yield "given", given[:, :NEIGHBOURS]


def _interpolations(learner: Learner, latents: Tensor, given: Given) -> Tensor:
    strips = min(STRIPS, latents.shape[1] // FRAMES)
    count, size = strips * FRAMES, learner.variant.latent_dim
    start, end = latents[:, :strips], latents[:, strips : 2 * strips]
    ways = between(start[..., :size], end[..., :size], FRAMES, straight=learner.variant.latent == "uniform")
    # numbers behind the latents (StyleGAN's noise) stay what they are
    ways = torch.cat([ways, start[..., None, size:].expand(*ways.shape[:-1], -1)], dim=-1)
    # among the latents of every probe: a generator that normalizes its batch sees one that it knows
    batch = torch.cat([ways.flatten(1, 2), latents[:, count:]], dim=1)

    def kept(part: Tensor) -> Tensor:
        return torch.cat([part[:, :strips].repeat_interleave(FRAMES, dim=1), part[:, count:]], dim=1)

    return learner.generate(batch, mapped(kept, given))[:, :count].unflatten(1, (strips, FRAMES))


def between(start: Tensor, end: Tensor, frames: int, *, straight: bool) -> Tensor:
    """Return so many points [..., frames, d] on the way from start to end [..., d], both ends among them.

    Straight, or along the great circle between their directions, so that latents of N(0, 1) stay about as long as they
    are likely to be (White 2016).
    """
    share = torch.linspace(0, 1, frames, device=start.device, dtype=start.dtype).unsqueeze(-1)
    first, second = start.unsqueeze(-2), end.unsqueeze(-2)
    if straight:
        return (1 - share) * first + share * second
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=-1).unsqueeze(-1)
    angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    return ((1 - share) * angle).sin() / angle.sin() * first + (share * angle).sin() / angle.sin() * second


def nearest(problem: Problem, samples: Tensor) -> Tensor:
    """Return the training image nearest to each sample [runs, n, *shape], by the Euclidean distance of their pixels.

    Of a problem without end, the nearest of the real samples that generators are measured against.
    """
    # on the CPU, where the data lie and one look at them costs less than moving them
    wanted = samples.flatten(0, 1).flatten(1).float().cpu()
    table = problem.table or SampleTable(problem.reference())
    closest, place = torch.full((len(wanted),), torch.inf), torch.zeros(len(wanted), dtype=torch.int64)
    for first in range(0, len(table.rows), CHUNK):
        places = torch.arange(first, min(len(table.rows), first + CHUNK))
        distance, at = torch.cdist(wanted, table.samples(places).flatten(1)).min(dim=1)
        place = torch.where(distance < closest, at + first, place)
        closest = torch.minimum(closest, distance)
    # what is not finite is near to nothing
    found = table.samples(place).flatten(1).masked_fill(~wanted.isfinite().all(1, keepdim=True), torch.nan)
    return found.view(samples.shape)
