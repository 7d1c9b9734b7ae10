"""The laws of terms, by what the engine makes of one beside the same training without it; float64."""

from __future__ import annotations

import torch

from ganbench.contracts.base import Breach, Outcome, law, law_about
from ganbench.contracts.tricks import known, path
from ganbench.registry import Plugin
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population

RUNS, STEPS = 3, 6
SMALL = ("loss=nonsaturating", f"seeds={RUNS}", "steps=8", "batch_size=12")
POINTS = ("problem=ring8", "network.mlp.width=8")
LABELS = ("problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=8")
PAIRS = ("problem=outlines", "problem.outlines.side=8", "network=pix2pix", "network.pix2pix.width=2")
CLASSES = ("problem=upscaled_digits", "network=pictured_mlp", "network.pictured_mlp.width=4")
DOMAINS = ("problem=inverted_digits", "network=unpaired_mlp", "network.unpaired_mlp.width=8")
TARGETS = ("problem=restyled_digits", "network=stargan", "network.stargan.width=2", "network.stargan.blocks=1")
SOURCE = ("problem=glyph_digits", "network=pictured_mlp", "network.pictured_mlp.width=4")
WAVES = ("problem=waveforms", "network=vocoder", "network.vocoder.width=2", "network.vocoder.d_width=1")
IMAGES = ("problem=digits", "network=dcgan", "network.dcgan.width=2")


def population(plugin: Plugin, rows: slice = slice(None)) -> Population:
    """Return some runs that train with a term: on labels, images or waveforms where it needs them."""
    with known(plugin):
        fitting = {
            "label": LABELS,
            "classes": CLASSES,
            "pairs": PAIRS,
            "unpaired": DOMAINS,
            "targets": TARGETS,
            "source": SOURCE,
            "waveform": WAVES,
            "image": IMAGES,
        }
        on = next((own for need, own in fitting.items() if need in plugin.needs), POINTS)
        plan = resolve(None, [*SMALL, *on, f"term={plugin.name}"])
        runs = list(plan.runs[rows])
        return Population(runs, make_problem(runs[0].variant), torch.device("cpu"), torch.float64)


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


def does_something(plugin: Plugin) -> bool:
    """Tell whether a term is one: `none` stands for its absence."""
    return plugin.name != "none"


@law_about(does_something)
def counts(plugin: Plugin) -> Outcome:
    """The players that it declares train otherwise with it than with the same weights and no loss of it."""
    own, silent = population(plugin), population(plugin)
    # its head and its code are there, its loss is not
    silent.objective.parts = []
    for one in (own, silent):
        path(one, 1)
    for name in plugin.declared("players"):
        if torch.equal(own.players[name].flat, silent.players[name].flat):
            return Breach(f"{name.upper()} trains as without it")
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
