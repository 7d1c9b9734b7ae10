"""A population: runs that share their static structure and train together as one vectorised program."""

from __future__ import annotations

import itertools
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from ganbench import registry
from ganbench.errors import UserError, told
from ganbench.gan.networks import NetworkSpec, Normalize
from ganbench.gan.normalizations import as_matrix
from ganbench.gan.optimizers import rate_factor
from ganbench.interrupts import is_raised_by_code
from ganbench.plan import AXES, Run, Variant
from ganbench.problems.base import Problem, stream
from ganbench.training import batched, noise
from ganbench.training.memory import check_fits
from ganbench.training.process_state import NUMERIC, Names, ProcessState, torch_names
from ganbench.training.trick import Trick

Tensors = Mapping[str, Tensor]
NUMBERS_THAT_MAY_DIFFER = ("loss.", "optimizer.")
# Runs beyond this gain nothing on a CPU, whose caches they leave; a GPU fills up later. Fixed, and so is the memory
# below: what a plan's populations are must not depend on the machine's mood.
LARGEST = {"cpu": 64, "cuda": 1024}
MEMORY = {"cpu": 2 * 2**30, "cuda": 16 * 2**30}


def structure(variant: Variant) -> tuple[Any, ...]:
    """Return what runs must share to train together: everything but the loss, the seed and optimizer numbers."""
    shared = [getattr(variant, axis) for axis in AXES if axis != "loss"]
    fixed = [
        (key, value)
        for key, value in variant.hypers
        if not key.startswith(NUMBERS_THAT_MAY_DIFFER) or (key.startswith("optimizer.") and isinstance(value, str))
    ]
    return (*shared, *fixed)


