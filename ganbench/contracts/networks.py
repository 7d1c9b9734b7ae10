"""The laws of networks: two players of the right shapes, built from the seed, that a population may stack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor, nn

from ganbench.contracts.base import Breach, NotDeclared, Outcome, law, law_about
from ganbench.gan.networks import NetworkSpec, Normalize
from ganbench.gan.networks.images import EITHER, SEVERAL
from ganbench.problems.base import Label, Picture, stream
from ganbench.registry import Plugin
from ganbench.training import batched

BATCH, LATENT, CLASSES = 7, 5, 3
PLAYERS = ("generator", "discriminator")
GIVEN: Mapping[str, Label | Picture] = {
    "label": Label(CLASSES), "picture": Picture((1, 8, 8)), "unpaired": Picture((1, 8, 16)),
    "targets": Picture((1 + 2 * 2, 8, 8)), "waveform": Picture((1, 4, 8)),
}  # fmt: skip


def of_images(plugin: Plugin) -> bool:
    """Tell whether a network is for images."""
    return "image" in plugin.needs


def ways(plugin: Plugin) -> list[str]:
    """Return what a network is tried with: nothing that is given (""), or a name of GIVEN."""
    if EITHER in plugin.provides:
        return ["", "label"]
    return [next((what for what in ("unpaired", "targets", "waveform", *GIVEN) if what in plugin.needs), "")]


def takes_something(plugin: Plugin) -> bool:
    """Tell whether a network is for problems that give something, alone or too."""
    return any(ways(plugin))


def beside(what: str) -> tuple[Tensor, ...]:
    """Return what players take beside their input [batch, ...], no two neighbours the same, or nothing."""
    if not what:
        return ()
    labels, given = torch.arange(BATCH) % CLASSES, GIVEN[what]
    return (normal_pictures(given.shape)[labels] if isinstance(given, Picture) else labels,)


def normal_pictures(shape: tuple[int, ...] = (1, 8, 8)) -> Tensor:
    """Return a picture a class [classes, *shape], float64."""
    return torch.randn(CLASSES, *shape, generator=stream("network contract pictures", 0), dtype=torch.float64)


def shape_of(plugin: Plugin) -> tuple[int, ...]:
    """Return the shape of what a network is tried on: 8 x 8 pixels, twice for two domains, a waveform, or a point."""
    if "game_of_scales" in plugin.needs:
        return (1,)
    if "unpaired" in plugin.needs:
        return (1, 8, 16)
    if "waveform" in plugin.needs:
        return (64,)
    return (1, 8, 8) if of_images(plugin) else (2,)


def built(plugin: Plugin, seed: int = 0, asked: Counter[str] | None = None, *, given: str = "") -> list[nn.Module]:
    """Return generator and discriminator, float64; `asked` counts the layers that they ask their spec for."""

    def counted(name: str) -> Normalize:
        def as_it_is(layer: nn.Module) -> nn.Module:
            if asked is not None:
                asked[name] += 1
            return layer

        return as_it_is

    g_norm, g_weight, d_norm, d_weight = map(counted, ("g_norm", "g_weight", "d_norm", "d_weight"))
    pixels = (-1.0, 1.0) if of_images(plugin) else None
    spec = NetworkSpec(shape_of(plugin), pixels, LATENT, g_norm, g_weight, d_norm, d_weight,
                       given=GIVEN.get(given))  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = plugin(spec, **plugin.hypers)
    return [generator.double(), discriminator.double()]


def latents(generator: nn.Module, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return latents [batch, latent_dim] with the noise that a generator takes beside them, float64."""
    size = LATENT + int(getattr(generator, "noise", 0))
    return torch.randn(BATCH, size, generator=stream("network contract", seed), dtype=torch.float64) * scale


@law
def shapes_fit(plugin: Plugin) -> Outcome:
    """The generator maps latents to samples, the discriminator samples to one logit each, all of them finite.

    To several logits where it provides "several_logits".
    """
    for given in ways(plugin):
        generator, discriminator = built(plugin, given=given)
        fake = generator(latents(generator), *beside(given))
        logits = discriminator(fake, *beside(given))
        if tuple(fake.shape) != (BATCH, *shape_of(plugin)):
            return Breach(f"{BATCH} latents become {list(fake.shape)}, not {[BATCH, *shape_of(plugin)]}")
        several = SEVERAL in plugin.provides and logits.dim() == 2 and len(logits) == BATCH
        if not several and tuple(logits.shape) not in ((BATCH,), (BATCH, 1)):
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
    given = ways(plugin)[0]
    for name, player, x in _inputs(plugin, given):
        out = player(x, *beside(given))
        if not (out - out[:1]).abs().max() > 1e-9:
            return Breach(f"the {name}'s outputs are all the same")
    return None


