"""The laws of diagnostics, on a small population after a step of training."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law
from ganbench.contracts.metrics import check_columns, check_same
from ganbench.measure.diagnostics import Game
from ganbench.problems.base import mapped, stream
from ganbench.registry import Plugin
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

RUNS, BATCH = 3, 24
SMALL = ("steps=100", "batch_size=16", f"seeds={RUNS}")
PLAYED = {
    "": ("problem=ring8", "network=mlp", "network.mlp.width=8"),
    "game": ("problem=dirac", "network=point"),
    "label": ("problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=8"),
    "there_and_back": ("problem=inverted_digits", "network=unpaired_mlp", "network.unpaired_mlp.width=8"),
}
"""What is trained, by what a diagnostic needs: a game in closed form, labels, two domains, or nothing."""


def population(plugin: Plugin) -> Population:
    """Return a population of three runs, after its first step, that a diagnostic can be asked about; float64."""
    need = next((need for need in PLAYED if need in plugin.needs), "")
    runs = resolve(None, [*SMALL, *PLAYED[need]]).runs
    own = Population(runs, make_problem(runs[0].variant), torch.device("cpu"), torch.float64)
    train_step(own)
    return own


def diagnose(plugin: Plugin, own: Population) -> dict[str, Tensor]:
    """Return a diagnostic's columns [runs] on a probe batch."""
    numbers = stream("diagnostic contract", 0)
    batches = [own.problem.draw(BATCH, numbers) for _ in range(2)]
    real, held_out = (batch.x.double().expand(RUNS, *batch.x.shape) for batch in batches)
    given = mapped(lambda part: _double(part).expand(RUNS, *part.shape), batches[0].given)
    latents = torch.randn(BATCH, own.variant.latent_dim, generator=numbers, dtype=torch.float64).expand(RUNS, -1, -1)
    with own.measuring():
        game = Game(Snapshot(own, given), real, latents, held_out, lambda samples: samples.flatten(2))
        columns: dict[str, Tensor] = plugin(game, **plugin.hypers)
    return columns


def _double(given: Tensor) -> Tensor:
    return given.double() if given.is_floating_point() else given


@law
def columns_are_declared(plugin: Plugin) -> Outcome:
    """Its columns are those declared in `measures`, one number a run each, within the declared bounds."""
    return check_columns(plugin, diagnose(plugin, population(plugin)), RUNS)


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same game gives the same numbers."""
    own = population(plugin)
    return check_same(diagnose(plugin, own), diagnose(plugin, own), "at a second call on the same game", 0.0)


@law
def measuring_moves_nothing(plugin: Plugin) -> Outcome:
    """No parameter, buffer or random number of the training moves while it measures."""
    own, state = population(plugin), torch.random.get_rng_state()
    before = _tensors(own)
    diagnose(plugin, own)
    moved = [name for name, tensor in _tensors(own).items() if not torch.equal(tensor, before[name])]
    if moved:
        return Breach(f"it moves {moved[0]}")
    return (
        None if torch.equal(state, torch.random.get_rng_state()) else Breach("it draws from torch's global generator")
    )


def _tensors(own: Population) -> dict[str, Tensor]:
    parts = {}
    for name, player in (("the generator", own.generator), ("the discriminator", own.discriminator)):
        parts[f"the parameters of {name}"] = player.flat.clone()
        for group in (player.buffers, player.state):
            parts |= {f"{key} of {name}": tensor.clone() for key, tensor in group.items()}
    return parts