def group(runs: Sequence[Run], device: str) -> list[list[Run]]:
    """Split runs into populations, each ordered by loss so that every loss acts on one slice."""
    grouped: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(structure(run.variant), []).append(run)
    kind = "cuda" if device.startswith("cuda") else "cpu"
    populations = []
    for members in grouped.values():
        members = sorted(members, key=_loss_of)
        each = bytes_of(members[0].variant)
        check_fits(members[0].variant.id, each, kind)
        limit = max(1, min(LARGEST[kind], MEMORY[kind] // each))
        parts = -(-len(members) // limit)
        size = -(-len(members) // parts)
        populations += [members[start : start + size] for start in range(0, len(members), size)]
    return populations


def arithmetic(runs: Sequence[Run]) -> set[str]:
    """Return the optimizer's numbers in which runs differ: these are columns of a tensor, the others plain numbers."""
    optimizer = runs[0].variant.optimizer
    hypers = [run.variant.hypers_of("optimizer", optimizer) for run in runs]
    return {key for key in hypers[0] if len({own[key] for own in hypers}) > 1}


@contextmanager
def building(variant: Variant) -> Iterator[None]:
    """Turn what a plug-in raises on a value that it cannot take into a UserError that names the variant."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:  # a plug-in may raise anything
        if not is_raised_by_code(error):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        raise UserError(f"Cannot train '{variant.id}': {told(error)} ({where}).") from error


@lru_cache(maxsize=1024)
def bytes_of(variant: Variant) -> int:
    """Return roughly what one run of a variant takes: parameters with their gradients and averages, activations."""
    outputs: list[int] = []
    with building(variant), torch.no_grad(), torch.random.fork_rng(devices=[]):
        pair = build_networks(variant, make_problem(variant), seed=0)
        for module in (leaf for player in pair for leaf in player.modules() if not list(leaf.children())):
            module.register_forward_hook(lambda _, __, out: outputs.append(out.numel()))
        fake = pair[0](torch.zeros(variant.batch_size, variant.latent_dim))
        pair[1](Trick(variant).packed(fake.unsqueeze(0)).squeeze(0))
    parameters = sum(parameter.numel() for player in pair for parameter in player.parameters())
    # real and fake batches, forward and backward, and once more for a penalty; 4 bytes each
    return 4 * (8 * parameters + 8 * sum(outputs))


def _loss_of(run: Run) -> tuple[str, str]:
    return run.variant.loss, str(run.variant.hypers_of("loss", run.variant.loss))


class Player:
    """Generator or discriminator of every run: one module for one GAN, flat parameters [runs, size]."""

    def __init__(
        self, modules: Sequence[nn.Module], runs: Sequence[Run], rate: str, device: torch.device, dtype: torch.dtype
    ) -> None:
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
        self.state: dict[str, Tensor] = {}
        # batches that gradients were taken on, and steps of the optimizer: an update rule makes more or fewer a round
        self.batches = self.descents = 0

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return flat parameters [runs, size] by name."""
        parts = flat.split([shape.numel() for shape in self.shapes.values()], dim=1)
        return {n: p.unflatten(1, s) if s else p[:, 0] for (n, s), p in zip(self.shapes.items(), parts, strict=True)}

    def _set_optimizer(self, runs: Sequence[Run], rate: str) -> None:
        name = runs[0].variant.optimizer
        self.optimizer = registry.get("optimizer", name)
        hypers = [run.variant.hypers_of("optimizer", name) for run in runs]
        self.decay = str(hypers[0].get("decay", "none"))
        columns = {key: [own[key] for own in hypers] for key in hypers[0]}
        self.rate, differing = self._column(columns[rate]), arithmetic(runs)
        # a number that all runs share stays a number: cheaper, and exact in the optimizer's own arithmetic
        self.hypers = {key: self._column(own) if key in differing else own[0] for key, own in columns.items()}

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self.flat.device, dtype=self.flat.dtype).unsqueeze(1)

    def __call__(
        self,
        x: Tensor,
        *,
        trained: bool = False,
        runs: slice = slice(None),
        tap: batched.Tap | None = None,
        tensors: Tensors | None = None,
    ) -> Tensor:
        """Map x [runs, batch, ...] with the parameters of all runs, a slice of them, or others given by name."""
        tensors = {**(tensors or (self.trained if trained else self.frozen)), **self.buffers}
        if runs != slice(None):
            tensors = {name: tensor[runs] for name, tensor in tensors.items()}
        return batched.forward(self.module, tensors, x, tap=tap)

    def matrices(self) -> list[Tensor]:
        """Return the trained weights of all linear and convolution layers as matrices [runs, out, in]."""
        layers = {f"{name}.weight".removeprefix("."): layer for name, layer in self.module.named_modules()
                  if isinstance(layer, batched.LAYERS)}  # fmt: skip
        return [as_matrix(self.trained[name], layer) for name, layer in layers.items() if name in self.trained]

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient [runs, size] of each run's own loss [runs]."""
        return torch.cat([part.reshape(len(part), -1) for part in self.gradients(loss).values()], dim=1)

    def gradients(self, loss: Tensor, *, retain_graph: bool = False) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of each run's own loss [runs] by parameter."""
        leaves = list(self.trained.values())
        # runs are independent, so the gradient of the sum holds each run's own gradient
        parts = torch.autograd.grad(
            loss.sum(), leaves, retain_graph=retain_graph, allow_unused=True, materialize_grads=True
        )
        return dict(zip(self.trained, parts, strict=True))

    def descend(self, gradient: Tensor, alive: Tensor, progress: tuple[int, int]) -> None:
        """Make one optimizer step for the runs that are alive; the others stay exactly where they are.

        progress: training steps made, and in all.
        """
        self.descents += 1
        lr = self.rate * rate_factor(self.decay, *progress) * alive.unsqueeze(1)
        # on a GPU the question whether all are alive would wait for the device
        if alive.device.type != "cpu" or not alive.all():
            gradient = torch.where(alive.unsqueeze(1), gradient, 0.0)
        with torch.no_grad():
            self.optimizer(self.flat, gradient, self.state, self.descents, lr, **self.hypers)


class GuiltyError(Exception):
    """A loss that failed in a population: the places of its runs; its cause is what it raised."""

    def __init__(self, runs: slice) -> None:
        super().__init__("a loss failed")
        self.runs = runs


@dataclass(frozen=True)
class LossSlice:
    """Runs next to each other that share a loss and its hyper-parameters."""

    runs: slice
    plugin: registry.Plugin
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    paired: bool
    how: str
    names: Names | None = None

    def __call__(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and G, both [runs], for logits [runs, batch]; GuiltyError where it cannot go on."""
        if self.plugin.is_own:
            return self.function(real_logits, fake_logits)
        try:
            return self._guarded(real_logits, fake_logits)
        except BaseException as error:  # a plug-in may raise anything, SystemExit too
            raise GuiltyError(self.runs) from error

    def _guarded(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Call a loss that this package does not ship: its neighbours must get their numbers whatever it does."""
        state = ProcessState(NUMERIC, self.names)
        losses = self.function(real_logits, fake_logits)
        if changes := state.changes():
            state.restore()
            raise RuntimeError(f"it changed {', '.join(changes)} for the whole process")
        for player, loss in zip("DG", losses, strict=True):
            if loss.shape != real_logits.shape[:1] or not loss.is_floating_point():
                raise ValueError(f"its loss of {player} is {tuple(loss.shape)} {loss.dtype}, not one number a run")
        return losses

    @property
    def boundary(self) -> float | None:
        """The logit at which D is undecided, None where the loss has none."""
        boundary = self.plugin.declared("boundary")
        return None if boundary is None else float(boundary)


def _loss_slices(runs: Sequence[Run], device: torch.device) -> list[LossSlice]:
    slices, start = [], 0
    for _, members in itertools.groupby(runs, _loss_of):
        size = len(list(members))
        variant = runs[start].variant
        slices.append(loss_slice(variant, slice(start, start + size), device))
        start += size
    return slices


def loss_slice(variant: Variant, runs: slice, device: torch.device) -> LossSlice:
    """Return a variant's loss over a slice of runs."""
    return over_runs(registry.get("loss", variant.loss), variant.hypers_of("loss", variant.loss), runs, device)


def over_runs(plugin: registry.Plugin, hypers: Mapping[str, Any], runs: slice, device: torch.device) -> LossSlice:
    """Find out how a loss can be applied to logits [runs, batch]: directly, under vmap, or run by run."""

    def alone(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        d_loss, g_loss = plugin(real, fake, **hypers)
        return d_loss, g_loss

    def looped(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        each = [alone(*pair) for pair in zip(real, fake, strict=True)]
        return torch.stack([d for d, _ in each]), torch.stack([g for _, g in each])

    # runs far apart, so that what is computed over all of them cannot pass for their own
    places = torch.tensor([0.0, 30.0, -30.0, 3.0, -3.0]).reshape(5, 1)
    real, fake = (torch.randn(2, 5, 16, generator=stream("loss check", 0)) + places).to(device)
    names = None if plugin.is_own else torch_names()
    if not plugin.is_own:
        _refuse_unfit(plugin.name, alone, real[0], fake[0])
    expected = looped(real, fake)
    function, how = looped, "looped"
    for candidate, name in ((alone, "direct"), (vmap(alone), "vmap")):
        if _agrees(candidate, real, fake, expected):
            function, how = candidate, name
            break
    # whether the generator's loss looks at the real logits decides whether its step computes them
    paired = not torch.equal(expected[1], looped(real + 1, fake)[1])
    return LossSlice(runs, plugin, function, paired, how, names)


def _refuse_unfit(name: str, loss: Callable[..., Any], real: Tensor, fake: Tensor) -> None:
    """Raise UserError where a loss cannot train anybody: no pair of real numbers, or no gradient for a player."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    with warnings.catch_warnings():
        # a loss that reads a number from its logits is looped, and warned of where it trains
        warnings.simplefilter("ignore")
        losses = loss(real, fake)
    for player, value, inputs in zip("DG", losses, ([real, fake], [fake]), strict=True):
        what = f"The loss '{name}' gives {player}"
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise UserError(f"{what} {_kind(value)}, not one number a batch.")
        if not value.is_floating_point():
            raise UserError(f"{what} a loss of type {str(value.dtype).removeprefix('torch.')}, not real numbers.")
        if not value.isfinite().all():
            raise UserError(f"{what} the loss {value.item()} on ordinary logits, no finite number.")
        slopes = (
            torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True)
            if value.requires_grad
            else ()
        )
        if not any(slope is not None and slope.any() for slope in slopes):
            raise UserError(f"{what} no gradient: it does not depend on the logits, or was detached from them.")


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _agrees(candidate: Callable[..., Any], real: Tensor, fake: Tensor, expected: tuple[Tensor, Tensor]) -> bool:
    try:
        got = candidate(real, fake)
    except (RuntimeError, ValueError, TypeError, IndexError):
        # what vmap or a leading axis cannot do; the run-by-run result above is the judge of errors
        return False
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(got, expected, strict=True)
    )


def _lazy(name: str, hypers: Mapping[str, Any]) -> int:
    lazy = int(hypers.get("lazy", 1))
    if lazy < 1:
        raise UserError(f"The key 'regularizer.{name}.lazy' counts updates of D and must be at least 1, got {lazy}.")
    return lazy


class Population:
    """The state of all runs of one population, and the forward passes that every step is made of."""

    def __init__(
        self, runs: Sequence[Run], problem: Problem, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.runs, self.problem, self.device = list(runs), problem, device
        variant = self.variant = runs[0].variant
        seeds = sorted({run.seed for run in runs})
        self.seed_index = torch.tensor([seeds.index(run.seed) for run in runs], device=device)
        pairs = {seed: build_networks(variant, problem, seed) for seed in seeds}
        self.generator = Player([pairs[run.seed][0] for run in runs], runs, "g_lr", device, dtype)
        self.discriminator = Player([pairs[run.seed][1] for run in runs], runs, "d_lr", device, dtype)
        self.players = {"d": self.discriminator, "g": self.generator}
        self.losses = _loss_slices(runs, device)
        self.update = registry.get("update", variant.update)
        self.update_hypers = variant.hypers_of("update", variant.update)
        # what plug-ins remember, each kind for itself
        self.memory: dict[str, dict[str, Tensor]] = {"update": {}, "regularizer": {}, "trick": {}}
        self.regularizer = registry.get("regularizer", variant.regularizer)
        self.regularizer_hypers = variant.hypers_of("regularizer", variant.regularizer)
        self.lazy = _lazy(self.regularizer.name, self.regularizer_hypers)
        self.alive = torch.ones(len(runs), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(runs),), -1, device=device)
        self.step = 0
        self.trick = Trick(variant)
        self.memory["trick"] = {name: self.players[name].flat.clone() for name in self.trick.averaged}
        self.streams = self._streams(seeds, dtype)

    def _streams(self, seeds: Sequence[int], dtype: torch.dtype) -> dict[str, noise.Stream]:
        variant, problem = self.variant, self.problem
        sample = self.trick.sampler(problem)
        draw, normal = noise.latents(variant.latent, variant.latent_dim), noise.normal(problem.shape)
        sides = [f"{player} {side}" for player in "dg" for side in ("real", "fake")]
        return {
            purpose: noise.Stream(purpose, seeds, variant.batch_size, how, self.device, dtype)
            for purpose, how in {
                "d latent": draw, "g latent": draw, "data": sample, "g data": sample,
                "uniform": noise.uniform, "normal": normal,
                **{f"{side} noise": normal for side in sides},
                **{f"{side} trick": noise.uniforms(self.trick.draws) for side in sides},
            }.items()
        }  # fmt: skip

    def draw(self, purpose: str, index: int) -> Tensor:
        """Return the batch of every run [runs, batch, ...] at an index of a stream."""
        return self.streams[purpose].at(index)[self.seed_index]

    def generate(self, latents: Tensor, *, trained: bool = False) -> Tensor:
        """Map latents [runs, batch, latent_dim] to samples [runs, batch, *shape]."""
        return self.generator(latents, trained=trained)

    def criticise(
        self, samples: Tensor, *, trained: bool = False, runs: slice = slice(None), tensors: Tensors | None = None
    ) -> Tensor:
        """Map samples [runs, batch, *shape] to logits [runs, batch]."""
        return self.discriminator(samples, trained=trained, runs=runs, tensors=tensors).flatten(1)

    def features(self, samples: Tensor, *, trained: bool = False, tensors: Tensors | None = None) -> Tensor:
        """Map samples [runs, batch, *shape] to D's hidden features [runs, batch, f]; UserError where it shows none."""
        return batched.hidden(lambda tap: self.discriminator(samples, trained=trained, tensors=tensors, tap=tap))

    def generate_average(self, latents: Tensor) -> Tensor | None:
        """Map latents as `generate` does, by the average of G that a trick keeps; None where none does."""
        if self.trick.place != "average":
            return None
        return self.generator(latents, tensors=self.generator.views(self.memory["trick"]["g"]))

    def players_losses(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and of G, both [runs], from logits [runs, batch]."""
        # split rather than sliced: its backward joins the parts once instead of padding and adding each
        sizes = [part.runs.stop - part.runs.start for part in self.losses]
        pairs = zip(self.losses, real_logits.split(sizes), fake_logits.split(sizes), strict=True)
        parts = [part(real, fake) for part, real, fake in pairs]
        return torch.cat([d for d, _ in parts]), torch.cat([g for _, g in parts])

    def remember(self) -> None:
        """Let a trick that averages parameters see where the living runs stand after a training step."""
        for name, average in self.memory["trick"].items():
            moved = self.trick.moved(average, self.players[name].flat, self.step + 2)
            self.memory["trick"][name] = torch.where(self.alive.unsqueeze(1), moved, average)

    def mark(self, loss: Tensor, gradient: Tensor) -> None:
        """Freeze the runs in which the loss [runs] or the gradient [runs, size] has left the finite numbers."""
        # a sum is finite only where all its terms are
        self.alive &= (loss + gradient.sum(1)).isfinite()
        self.diverged_step = torch.where(~self.alive & (self.diverged_step < 0), self.step, self.diverged_step)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Switch both networks to measuring (spectral norms stop iterating) for the length of a block."""
        modules = (self.generator.module, self.discriminator.module)
        before = [module.training for module in modules]
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for module, training in zip(modules, before, strict=True):
                module.train(training)


def make_problem(variant: Variant) -> Problem:
    """Build the problem of a variant."""
    plugin = registry.get("problem", variant.problem)
    problem: Problem = plugin(**variant.hypers_of("problem", variant.problem))
    return problem


def build_networks(variant: Variant, problem: Problem, seed: int) -> tuple[nn.Module, nn.Module]:
    """Build one run's generator and discriminator; the initial weights depend on seed and architecture alone."""
    layers: dict[str, Normalize] = {}
    for role, axis in (("g", "g_normalization"), ("d", "normalization")):
        name = getattr(variant, axis)
        plugin, hypers = registry.get("normalization", name), variant.hypers_of("normalization", name)
        full: Normalize = partial(plugin.function, **hypers)
        layers[f"{role}_norm"] = full
        layers[f"{role}_weight"] = full if plugin.declared("acts_on") == "weights" else _as_is
    trick = Trick(variant)
    spec = NetworkSpec(problem.shape, problem.value_range, variant.latent_dim, **layers,
                       d_batch=trick if trick.place == "batch" else None)  # fmt: skip
    shape = trick.packed(torch.empty(1, variant.batch_size, *problem.shape)).shape[2:]
    generator, discriminator = _pair(variant, spec, seed)
    if shape != problem.shape:
        discriminator = _pair(variant, replace(spec, shape=tuple(shape)), seed)[1]
    return generator, discriminator


def _pair(variant: Variant, spec: NetworkSpec, seed: int) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream("initial weights", seed).initial_seed())
        pair = registry.get("network", variant.network)(spec, **variant.hypers_of("network", variant.network))
    generator, discriminator = pair
    return generator, discriminator


def _as_is(layer: nn.Module) -> nn.Module:
    return layer
