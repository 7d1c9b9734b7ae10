"""The laws of update rules, played by the engine on the Dirac-GAN, in float64 with gradient descent."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ganbench.analysis.courses import contraction
from ganbench.analysis.theory import factor, linear_games
from ganbench.binding import Bound, bind
from ganbench.contracts.base import Breach, Outcome, law, law_about
from ganbench.gan.linear import Unknown
from ganbench.plan import Run
from ganbench.problems.games import ClosedFormGame
from ganbench.registry import Plugin
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

RUNS, STEPS = 3, 12
RATE, GAMMA = 0.1, 0.5


@cache
def _runs(regularizer: str) -> tuple[Run, ...]:
    settings = [
        "problem=dirac", "network=point", "loss=nonsaturating", "optimizer=sgd", f"optimizer.sgd.g_lr={RATE}",
        f"optimizer.sgd.d_lr={RATE}", f"regularizer={regularizer}", f"seeds={RUNS}", "batch_size=2", "latent_dim=1",
        "steps=1000000",
    ]  # fmt: skip
    return tuple(resolve(None, settings + [f"regularizer.r1.gamma={GAMMA}"] * (regularizer == "r1")).runs)


def population(plugin: Plugin, *, regularizer: str = "none", rows: slice = slice(None)) -> Population:
    """Return some runs of the game, to be moved by a rule."""
    runs = list(_runs(regularizer)[rows])
    own = Population(runs, make_problem(runs[0].variant), torch.device("cpu"), torch.float64)
    own.update = Bound(plugin, plugin.hypers)
    return own


def path(own: Population, steps: int = STEPS) -> Tensor:
    """Play some steps and return the displacements before and after each [steps + 1, runs, 2]."""
    assert isinstance(own.problem, ClosedFormGame)
    places = []
    for _ in range(steps + 1):
        places.append(own.problem.displacement(own.generator.flat, own.discriminator.flat).clone())
        train_step(own)
    return torch.stack(places)


@law
def moves_both_players(plugin: Plugin) -> Outcome:
    """Both players move, and stay finite."""
    places = path(population(plugin))
    if not bool(places.isfinite().all()):
        return Breach(f"a parameter is not finite after {STEPS} steps from a distance of 0.1")
    for name, column in (("G", 0), ("D", 1)):
        if torch.equal(places[-1, :, column], places[0, :, column]):
            return Breach(f"{name} is where it was after {STEPS} steps")
    return None


@law
def rests_at_the_equilibrium(plugin: Plugin) -> Outcome:
    """At the equilibrium, where all gradients are zero, nobody moves."""
    own = population(plugin)
    for player in own.players.values():
        player.flat.zero_()
    away = path(own).abs().max().item()
    return Breach(f"the players are {away:.3g} from the equilibrium that they began at") if away else None


@law
def arrives_where_every_descent_does(plugin: Plugin) -> Outcome:
    """With R1, whose friction makes every kind of gradient descent converge here, the players arrive."""
    places = path(population(plugin, regularizer="r1"), steps=600)
    share = (places[-1].norm(dim=1) / places[0].norm(dim=1)).max().item()
    # alternating descent contracts by sqrt(1 - rate gamma) a step, to 2e-7 in all; ten times slower is not lost
    return (
        Breach(f"after 600 steps {share:.3g} of the distance is left, and should be below 0.3") if share > 0.3 else None
    )


@law_about(lambda plugin: plugin.declared("linear") is not None)
def goes_as_its_linear_map_says(plugin: Plugin) -> Outcome:
    """With R1 the players approach by the factor a step that it declares as `linear`."""
    variant = _runs("r1")[0].variant
    games = linear_games(variant)
    assert games is not None
    try:
        told = factor(games[0], Bound(plugin, plugin.hypers), bind(variant, "optimizer"), {"g": 1, "d": 1})
    except Unknown:
        return None
    # every tenth position: what a rule remembers besides has died out in between
    measured = contraction(path(population(plugin, regularizer="r1"), 400)[200::10, 0].numpy(), 10)
    error = abs(measured - told)
    return None if error < 1e-3 else Breach(f"a step takes {measured:.5g} of the distance on, and `linear` {told:.5g}")


@law
def runs_do_not_mix(plugin: Plugin) -> Outcome:
    """A run goes the same way alone and in company."""
    together, alone = path(population(plugin)), path(population(plugin, rows=slice(0, 1)))
    error = (together[:, :1] - alone).abs().max().item()
    return Breach(f"a run in company is {error:.3g} from its way alone") if error > 1e-9 else None


@law
def diverged_runs_stay(plugin: Plugin) -> Outcome:
    """A run that has diverged stays where it is, bit for bit."""
    own = population(plugin)
    own.alive[1] = False
    places = path(own)
    error = (places[:, 1] - places[0, 1]).abs().max().item()
    return Breach(f"a diverged run has moved by {error:.3g}") if error else None


@law
def goes_on_after_an_interruption(plugin: Plugin) -> Outcome:
    """What it remembers is in `round.memory`: after an interruption it goes on bit for bit."""
    straight, stopped, resumed = (population(plugin) for _ in range(3))
    path(straight, 2 * STEPS)
    path(stopped, STEPS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"
        checkpoint.save(stopped, {}, file)
        checkpoint.restore(resumed, {}, file)
    path(resumed, STEPS - 1)
    error = max((own.flat - straight.players[name].flat).abs().max().item() for name, own in resumed.players.items())
    return Breach(f"a run that was interrupted is {error:.3g} from one that was not") if error else None
