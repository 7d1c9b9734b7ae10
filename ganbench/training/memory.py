"""Whether what is asked for can fit into the machine at all."""

from __future__ import annotations

import os

import torch

from ganbench.errors import UserError


def check_fits(name: str, needed: int, kind: str) -> None:
    """Raise UserError where a run needs more bytes than the machine, or for kind "cuda" its device, has in all."""
    there = _memory(kind)
    if needed > there:
        raise UserError(
            f"One run of '{name}' takes about {needed / 2**30:.3g} GiB of memory, and {there / 2**30:.3g} are there: "
            "make its batch or its network smaller."
        )


def _memory(kind: str) -> int:
    if kind == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
