"""The laws of networks: two players of the right shapes, built from the seed, that a population may stack."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from ganbench.contracts.base import Breach, NotDeclared, Outcome, law, law_about
from ganbench.gan.networks import NetworkSpec, Normalize
from ganbench.problems.base import Label, stream
from ganbench.registry import Plugin
from ganbench.training import batched

BATCH, LATENT, CLASSES = 7, 5, 3
PLAYERS = ("generator", "discriminator")


def of_images(plugin: Plugin) -> bool:
    """Tell whether a network is for images."""
    return "image" in plugin.needs


def takes_labels(plugin: Plugin) -> bool:
    """Tell whether a network is for problems that give labels."""
    return "label" in plugin.needs


def beside(plugin: Plugin) -> tuple[Tensor, ...]:
    """Return what its players take beside their input: labels [batch] in which every class occurs, or nothing."""
    return (torch.arange(BATCH) % CLASSES,) if takes_labels(plugin) else ()


def shape_of(plugin: Plugin) -> tuple[int, ...]:
    """Return the shape of a sample that a network is tried on: 8 x 8 pixels where it needs images, else a point."""
    if "game_of_scales" in plugin.needs:
        return (1,)
    return (1, 8, 8) if of_images(plugin) else (2,)


def built(plugin: Plugin, seed: int = 0, asked: Counter[str] | None = None) -> list[nn.Module]:
    """Return generator and discriminator, float64; `asked` counts the layers that they ask their spec for."""

    def counted(name: str) -> Normalize:
        def as_it_is(layer: nn.Module) -> nn.Module:
            if asked is not None:
                asked[name] += 1
            return layer

        return as_it_is

    g_norm, g_weight, d_norm, d_weight = map(counted, ("g_norm", "g_weight", "d_norm", "d_weight"))
    pixels = (-1.0, 1.0) if of_images(plugin) else None
    given = Label(CLASSES) if takes_labels(plugin) else None
    spec = NetworkSpec(shape_of(plugin), pixels, LATENT, g_norm, g_weight, d_norm, d_weight, given=given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = plugin(spec, **plugin.hypers)
    return [generator.double(), discriminator.double()]


def latents(seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return latents [batch, latent_dim], float64."""
    return torch.randn(BATCH, LATENT, generator=stream("network contract", seed), dtype=torch.float64) * scale


@law
def shapes_fit(plugin: Plugin) -> Outcome:
    """The generator maps latents to samples, the discriminator samples to one logit each, all of them finite."""
    generator, discriminator = built(plugin)
    fake = generator(latents(), *beside(plugin))
    logits = discriminator(fake, *beside(plugin))
    if tuple(fake.shape) != (BATCH, *shape_of(plugin)):
        return Breach(f"{BATCH} latents become {list(fake.shape)}, not {[BATCH, *shape_of(plugin)]}")
    if tuple(logits.shape) not in ((BATCH,), (BATCH, 1)):
        return Breach(f"{BATCH} samples become logits {list(logits.shape)}, not [{BATCH}] or [{BATCH}, 1]")
    if not (fake.isfinite().all() and logits.isfinite().all()):
        return Breach("samples or logits are not finite at the start")
    return None


def of_distributions(plugin: Plugin) -> bool:
    """Tell whether a network's generator is to make samples that differ: in a game in closed form it is one point."""
    return not {"game_of_points", "game_of_scales"} & set(plugin.needs)


@law_about(of_distributions)
def players_see_their_input(plugin: Plugin) -> Outcome:
    """Other latents give other samples, and other samples other logits."""
    for name, player, x in zip(PLAYERS, built(plugin), (latents(), _samples(plugin)), strict=True):
        out = player(x, *beside(plugin))
        if not (out - out[:1]).abs().max() > 1e-9:
            return Breach(f"the {name}'s outputs are all the same")
    return None


def _samples(plugin: Plugin, seed: int = 0) -> Tensor:
    generator = stream("network contract samples", seed)
    return torch.randn(BATCH, *shape_of(plugin), generator=generator, dtype=torch.float64).clamp(-1, 1)


@law
def weights_follow_the_seed(plugin: Plugin) -> Outcome:
    """Initial weights are those of torch's seed: the same twice, others with another seed."""
    first, again, other = (_weights(built(plugin, seed)) for seed in (0, 0, 1))
    if not torch.equal(first, again):
        return Breach("weights built twice from one seed differ")
    return Breach("weights of two seeds are the same") if torch.equal(first, other) else None


def _weights(modules: list[nn.Module]) -> Tensor:
    return torch.cat([parameter.detach().flatten() for module in modules for parameter in module.parameters()])


@law_about(of_distributions)
def normalizations_reach_it(plugin: Plugin) -> Outcome:
    """It asks `spec` for its layers, without which no normalization reaches them."""
    asked: Counter[str] = Counter()
    built(plugin, asked=asked)
    deaf = [name for player, name in zip("gd", PLAYERS, strict=True) if not asked[f"{player}_norm"]]
    if deaf:
        return NotDeclared(
            f"normalizations of the {' and the '.join(deaf)}: layers do not go through spec.g_norm, d_norm"
        )
    return None


@law
def a_population_is_its_runs(plugin: Plugin) -> Outcome:
    """Stacked over runs, each player gives what it gives alone."""
    for training in (True, False):
        pairs = [built(plugin, seed) for seed in range(3)]
        for place, name in enumerate(PLAYERS):
            x = torch.stack([_samples(plugin, seed) if place else latents(seed) for seed in range(3)])
            modules = [pair[place].train(training) for pair in pairs]
            states = [dict(module.named_parameters()) | dict(module.named_buffers()) for module in modules]
            stacked = {key: torch.stack([own[key].detach() for own in states]) for key in states[0]}
            own = beside(plugin)
            given = own[0].expand(len(x), -1) if own else None
            together = batched.forward(modules[0], stacked, x, given=given)
            alone = torch.stack([module(part, *own) for module, part in zip(modules, x, strict=True)])
            off = (together - alone).abs().max().item()
            if not off < 1e-9:
                return Breach(f"the {name}'s outputs are off by {off:.3g} in {'training' if training else 'measuring'}")
    return None


@law_about(takes_labels)
def labels_are_seen(plugin: Plugin) -> Outcome:
    """With other labels both players say something else."""
    (labels,) = beside(plugin)
    for name, player, x in zip(PLAYERS, built(plugin), (latents(), _samples(plugin)), strict=True):
        if torch.equal(player(x, labels), player(x, (labels + 1) % CLASSES)):
            return Breach(f"the {name} gives the same for other labels")
    return None


@law_about(takes_labels)
def labels_go_with_their_samples(plugin: Plugin) -> Outcome:
    """The order of the batch does not matter, where inputs and their labels move together."""
    (labels,) = beside(plugin)
    order = torch.randperm(BATCH, generator=stream("network contract order", 0))
    for name, player, x in zip(PLAYERS, built(plugin), (latents(), _samples(plugin)), strict=True):
        off = (player(x, labels)[order] - player(x[order], labels[order])).abs().max().item()
        if not off < 1e-9:
            return Breach(f"the {name}'s outputs are off by {off:.3g} in another order")
    return None


@law_about(of_images)
def images_stay_in_range(plugin: Plugin) -> Outcome:
    """Images stay in the declared range, whatever the latents."""
    largest = built(plugin)[0](latents(scale=1e4), *beside(plugin)).abs().max().item()
    return None if largest <= 1 else Breach(f"a pixel is {largest:.4g} away from 0, the range is [-1, 1]")
