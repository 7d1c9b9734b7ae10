"""The laws of problems: samples that follow their stream, a reference, an oracle, and capabilities that are there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law, law_about
from ganbench.problems.base import Label, Picture, Problem, stream, swapped
from ganbench.registry import Plugin

SAMPLES = 64
MANY = 4000


def built(plugin: Plugin) -> Problem:
    """Return the problem at its default hyper-parameters."""
    problem: Problem = plugin(**plugin.hypers)
    return problem


def sample(problem: Problem, seed: int = 0, n: int = SAMPLES) -> Tensor:
    """Return training samples [n, *shape] from a stream of their own."""
    return problem.sample(n, stream("problem contract", seed))


@law
def samples_have_its_shape(plugin: Plugin) -> Outcome:
    """Samples are finite float32 of the declared shape, within the declared range."""
    problem = built(plugin)
    got = sample(problem)
    if tuple(got.shape) != (SAMPLES, *problem.shape):
        return Breach(f"{SAMPLES} samples have the shape {list(got.shape)}, not {[SAMPLES, *problem.shape]}")
    if got.dtype != torch.float32:
        return Breach(f"samples are {got.dtype}")
    if not got.isfinite().all():
        return Breach(f"a sample holds {got[~got.isfinite()][0].item():g}")
    low, high = problem.value_range or (-math.inf, math.inf)
    if got.min() < low or got.max() > high:
        return Breach(f"samples lie in [{got.min():.3g}, {got.max():.3g}], declared are [{low:g}, {high:g}]")
    return None


def drawn(plugin: Plugin) -> bool:
    """Tell whether samples are drawn: the games in closed form have the same data at every step."""
    return "game" not in plugin.provides


@law_about(drawn)
def samples_follow_their_stream(plugin: Plugin) -> Outcome:
    """Equal streams give equal samples and others other ones; no other random numbers are drawn."""
    problem, state = built(plugin), torch.random.get_rng_state()
    first, again, other = sample(problem), sample(problem), sample(problem, seed=1)
    if not torch.equal(first, again):
        return Breach(f"samples of equal streams differ by up to {(first - again).abs().max().item():.3g}")
    if torch.equal(first, other):
        return Breach("samples of two streams are the same")
    if not torch.equal(state, torch.random.get_rng_state()):
        return Breach("it draws from torch's global generator")
    return None


@law_about(drawn)
def reference_and_oracle_stand_apart(plugin: Plugin) -> Outcome:
    """The reference and the oracle's samples have the declared shape, repeat by seed, and are not the same."""
    problem = built(plugin)
    both = {"reference": problem.reference, "oracle_samples": problem.oracle_samples}
    for name, give in both.items():
        got = give(SAMPLES, seed=0)
        if tuple(got.shape[1:]) != tuple(problem.shape) or not 0 < len(got) <= SAMPLES:
            return Breach(f"{name}({SAMPLES}) has the shape {list(got.shape)}, not {[SAMPLES, *problem.shape]}")
        if not torch.equal(got, give(SAMPLES, seed=0)):
            return Breach(f"{name} differs from call to call with the same seed")
    if torch.equal(*(give(SAMPLES, seed=0) for give in both.values())):
        return Breach("the oracle's samples are those of the reference")
    return None


@law
def capabilities_are_there(plugin: Plugin) -> Outcome:
    """`provides` names the capabilities of the problem, and what they promise is there."""
    problem = built(plugin)
    if set(problem.capabilities) != set(plugin.provides):
        return Breach(f"provides={sorted(plugin.provides)}, and its capabilities are {sorted(problem.capabilities)}")
    there = {
        "modes": problem.modes is not None,
        "classes": problem.labels is not None,
        "label": isinstance(problem.gives, Label),
        "picture": isinstance(problem.gives, Picture),
        "unpaired": _has_two_domains(problem),
        "targets": problem.truth is not None and problem.truth.targets is not None,
        "truth": problem.truth is not None,
        "source": problem.truth is not None and problem.truth.source is not None,
        "reversible": problem.truth is not None and problem.truth.given_of is not None,
        "image": len(problem.shape) == 3 and problem.value_range is not None,
    }
    missing = [name for name in sorted(problem.capabilities) if not there.get(name, True)]
    if missing:
        asked = {
            "modes": "modes", "classes": "labels", "label": "gives=Label", "picture": "gives=Picture",
            "unpaired": "samples that are what is given with the halves of pictures exchanged",
            "targets": "a truth that tells targets", "truth": "truth=Truth",
            "source": "a truth that tells the source",
            "reversible": "a truth that tells given_of",
            "image": "a shape of 3 axes and a value_range",
        }  # fmt: skip
        return Breach(f"it says '{missing[0]}' and has not {asked[missing[0]]}")
    return None


def _has_two_domains(problem: Problem) -> bool:
    x, given = problem.draw(SAMPLES, stream("problem contract", 0))
    return isinstance(given, Tensor) and given.shape == x.shape and torch.equal(x, swapped(given))


def with_modes(plugin: Plugin) -> bool:
    """Tell whether a problem provides known modes."""
    return "modes" in plugin.provides


@law_about(with_modes)
def samples_lie_on_the_modes(plugin: Plugin) -> Outcome:
    """Samples lie on the declared modes, as often on each as its weight says, at the declared width."""
    problem = built(plugin)
    modes = problem.modes
    assert modes is not None
    got = sample(problem, n=MANY).double().flatten(1)
    distance, nearest = torch.cdist(got, modes.centres).min(1)
    weights = modes.weights / modes.weights.sum()
    counts = torch.bincount(nearest, minlength=len(weights)).double()
    # six standard errors of a binomial count: one false alarm in 1e8
    off = (counts - MANY * weights).abs() - 6 * (MANY * weights * (1 - weights)).sqrt() - 1
    if bool((off > 0).any()):
        at = int(off.argmax())
        return Breach(
            f"mode {at} is nearest to {counts[at] / MANY:.3g} of the samples, its weight is {weights[at]:.3g}"
        )
    dimension, own = got.shape[1], got.shape[1] if modes.basis is None else modes.basis.shape[1]
    declared = ((own * modes.std**2 + (dimension - own) * modes.null_std**2) / dimension) ** 0.5
    width = (distance.square().mean() / dimension).sqrt().item()
    # the standard error of a standard deviation of so many numbers is 1 %
    if not abs(width / declared - 1) < 0.1:
        return Breach(f"samples lie {width:.3g} an axis around their modes, the declared std is {declared:.3g}")
    return None
