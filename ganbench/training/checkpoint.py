"""Checkpoints of a population. Random streams need none: they are functions of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ganbench.files import replace_file
from ganbench.training.population import Player, Population


def save(population: Population, clock: dict[str, float], file: Path) -> None:
    """Write a population's state; a file is always whole, even after a kill in the middle."""
    state = {
        "step": population.step,
        "alive": population.alive,
        "diverged_step": population.diverged_step,
        "generator": _player(population.generator),
        "discriminator": _player(population.discriminator),
        "clock": clock,
    }
    with replace_file(file) as target:
        torch.save(state, target)


def restore(population: Population, clock: dict[str, float], file: Path) -> bool:
    """Bring a population back to a checkpoint; False where there is none."""
    if not file.exists():
        return False
    state = torch.load(file, map_location=population.device, weights_only=True)
    population.step = state["step"]
    population.alive.copy_(state["alive"])
    population.diverged_step.copy_(state["diverged_step"])
    for player, saved in (
        (population.generator, state["generator"]),
        (population.discriminator, state["discriminator"]),
    ):
        player.flat.copy_(saved["flat"])
        player.state.update(saved["state"])
        for name, buffer in saved["buffers"].items():
            player.buffers[name].copy_(buffer)
    clock.update(state["clock"])
    return True


def _player(player: Player) -> dict[str, Any]:
    return {"flat": player.flat, "state": player.state, "buffers": player.buffers}
