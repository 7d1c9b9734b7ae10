"""Checkpoints of a population. Random streams need none: they are functions of the number of batches drawn."""

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
        "memory": population.memory,
        "players": {name: _player(player) for name, player in population.players.items()},
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
    for owner, memory in state["memory"].items():
        population.memory[owner].update(memory)
    for name, player in population.players.items():
        saved = state["players"][name]
        player.batches, player.descents = saved["batches"], saved["descents"]
        player.flat.copy_(saved["flat"])
        player.state.update(saved["state"])
        for label, buffer in saved["buffers"].items():
            player.buffers[label].copy_(buffer)
    clock.update(state["clock"])
    return True


def _player(player: Player) -> dict[str, Any]:
    counted = {"batches": player.batches, "descents": player.descents}
    return {"flat": player.flat, "state": player.state, "buffers": player.buffers, **counted}
