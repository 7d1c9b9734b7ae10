"""The laws of tricks, by what the engine makes of one beside the same training without it; float64."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ganbench import registry
from ganbench.contracts.base import Breach, Outcome, law
from ganbench.registry import Plugin
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

RUNS, STEPS = 3, 6
SMALL = ("loss=nonsaturating", f"seeds={RUNS}", "steps=8", "batch_size=12")
POINTS = ("problem=ring8_imbalanced", "network.mlp.width=8")
IMAGES = ("problem=digits", "network=dcgan", "network.dcgan.width=2")


@contextmanager
def known(plugin: Plugin) -> Iterator[None]:
    """Let the engine find a trick under its name for the length of a block, whoever else has that name."""
    place, plugins = (plugin.kind, plugin.name), registry.known()
    before = plugins.get(place)
    plugins[place] = plugin
    try:
        yield
    finally:
        if before is None:
            del plugins[place]
        else:
            plugins[place] = before


def population(plugin: Plugin, rows: slice = slice(None)) -> Population:
    """Return some runs that train with a trick: on images where it needs them, else on points."""
    with known(plugin):
        on = IMAGES if "image" in plugin.needs else POINTS
        runs = list(resolve(None, [*SMALL, *on, f"trick={plugin.name}"]).runs[rows])
        return Population(runs, make_problem(runs[0].variant), torch.device("cpu"), torch.float64)


def path(own: Population, steps: int = STEPS) -> Tensor:
    """Play some steps and return both players' parameters after each [steps, runs, size]."""
    places = []
    for _ in range(steps):
        train_step(own)
        places.append(torch.cat([player.flat for player in own.players.values()], dim=1))
    return torch.stack(places)


@law
def trains(plugin: Plugin) -> Outcome:
    """Both players train with it, and stay finite."""
    own = population(plugin)
    before = {name: player.flat.clone() for name, player in own.players.items()}
    path(own)
    for name, player in own.players.items():
        if not bool(player.flat.isfinite().all()):
            return Breach(f"a parameter of {name.upper()} is not finite after {STEPS} steps")
        if torch.equal(player.flat, before[name]):
            return Breach(f"{name.upper()} is where it was after {STEPS} steps")
    return None


@law
def runs_do_not_mix(plugin: Plugin) -> Outcome:
    """A run trains the same way alone and in company."""
    together, alone = path(population(plugin)), path(population(plugin, slice(0, 1)))
    error = (together[:, :1] - alone).abs().max().item()
    return Breach(f"a parameter of a run in company is {error:.3g} from what it is alone") if error > 1e-9 else None


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same seeds give the same training: no random numbers but those that it is given."""
    error = (path(population(plugin)) - path(population(plugin))).abs().max().item()
    return Breach(f"a parameter differs by {error:.3g} when the training is repeated") if error else None


@law
def random_numbers_are_its_own(plugin: Plugin) -> Outcome:
    """It leaves the global random state alone."""
    state = torch.random.get_rng_state()
    path(population(plugin), steps=1)
    return (
        None if torch.equal(state, torch.random.get_rng_state()) else Breach("it draws from torch's global generator")
    )


@law
def diverged_runs_stay(plugin: Plugin) -> Outcome:
    """A run that has diverged stays where it is, bit for bit."""
    own = population(plugin)
    own.alive[1] = False
    before = torch.cat([player.flat[1] for player in own.players.values()])
    error = (path(own)[:, 1] - before).abs().max().item()
    return Breach(f"a diverged run has moved by {error:.3g}") if error else None


@law
def goes_on_after_an_interruption(plugin: Plugin) -> Outcome:
    """After an interruption training goes on bit for bit: it keeps nothing to itself."""
    straight, stopped, resumed = (population(plugin) for _ in range(3))
    half = STEPS // 2
    path(stopped, half)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"
        checkpoint.save(stopped, {}, file)
        checkpoint.restore(resumed, {}, file)
    error = (path(resumed, half)[-1] - path(straight, 2 * half)[-1]).abs().max().item()
    return Breach(f"a run that was interrupted is {error:.3g} from one that was not") if error else None
