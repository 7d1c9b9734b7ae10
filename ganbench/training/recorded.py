"""Steps that are recorded, once for each phase, and played again without Python: CUDA graphs, or a script on a CPU."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ganbench import registry
from ganbench.problems.base import Batch, mapped
from ganbench.training.host import Inputs, Recipe
from ganbench.training.scripted import ScriptTape
from ganbench.training.step import move

if TYPE_CHECKING:
    from ganbench.plan import Variant
    from ganbench.training.population import Population

MOST = 64
"""Phases that are recorded; each keeps memory of its own on the device."""
FIRST = 16
"""The step from which on steps are recorded on a CPU: a trial of a few steps is not."""
ON_CPU: dict[str, Any] = {"first": FIRST, "most": 4, "warns": False}
"""How steps are recorded on a CPU: few phases, at a second each; a refusal costs time alone, and is no warning."""
REPAYS = 500
"""Steps of a training that repay a record on a CPU."""


class Tape(Protocol):
    """What records work on a device and plays it again, on the same tensors."""

    def record(self, work: Callable[[], None], reads: Sequence[Tensor]) -> None:
        """Take down what a piece of work does, without doing it; any error where that cannot be.

        reads: all tensors with numbers of their own that it reads or writes; views of them are found by their memory.
        """

    def play(self) -> None:
        """Do it."""


class CudaGraph:
    """A tape of CUDA kernels."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def record(self, work: Callable[[], None], reads: Sequence[Tensor]) -> None:
        """Capture the kernels of a piece of work."""
        collects = gc.isenabled()
        gc.disable()  # another graph that is given back meanwhile would end this one
        try:
            # other threads draw the next batches in the meantime
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                work()
        finally:
            if collects:
                gc.enable()

    def play(self) -> None:
        """Launch them all at once."""
        self._graph.replay()


class RecordedSteps:
    """The training steps of a population: those of a phase that has been met twice are played from a tape.

    A tape is used only if its first step has left every tensor of the population with the numbers of the plain step.
    Where it has not, or where a plug-in's work cannot be recorded, all further steps are plain, and `refused` says why.

    first: the step from which on phases are recorded; most: so many of them, as each takes its time and memory; warns:
    whether a refusal is a warning.
    """

    def __init__(
        self, tape: Callable[[], Tape] = CudaGraph, *, first: int = 0, most: int = MOST, warns: bool = True
    ) -> None:
        self._tape, self._first, self._most, self._warns = tape, first, most, warns
        self._scenes: dict[Hashable, _Scene] = {}
        self.refused = ""
        self.played = 0

    def advance(self, population: Population) -> None:
        """Make one training step for the runs that are alive, always of the same population."""
        inputs = population.inputs(population.step)
        scene = self._scenes.get(inputs.phase)
        if scene is not None:
            scene.play(inputs)
            self.played += 1
        elif self._is_due(population, inputs):
            self._record(population, inputs)
        else:
            move(population, inputs, population.clock)
        population.count(inputs)

    def _is_due(self, population: Population, inputs: Inputs) -> bool:
        room = len(self._scenes) < self._most and population.step >= self._first
        return inputs.phase in population.recipes and room and not self.refused

    def _record(self, population: Population, inputs: Inputs) -> None:
        """Make a step, and take it down; what is left behind is the plain step's work."""
        before = _copied(population.state_dict())
        move(population, inputs, population.clock)
        after = _copied(population.state_dict())
        population.load_state_dict(before)
        try:
            scene = _Scene(population, inputs, self._tape())
            scene.play(inputs)
        except Exception as error:  # whatever a plug-in or a device has against it
            self._refuse(f"{type(error).__name__}: {error}".partition("\n")[0])
        else:
            differing = next(_differences(after, population.state_dict()), None)
            if differing is None:
                self._scenes[inputs.phase] = scene
            else:
                self._refuse(f"the step that was played from a record differs from the plain one in {differing}")
        population.load_state_dict(after)

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        self._scenes.clear()
        if self._warns:
            warnings.warn(f"All steps are played plainly: {reason}", UserWarning, stacklevel=2)


def recorder(variant: Variant, device: torch.device) -> RecordedSteps | None:
    """Return what plays the steps of a variant's population on a device from records, None where all are plain.

    On a CPU these are long trainings of nothing but what this package ships: what else a plug-in's Python does, besides
    what the first steps have shown, would be left out.
    """
    if device.type == "cuda":
        return RecordedSteps()
    own = all(registry.get(*pair).is_own for pair in variant.plugins())
    return RecordedSteps(ScriptTape, **ON_CPU) if own and variant.steps >= REPAYS else None


class _Scene:
    """The recorded step of one phase, and where it finds what the host hands to it."""

    def __init__(self, population: Population, inputs: Inputs, tape: Tape) -> None:
        self._slots = {want: _twin(value) for want, value in inputs.held.items()}
        self._recipe = population.recipes[inputs.phase]
        self._tape = tape
        held = Inputs(inputs.now, inputs.phase, _nothing_else)
        held.held.update(self._slots)

        def work() -> None:
            held.recipe = Recipe()
            # the losses are let go of: they lie where the next step writes
            move(population, held, population.clock)

        state = [*_tensors(population.state_dict()), *population.clock.tensors]
        tape.record(work, [*state, *(leaf for slot in self._slots.values() for leaf in _leaves(slot))])

    def play(self, inputs: Inputs) -> None:
        """Make the step of these inputs."""
        for want, slot in self._slots.items():
            for place, value in zip(_leaves(slot), _leaves(inputs.held[want]), strict=True):
                place.copy_(value)
        self._tape.play()
        inputs.recipe = self._recipe


def _nothing_else(*want: Any) -> Any:
    raise RuntimeError(f"a step of a phase that was met before wants something else of the host: {want}")


def _twin(value: Any) -> Any:
    """Return a copy of a batch, or of numbers, at addresses of its own."""
    if isinstance(value, Batch):
        return Batch(value.x.clone(), mapped(Tensor.clone, value.given))
    return mapped(Tensor.clone, value)


def _leaves(value: Any) -> list[Tensor]:
    if value is None or isinstance(value, Tensor):
        return [] if value is None else [value]
    return [leaf for part in value for leaf in _leaves(part)]


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Mapping):
        return [leaf for own in state.values() for leaf in _tensors(own)]
    return [state] if isinstance(state, Tensor) else []


def _copied(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _copied(own) for name, own in state.items()}
    return state.clone() if isinstance(state, Tensor) else state


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the names of the tensors of two states of one form whose numbers differ; NaN equals NaN."""
    for name, own in one.items():
        theirs = other[name]
        if isinstance(own, Mapping):
            yield from _differences(own, theirs, f"{path}{name}.")
        elif isinstance(own, Tensor) and not ((own == theirs) | ((own != own) & (theirs != theirs))).all():
            yield f"{path}{name}"
