"""What a training step of a population costs: floating-point operations of each run, peak memory of all together.

Counted on populations that are thrown away, so that training itself stays what it is bit for bit.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganbench.plan import Run
from ganbench.training.losses import GuiltyError
from ganbench.training.step import train_step

if TYPE_CHECKING:
    from ganbench.training.population import Population

    Make = Callable[[Sequence[Run]], Population]

NEVER = 10**9
"""As `lazy`, a term that is not due in any of the steps that are counted."""


@dataclass(frozen=True)
class StepCost:
    """What a step costs: operations of each run [runs], and peak bytes of the tensors of the whole population.

    Operations are those of matrix products and convolutions, a multiplication and an addition counted as two; what is
    computed element by element is left out, as in the literature. Where a penalty comes only every few updates, they
    are the mean over steps with and without it. Bytes are those of the parameters, the optimizer's state, batches,
    activations and gradients that a step with its penalty holds at once, without a library's own workspace.
    """

    flop: tuple[float, ...]
    peak_bytes: int

    def to_dict(self, steps: int) -> dict[str, Any]:
        """Return it as it is recorded: gflop of all steps by run [runs], peak_bytes of the population."""
        return {"gflop": [flop * steps / 1e9 for flop in self.flop], "peak_bytes": self.peak_bytes}


def step_cost(make: Make, runs: Sequence[Run]) -> StepCost:
    """Count what a training step of a population of these runs costs, on populations of its own."""
    population = make(runs)
    flop = [0.0] * len(runs)
    # runs of a population differ in their loss alone, and losses only in whether G's step looks at real logits too
    slices = population.objective.losses.slices
    for paired in {part.paired for part in slices}:
        parts = [part.runs for part in slices if part.paired == paired]
        try:
            count = _flop(make([runs[part.start] for part in parts])) / len(parts)
        except GuiltyError as error:  # which counts the runs of these few
            raise GuiltyError(parts[error.runs.start]) from error.__cause__
        for part in parts:
            flop[part] = [count] * (part.stop - part.start)
    train_step(population)  # what an optimizer, a rule or a cache makes the first time is there in every later step
    return StepCost(tuple(flop), _counted(population, 0).peak_bytes)


def _flop(population: Population) -> float:
    """Return the operations of a mean step of a few runs together: a term counts in the share of updates it is in."""
    train_step(population)
    lazy = {part: part.lazy for part in population.objective.parts if part.lazy > 1}
    for part in lazy:
        part.lazy = NEVER
    without = _counted(population, 1).flop
    flop = without
    for part, every in lazy.items():
        part.lazy = 1
        flop += (_counted(population, 1).flop - without) / every
        part.lazy = NEVER
    return flop


def _counted(population: Population, batches: int) -> Meter:
    """Return what one more step costs, as if both had seen so many batches: their number says which terms are due."""
    for player in population.players.values():
        player.batches = batches
    return measured(lambda: train_step(population))


def measured(work: Callable[[], object]) -> Meter:
    """Do some work and return what it cost: `flop`, and `peak_bytes` of the tensors that it held at once."""
    with Meter() as meter:
        work()
    return meter


class Meter(TorchDispatchMode):
    """Sees every operation, backward ones too: counts its arithmetic, and follows the storages of its tensors.

    `torch.utils.flop_counter.FlopCounterMode` has the same formulas, but hooks modules, which `autograd.grad` refuses
    for modules that run under vmap.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flop, self.peak_bytes, self.bytes = 0.0, 0, 0
        self._known: dict[int, weakref.ref[Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch's hook for modes: to skip the compiler it would import it, which takes more than a second
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._see(args)
        out = func(*args, **kwargs)
        self._see(out)
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.flop += formula(*args, **kwargs, out_val=out)
        return out

    def _see(self, values: Any) -> None:
        if isinstance(values, Tensor):
            if values.layout is torch.strided:  # others have no storage of their own
                self._hold(values.untyped_storage())
        elif isinstance(values, list | tuple):
            for value in values:
                self._see(value)

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def free(_: Any) -> None:
            del self._known[key]
            self.bytes -= size

        self._known[key] = weakref.ref(storage, free)
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
