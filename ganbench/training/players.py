"""A player of a population: the generators or discriminators of all its runs as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.binding import bind
from ganbench.gan.normalizations import as_matrix
from ganbench.gan.optimizers import at_step
from ganbench.plan import Run
from ganbench.problems.base import Given, mapped
from ganbench.training import batched
from ganbench.training.batched import Tensors
from ganbench.training.host import Clock
from ganbench.training.kept import Kept


def arithmetic(runs: Sequence[Run]) -> set[str]:
    """Return the optimizer's numbers in which runs differ: these are columns of a tensor, the others plain numbers."""
    hypers = [bind(run.variant, "optimizer").hypers for run in runs]
    return {key for key in hypers[0] if len({own[key] for own in hypers}) > 1}


def by_name(shapes: Mapping[str, torch.Size], flat: Tensor) -> dict[str, Tensor]:
    """Return flat parameters [runs, size] as views [runs, *shape] by name."""
    parts = flat.split([shape.numel() for shape in shapes.values()], dim=1)
    return {n: p.unflatten(1, s) if s else p[:, 0] for (n, s), p in zip(shapes.items(), parts, strict=True)}


def flattened(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors [runs, ...] side by side [runs, size]."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def _of_living(gradient: Tensor, alive: Tensor) -> Tensor:
    """Return a gradient [runs, size] with zeros for the runs that are not alive, whatever theirs is."""
    return torch.where(alive.unsqueeze(1), gradient, 0.0)


class Player:
    """Generator or discriminator of every run: one module for one GAN, flat parameters [runs, size]."""

    def __init__(
        self, modules: Sequence[nn.Module], runs: Sequence[Run], rate: str, clock: Clock, dtype: torch.dtype
    ) -> None:
        device, self._clock = clock.step.device, clock
        modules = [module.to(dtype) for module in modules]
        names = [name for name, _ in modules[0].named_parameters()]
        by_run = [dict(module.named_parameters()) for module in modules]
        self.shapes = {name: by_run[0][name].shape for name in names}
        flat = [torch.cat([own[name].detach().flatten() for name in names]) for own in by_run]
        self.flat = torch.stack(flat).to(device)
        buffers = [dict(module.named_buffers()) for module in modules]
        self.buffers = {name: torch.stack([own[name] for own in buffers]).to(device) for name in buffers[0]}
        self.module = modules[0].to(device)
        self.frozen = self.views(self.flat)
        self.trained = {name: view.detach().requires_grad_() for name, view in self.views(self.flat).items()}
        self._set_optimizer(runs, rate)
        self.state = Kept()
        # batches that gradients were taken on, and steps of the optimizer: an update rule makes more or fewer a round
        self.batches = self.descents = 0

    def see(self, progress: Tensor) -> None:
        """Tell the module, where it asks (see NetworkSpec), the share of the training that is over, without axes."""
        for name, buffer in self.buffers.items():
            if name.endswith("progress"):
                buffer.copy_(progress)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return flat parameters [runs, size] by name."""
        return by_name(self.shapes, flat)

    def parameters(self) -> Tensor:
        """Return the trained parameters [runs, size] in the graph of a loss."""
        return flattened(list(self.trained.values()))

    def _set_optimizer(self, runs: Sequence[Run], rate: str) -> None:
        bound = bind(runs[0].variant, "optimizer")
        self._plugin, self._schedules = bound.plugin, bound.schedules
        self.optimizer = self._plugin.function
        hypers = [bind(run.variant, "optimizer").hypers for run in runs]
        self.decay = str(hypers[0].get("decay", "none"))
        columns = {key: [own[key] for own in hypers] for key in hypers[0]}
        self.rate, differing = self._column(columns[rate]), arithmetic(runs)
        # runs that train together share their schedules (grouping.structure)
        values = {key: self._clock.values[schedule] for key, schedule in self._schedules.items()}
        if rate in values:
            self.rate = values[rate].expand_as(self.rate)
        # a number that all runs share stays a number: cheaper, and exact in the optimizer's own arithmetic
        self.hypers = {key: self._column(own) if key in differing else own[0] for key, own in columns.items()} | values
        on_host = {key: self._column(columns[key], torch.device("cpu")) for key in differing}
        self._hypers_on_host = {**self.hypers, **on_host}

    def _column(self, values: Sequence[float], device: torch.device | None = None) -> Tensor:
        return torch.tensor(values, device=device or self.flat.device, dtype=self.flat.dtype).unsqueeze(1)

    def __call__(
        self,
        x: Tensor,
        given: Given = None,
        *,
        trained: bool = False,
        runs: slice = slice(None),
        tap: batched.Tap | None = None,
        tensors: Tensors | None = None,
    ) -> Tensor:
        """Map x [runs, batch, ...] with the parameters of all runs, a slice of them, or others by name.

        given: what the problem gives with each of x, of all runs.
        """
        tensors = {**(tensors or (self.trained if trained else self.frozen)), **self.buffers}
        if runs != slice(None):
            tensors = {name: tensor[runs] for name, tensor in tensors.items()}
            given = mapped(lambda part: part[runs], given)
        # of a step in less precision, losses and samples are of the parameters' own again
        return batched.forward(self.module, tensors, x, given=given, tap=tap).to(self.flat.dtype)

    def matrices(self, tensors: Tensors | None = None) -> list[Tensor]:
        """Return the trained weights, or others by name, of all linear and convolution layers [runs, out, in]."""
        tensors = tensors or self.trained
        layers = {f"{name}.weight".removeprefix("."): layer for name, layer in self.module.named_modules()
                  if isinstance(layer, batched.LAYERS)}  # fmt: skip
        return [as_matrix(tensors[name], layer) for name, layer in layers.items() if name in self.trained]

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient [runs, size] of each run's own loss [runs]."""
        return flattened(list(self.gradients(loss).values()))

    def gradients(self, loss: Tensor, *, retain_graph: bool = False) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of each run's own loss [runs] by parameter."""
        leaves = list(self.trained.values())
        # runs are independent, so the gradient of the sum holds each run's own gradient
        parts = torch.autograd.grad(
            loss.sum(), leaves, retain_graph=retain_graph, allow_unused=True, materialize_grads=True
        )
        return dict(zip(self.trained, parts, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return all that its next step depends on."""
        counted = {"batches": self.batches, "descents": self.descents}
        return {"flat": self.flat, "state": dict(self.state), "buffers": self.buffers, **counted}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go to a state of the same form."""
        self.batches, self.descents = saved["batches"], saved["descents"]
        self.flat.copy_(saved["flat"])
        self.state.restore(saved["state"])
        for name, buffer in saved["buffers"].items():
            self.buffers[name].copy_(buffer)

    def numbers(self, ahead: int = 0) -> Any:
        """Return what the optimizer is handed of its next step, or of one that many further on (see gan.optimizers)."""
        now = {key: self._clock.numbers[schedule] for key, schedule in self._schedules.items()}
        hypers = {**self._hypers_on_host, **now}
        return at_step(self._plugin, self.descents + 1 + ahead, hypers, self.flat.device)

    def descend(self, gradient: Tensor, alive: Tensor, rate: Tensor, numbers: Any) -> None:
        """Make one optimizer step for the runs that are alive; the others stay exactly where they are.

        rate: the factor on the learning rates, without axes. numbers: what the optimizer is handed of this step.
        """
        gradient = _of_living(gradient, alive)
        with torch.no_grad():
            self.optimizer(
                self.flat, gradient, self.state, numbers, self.rate * rate * alive.unsqueeze(1), **self.hypers
            )
