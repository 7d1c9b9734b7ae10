"""What is drawn of images when training ends: ways between latents, the nearest in the data, what was asked for."""

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
    "asked" [runs, 2, NEIGHBOURS, C, H, W]: the pictures that these are given, and one that is right for each, where a
    problem gives pictures and knows that.
    """
    with learner.measuring(), torch.no_grad():
        yield "interpolations", _interpolations(learner, latents, given)
        samples = learner.generate(latents, given)[:, :NEIGHBOURS]
    yield "neighbours", nearest(learner.problem, samples)
    gives = learner.problem.gives
    channels = (1, learner.problem.shape[0])
    # what has other channels than samples cannot stand beside them; of several domains the first are the picture's
    shown = isinstance(gives, Picture) and (gives.shape[0] in channels or "targets" in learner.problem.capabilities)
    if learner.problem.truth and shown:
        yield "asked", asked(learner.problem, given)


def asked(problem: Problem, given: Given) -> Tensor:
    """Return the first pictures that are given [runs, n, c, h, w], as large as samples, and one right one for each."""
    assert problem.truth is not None
    assert isinstance(given, Tensor)
    height, width = problem.shape[1:]
    first = given[:, :NEIGHBOURS].cpu()
    right = problem.truth.answers(first.flatten(0, 1))[:, 0].unflatten(0, first.shape[:2])
    first = first[..., : problem.shape[0], :, :]
    # pictures may be a part of the samples' side, and grey
    across = torch.arange(width, device=first.device) * first.shape[-1] // width
    down = torch.arange(height, device=first.device) * first.shape[-2] // height
    return torch.stack([first[..., down, :][..., across].expand_as(right), right.to(first)], dim=1)


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
