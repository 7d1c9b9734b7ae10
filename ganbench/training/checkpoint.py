"""Checkpoints of a learner. Random streams need none: they are functions of the number of batches drawn.

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
from ganbench.training.learner import Learner


def save(learner: Learner, clock: dict[str, float], file: Path) -> None:
    """Write a learner's state and keep the one before; a kill in the middle leaves one of them whole."""
    state = {"runs": [run.id for run in learner.runs], "clock": clock, **learner.state_dict()}
    with replace_file(file) as target:
        torch.save(state, target)
        if file.exists():
            file.replace(earlier(file))


def restore(
    learner: Learner,
    clock: dict[str, float],
    file: Path,
    recorded: Collection[int] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> bool:
    """Bring a learner back to its checkpoint, or to the one before; False where neither can be used.

    recorded: the steps of the probes that are still there; a checkpoint is used where all up to its own step are.
    tell: called with a sentence for each that cannot be used.
    """
    for place in (file, earlier(file)):
        if not place.exists():
            continue
        try:
            state = _read(place, learner.device)
            _check(state, learner, clock, recorded)
        except _UnusableError as error:
            tell(f"The checkpoint '{place}' cannot be used: {error}.")
            continue
        learner.load_state_dict(state)
        clock.update(state["clock"])
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
    state: Mapping[str, Any], learner: Learner, clock: Mapping[str, float], recorded: Collection[int] | None
) -> None:
    if state.get("runs") != [run.id for run in learner.runs]:
        raise _UnusableError("it belongs to other runs")
    own = {key: value for key, value in state.items() if key not in ("runs", "clock")}
    kept = state.get("clock")
    step = own.get("step")
    fits = _fits(own, learner.state_dict()) and isinstance(step, int) and 0 <= step <= learner.variant.steps
    if not fits or not isinstance(kept, dict) or kept.keys() != clock.keys():
        raise _UnusableError("it holds something else than these networks")
    if recorded is not None and step not in recorded:
        raise _UnusableError(f"the probe of its step, {step}, is lost")


def _fits(saved: Any, mine: Any) -> bool:
    """Tell whether what was saved has the form of a learner's own state; what is empty there yet may hold tensors."""
    if isinstance(mine, Tensor):
        return isinstance(saved, Tensor) and saved.shape == mine.shape and saved.dtype == mine.dtype
    if not isinstance(mine, dict):
        return type(saved) is type(mine)
    if not isinstance(saved, dict):
        return False
    if not mine:
        return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in saved.items())
    return saved.keys() == mine.keys() and all(_fits(saved[key], own) for key, own in mine.items())


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
