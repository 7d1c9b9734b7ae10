"""Which runs train together, and how many: runs of one static structure, within bounds of memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from ganbench.plan import Run, Variant
from ganbench.problems.base import stream
from ganbench.training.building import build_networks, building, make_problem
from ganbench.training.losses import loss_of
from ganbench.training.memory import check_fits
from ganbench.training.numerics import check_numerics
from ganbench.training.objective import packed
from ganbench.training.parts import latents_of, parts_of

NUMBERS_THAT_MAY_DIFFER = ("loss.", "optimizer.")
# Runs beyond this gain nothing on a CPU, whose caches they leave; a GPU fills up later. Fixed, and so is the memory
# below: what a plan's populations are must not depend on the machine's mood.
LARGEST = {"cpu": 64, "cuda": 1024}
MEMORY = {"cpu": 2 * 2**30, "cuda": 16 * 2**30}
FEWEST = {"cpu": 4, "cuda": 1}
"""Populations that a plan has where it has runs enough: one keeps one core busy."""
SMALLEST = 10
"""Runs of a half, at least: smaller populations cost more than another core gives."""


def structure(variant: Variant) -> tuple[Any, ...]:
    """Return what runs must share to train together: everything but the loss, the seed and optimizer numbers."""
    shared = [value for axis, value in variant.values.items() if axis != "loss"]
    fixed = [
        (key, value)
        for key, value in variant.hypers
        if not key.startswith(NUMBERS_THAT_MAY_DIFFER) or (key.startswith("optimizer.") and isinstance(value, str))
    ]
    return (*shared, *fixed)


def group(runs: Sequence[Run], device: str) -> list[list[Run]]:
    """Split runs into populations, each ordered by loss so that every loss acts on one slice.

    Runs and device alone decide it, and not how many cores there are.
    """
    grouped: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(structure(run.variant), []).append(run)
    kind = "cuda" if device.startswith("cuda") else "cpu"
    for run in runs:
        check_numerics(run.variant, kind)
    together = [sorted(members, key=loss_of) for members in grouped.values()]
    parts = [_fewest_parts(members, kind) for members in together]
    while sum(parts) < FEWEST[kind]:
        # halves of the largest ones: as many for every core, where cores are a power of two
        sizes = [len(members) / count for members, count in zip(together, parts, strict=True)]
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        if sizes[largest] / 2 < SMALLEST:
            break
        parts[largest] *= 2
    return [part for members, count in zip(together, parts, strict=True) for part in _cut(members, count)]


def _fewest_parts(members: Sequence[Run], kind: str) -> int:
    each = bytes_of(members[0].variant)
    check_fits(members[0].variant.id, each, kind)
    return -(-len(members) // max(1, min(LARGEST[kind], MEMORY[kind] // each)))


def _cut(members: list[Run], parts: int) -> list[list[Run]]:
    size = -(-len(members) // parts)
    return [members[start : start + size] for start in range(0, len(members), size)]


@lru_cache(maxsize=1024)
def bytes_of(variant: Variant) -> int:
    """Return roughly what one run of a variant takes: parameters with their gradients and averages, activations."""
    outputs: list[int] = []
    with building(variant), torch.no_grad(), torch.random.fork_rng(devices=[]):
        problem, parts = make_problem(variant), parts_of(variant)
        pair = build_networks(variant, problem, seed=0)
        for module in (leaf for player in pair for leaf in player.modules() if not list(leaf.children())):
            module.register_forward_hook(lambda _, __, out: outputs.append(out.numel() if torch.is_tensor(out) else 0))
        given = problem.draw(variant.batch_size, stream("size", 0)).given if problem.gives else None
        beside = () if given is None else (given,)
        draw = latents_of(variant, parts, getattr(pair[0], "noise", 0))
        latents = draw(variant.batch_size, stream("size", 0))
        fake = pair[0](latents, *beside)
        pair[1](packed(parts, fake.unsqueeze(0)).squeeze(0), *beside)
    parameters = sum(parameter.numel() for player in pair for parameter in player.parameters())
    # real and fake batches, forward and backward, and once more for a penalty; 4 bytes each
    return 4 * (8 * parameters + 8 * sum(outputs))
