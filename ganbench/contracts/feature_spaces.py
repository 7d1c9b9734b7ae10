"""The laws of feature spaces, on a problem of points and one of images, as far as they fit these."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganbench import kinds, registry
from ganbench.contracts.base import Breach, Outcome, law, law_about
from ganbench.errors import UserError
from ganbench.problems.base import Problem, stream
from ganbench.problems.features import FeatureSpace
from ganbench.registry import Plugin

SAMPLES = 24
# sums of other orders, single precision
ROUNDING = 1e-4


def fitting(plugin: Plugin) -> list[Problem]:
    """Return a problem of points and one of images, at their defaults, those of the two that a space fits.

    Raises UserError where it fits none.
    """
    found: dict[bool, Problem] = {}
    default = kinds.axes()["problem"].default
    for candidate in sorted(registry.plugins("problem"), key=lambda plugin: plugin.name != default):
        if plugin.needs.keys() <= candidate.provides and ("image" in candidate.provides) not in found:
            problem: Problem = candidate(**candidate.hypers)
            # samples of a problem without feature spaces are not worth measuring
            if problem.feature_spaces:
                found["image" in candidate.provides] = problem
    if not found:
        raise UserError(f"no problem that is known here provides {' and '.join(plugin.needs)}")
    return [found[images] for images in sorted(found)]


def cases(plugin: Plugin) -> Iterator[tuple[Problem, FeatureSpace, Tensor]]:
    """Yield problems that a space fits, the space of each, and real samples [n, *shape]."""
    for problem in fitting(plugin):
        yield problem, FeatureSpace(plugin, problem), problem.sample(SAMPLES, stream("feature space contract", 0))


def apart(one: Tensor, other: Tensor) -> float:
    """Return by how much features differ, as a share of the largest."""
    return ((one - other).abs().max() / one.abs().max().clamp(min=1e-12)).item()


@law
def features_of_each_sample(plugin: Plugin) -> Outcome:
    """Samples [..., n, *shape] become floating-point features [..., n, d], whatever axes lead."""
    for problem, space, samples in cases(plugin):
        features = space(samples)
        if not features.is_floating_point():
            return Breach(f"features of '{problem.name}' are {features.dtype}")
        stacked = space(samples.unflatten(0, (2, 3, -1)))
        if stacked.shape != (2, 3, SAMPLES // 6, features.shape[-1]):
            return Breach(f"samples of {SAMPLES // 6} in 2 x 3 stacks become {list(stacked.shape)}")
    return None


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same samples have the same features, made anew too, and nothing is drawn from torch's global generator."""
    for problem, space, samples in cases(plugin):
        state, features, anew = torch.random.get_rng_state(), space(samples), FeatureSpace(plugin, problem)
        for again, when in ((space, "at a second call"), (anew, "where the space is made anew")):
            if not torch.equal(features, again(samples)):
                return Breach(f"a feature of '{problem.name}' is {apart(features, again(samples)):.3g} off {when}")
        if not torch.equal(state, torch.random.get_rng_state()):
            return Breach("it draws from torch's global generator")
    return None


@law
def samples_are_alone(plugin: Plugin) -> Outcome:
    """A sample's features do not change with the samples beside it, however these are split into batches."""
    for problem, space, samples in cases(plugin):
        for size in (1, 5):
            parts = torch.cat([space(part) for part in samples.split(size)])
            if not (error := apart(space(samples), parts)) <= ROUNDING:
                return Breach(f"in batches of {size} a feature of '{problem.name}' is {error:.3g} off, as a share")
    return None


@law
def order_is_kept(plugin: Plugin) -> Outcome:
    """Samples in another order have their features in that order."""
    for problem, space, samples in cases(plugin):
        turned = space(samples.flip(0)).flip(0)
        if not (error := apart(space(samples), turned)) <= ROUNDING:
            return Breach(f"in reverse order a feature of '{problem.name}' is {error:.3g} off, as a share")
    return None


@law
def finite(plugin: Plugin) -> Outcome:
    """Features are finite: of real samples, of equal ones, and of ones a hundred times as large."""
    for problem, space, samples in cases(plugin):
        kinds = {"real": samples, "equal": torch.zeros_like(samples), "a hundred times larger": 100 * samples}
        for name, some in kinds.items():
            features = space(some)
            if not features.isfinite().all():
                off = features[~features.isfinite()][0].item()
                return Breach(f"samples of '{problem.name}' that are {name} have a feature {off:g}")
    return None


@law
def tells_samples_apart(plugin: Plugin) -> Outcome:
    """Different real samples have different features."""
    for problem, space, samples in cases(plugin):
        features = space(samples)
        if torch.equal(features, features[:1].expand_as(features)):
            return Breach(f"{SAMPLES} samples of '{problem.name}' have the same features")
    return None


@law
def samples_are_left_alone(plugin: Plugin) -> Outcome:
    """It does not write into the samples that it is given."""
    for _, space, samples in cases(plugin):
        before = samples.clone()
        space(samples)
        if not torch.equal(samples, before):
            return Breach("it writes into the samples")
    return None


def with_modes(plugin: Plugin) -> bool:
    """Tell whether a space says that the problem's modes lie in it."""
    return "modes" in plugin.provides


@law_about(with_modes)
def modes_are_where_they_are(plugin: Plugin) -> Outcome:
    """Where it provides "modes", features are the samples as they are, so that they lie on the problem's modes."""
    for problem, space, samples in cases(plugin):
        features, own = space(samples), samples.flatten(1)
        if features.shape != own.shape:
            return Breach(f"samples of '{problem.name}' of {own.shape[1]} numbers have {features.shape[1]} features")
        if error := (features - own).abs().max().item():
            return Breach(f"a sample of '{problem.name}' moves by {error:.3g}")
    return None


def with_classes(plugin: Plugin) -> bool:
    """Tell whether a space says that its features tell classes."""
    return "classes" in plugin.provides


@law_about(with_classes)
def head_gives_probabilities(plugin: Plugin) -> Outcome:
    """Where it provides "classes", its map's `head` gives the probability of each of the problem's classes."""
    for problem, space, samples in cases(plugin):
        if space.class_head is None:
            return Breach("its map has no method 'head'")
        given, classes = space.class_head(space(samples)), problem.labels
        count = given.shape[-1] if classes is None else int(classes.max()) + 1
        if given.shape != (SAMPLES, count):
            return Breach(f"{SAMPLES} samples of '{problem.name}' have probabilities {list(given.shape)}")
        sums = given.double().sum(-1)
        if bool((given < 0).any()) or not torch.allclose(sums, torch.ones_like(sums), atol=ROUNDING):
            return Breach(f"a probability is {given.min():.3g}; they sum to [{sums.min():.3g}, {sums.max():.3g}]")
    return None
