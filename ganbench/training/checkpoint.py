"""Checkpoints of a population. Random streams need none: they are functions of the number of batches drawn.

Two are kept, the last and the one before it, and one is used only if it is whole, belongs to these very runs, and all
that was recorded up to its step is still there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganbench.files import earlier, replace_file
from ganbench.training.players import Player
from ganbench.training.population import Population


def save(population: Population, clock: dict[str, float], file: Path) -> None:
    """Write a population's state and keep the one before; a kill in the middle leaves one of them whole."""
    state = {
        "runs": [run.id for run in population.runs],
        "step": population.step,
        "alive": population.alive,
        "diverged_step": population.diverged_step,
        "memory": population.memory,
        "players": {name: _player(player) for name, player in population.players.items()},
        "clock": clock,
    }
    with replace_file(file) as target:
        torch.save(state, target)
        if file.exists():
            file.replace(earlier(file))


def restore(
    population: Population,
    clock: dict[str, float],
    file: Path,
    recorded: Collection[int] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> bool:
    """Bring a population back to its checkpoint, or to the one before; False where neither can be used.

    recorded: the steps of the probes that are still there; a checkpoint is used where all up to its own step are.
    tell: called with a sentence for each that cannot be used.
    """
    for place in (file, earlier(file)):
        if not place.exists():
            continue
        try:
            state = _read(place, population.device)
            _check(state, population, clock, recorded)
        except _UnusableError as error:
            tell(f"The checkpoint '{place}' cannot be used: {error}.")
            continue
        _set(population, clock, state)
        return True
    return False


class _UnusableError(Exception):
    """Why a checkpoint cannot be used."""


def _read(file: Path, device: torch.device) -> dict[str, Any]:
    try:
        # torch reads what does not match its checksums
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip() is not None
        state = None if damaged else torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # what a damaged file makes torch raise is nowhere listed
        raise _UnusableError("it is damaged") from error
    if not isinstance(state, dict):
        raise _UnusableError("it is damaged")
    return state


def _check(
    state: Mapping[str, Any], population: Population, clock: Mapping[str, float], recorded: Collection[int] | None
) -> None:
    if state.get("runs") != [run.id for run in population.runs]:
        raise _UnusableError("it belongs to other runs")
    try:
        fits = _fits(state, population) and state["clock"].keys() == clock.keys()
    except (AttributeError, KeyError, TypeError):
        fits = False
    if not fits:
        raise _UnusableError("it holds something else than these networks")
    if recorded is not None and state["step"] not in recorded:
        raise _UnusableError(f"the probe of its step, {state['step']}, is lost")


def _fits(state: Mapping[str, Any], population: Population) -> bool:
    """Tell whether every tensor has the place and shape that the population has for it."""
    step = state["step"]
    fits = isinstance(step, int) and 0 <= step <= population.variant.steps
    fits &= all(_alike(state[name], getattr(population, name)) for name in ("alive", "diverged_step"))
    fits &= state["memory"].keys() == population.memory.keys() and state["players"].keys() == population.players.keys()
    fits &= all(_tensors(memory) for memory in state["memory"].values())
    for name, player in population.players.items():
        saved = state["players"][name]
        fits &= _alike(saved["flat"], player.flat) and _tensors(saved["state"])
        fits &= saved["buffers"].keys() == player.buffers.keys()
        fits &= all(_alike(saved["buffers"][label], buffer) for label, buffer in player.buffers.items())
        fits &= isinstance(saved["batches"], int) and isinstance(saved["descents"], int)
    return fits


def _alike(saved: Any, mine: Tensor) -> bool:
    return isinstance(saved, Tensor) and saved.shape == mine.shape and saved.dtype == mine.dtype


def _tensors(saved: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in saved.items())


def _set(population: Population, clock: dict[str, float], state: Mapping[str, Any]) -> None:
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


def part(file: Path, target: Path, rows: Sequence[int]) -> None:
    """Write the part of a population's checkpoints that is the state of some rows; what cannot be read is left out."""
    for source, place in ((file, target), (earlier(file), earlier(target))):
        try:
            state = _read(source, torch.device("cpu"))
        except _UnusableError:
            continue
        runs = len(state["runs"])
        with replace_file(place) as temporary:
            sliced = _rows(state, torch.tensor(rows), runs)
            torch.save({**sliced, "runs": [state["runs"][row] for row in rows]}, temporary)


def _rows(value: Any, rows: Tensor, runs: int) -> Any:
    if isinstance(value, dict):
        return {key: _rows(inner, rows, runs) for key, inner in value.items()}
    # the first axis of all that a population holds is its runs
    return value[rows].clone() if isinstance(value, Tensor) and value.shape[:1] == (runs,) else value


def _player(player: Player) -> dict[str, Any]:
    counted = {"batches": player.batches, "descents": player.descents}
    return {"flat": player.flat, "state": player.state, "buffers": player.buffers, **counted}