def _inputs(plugin: Plugin, given: str) -> list[tuple[str, nn.Module, Tensor]]:
    """Return each player by its name with what it takes."""
    generator, discriminator = built(plugin, given=given)
    return [(PLAYERS[0], generator, latents(generator)), (PLAYERS[1], discriminator, _samples(plugin))]


def _samples(plugin: Plugin, seed: int = 0) -> Tensor:
    generator = stream("network contract samples", seed)
    return torch.randn(BATCH, *shape_of(plugin), generator=generator, dtype=torch.float64).clamp(-1, 1)


@law
def weights_follow_the_seed(plugin: Plugin) -> Outcome:
    """Initial weights are those of torch's seed: the same twice, others with another seed."""
    given = ways(plugin)[0]
    first, again, other = (_weights(built(plugin, seed, given=given)) for seed in (0, 0, 1))
    if not torch.equal(first, again):
        return Breach("weights built twice from one seed differ")
    return Breach("weights of two seeds are the same") if torch.equal(first, other) else None


def _weights(modules: list[nn.Module]) -> Tensor:
    return torch.cat([parameter.detach().flatten() for module in modules for parameter in module.parameters()])


@law_about(of_distributions)
def normalizations_reach_it(plugin: Plugin) -> Outcome:
    """It asks `spec` for its layers, without which no normalization reaches them."""
    asked: Counter[str] = Counter()
    built(plugin, asked=asked, given=ways(plugin)[0])
    deaf = [name for player, name in zip("gd", PLAYERS, strict=True) if not asked[f"{player}_norm"]]
    if deaf:
        return NotDeclared(
            f"normalizations of the {' and the '.join(deaf)}: layers do not go through spec.g_norm, d_norm"
        )
    return None


@law
def a_population_is_its_runs(plugin: Plugin) -> Outcome:
    """Stacked over runs, each player gives what it gives alone."""
    for given, training in product(ways(plugin), (True, False)):
        pairs = [built(plugin, seed, given=given) for seed in range(3)]
        for place, name in enumerate(PLAYERS):
            modules = [pair[place].train(training) for pair in pairs]
            x = torch.stack(
                [_samples(plugin, seed) if place else latents(one, seed) for seed, one in enumerate(modules)]
            )
            off = _off(modules, x, beside(given))
            if not off < 1e-9:
                return Breach(f"the {name}'s outputs are off by {off:.3g} in {'training' if training else 'measuring'}")
    return None


def _off(modules: list[nn.Module], x: Tensor, own: tuple[Tensor, ...]) -> float:
    """Return by how much modules together [runs, ...] are off each of them alone."""
    states = [dict(module.named_parameters()) | dict(module.named_buffers()) for module in modules]
    stacked = {key: torch.stack([own[key].detach() for own in states]) for key in states[0]}
    given = own[0].expand(len(x), *own[0].shape) if own else None
    together = batched.forward(modules[0], stacked, x, given=given)
    alone = torch.stack([module(part, *own) for module, part in zip(modules, x, strict=True)])
    return (together - alone).abs().max().item()


@law_about(takes_something)
def labels_are_seen(plugin: Plugin) -> Outcome:
    """With other labels or pictures both players say something else, once their weights have moved from the start.

    Of two domains each has a critic, which is told nothing of the other one; nor is one of several domains.
    """
    given = ways(plugin)[-1]
    (own,) = beside(given)
    for name, player, x in _inputs(plugin, given)[: 1 if given in ("unpaired", "targets") else 2]:
        _move(player)
        if torch.equal(player(x, own), player(x, own.roll(1, 0))):
            return Breach(f"the {name} gives the same for other {given}s")
    return None


@torch.no_grad()
def _move(player: nn.Module) -> None:
    drawn = stream("network contract move", 0)
    for parameter in player.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=drawn, dtype=parameter.dtype) / 10)


@law_about(takes_something)
def labels_go_with_their_samples(plugin: Plugin) -> Outcome:
    """The order of the batch does not matter, where inputs and their labels or pictures move together."""
    given = ways(plugin)[-1]
    (own,) = beside(given)
    order = torch.randperm(BATCH, generator=stream("network contract order", 0))
    for name, player, x in _inputs(plugin, given):
        player.eval()  # what iterates in training, iterates between the two
        off = (player(x, own)[order] - player(x[order], own[order])).abs().max().item()
        if not off < 1e-9:
            return Breach(f"the {name}'s outputs are off by {off:.3g} in another order")
    return None


@law_about(of_images)
def images_stay_in_range(plugin: Plugin) -> Outcome:
    """Images stay in the declared range, whatever the latents."""
    given = ways(plugin)[0]
    generator, _ = built(plugin, given=given)
    largest = generator(latents(generator, scale=1e4), *beside(given)).abs().max().item()
    return None if largest <= 1 else Breach(f"a pixel is {largest:.4g} away from 0, the range is [-1, 1]")
