"""Diagnostics of the game at a probe: numbers about gradients, logits, units and weights, one a run.

A diagnostic is `(game) -> {column: tensor [runs]}`. It reads a `Game`, a snapshot of a population on a probe batch
that no training step sees; columns named `measure.LAYER` belong to the declared measure. It declares its cost class,
`cost="medium"` or `"expensive"`, where it is not cheap; those are in `measure.costly`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganbench import registry
from ganbench.errors import unknown
from ganbench.measure.dynamics import DifferentiableGame
from ganbench.measure.spectrum import singular_values
from ganbench.metrics.inputs import exact
from ganbench.registry import COSTS, Measure, Plugin, positive, register, share


def affordable(cost: str) -> list[Plugin]:
    """Return the diagnostics up to a cost class, in the order of their registration; UserError for an unknown class."""
    if cost not in COSTS:
        raise unknown("class of diagnostics", cost, COSTS)
    known = COSTS[: COSTS.index(cost) + 1]
    return [plugin for plugin in registry.plugins("diagnostic") if plugin.declared("cost") in known]


class Slice(Protocol):
    """Runs next to each other that share a loss."""

    @property
    def runs(self) -> slice: ...
    @property
    def boundary(self) -> float | None: ...
    def __call__(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]: ...


class Snapshot(Protocol):
    """What a population shows of itself to be measured: forward passes with gradients, nothing that moves it."""

    @property
    def losses(self) -> Sequence[Slice]: ...
    @property
    def g_names(self) -> Mapping[str, str]: ...
    @property
    def d_names(self) -> Mapping[str, str]: ...
    def generate(self, latents: Tensor, units: dict[nn.Module, Tensor]) -> Tensor: ...
    def criticise(self, samples: Tensor, units: dict[nn.Module, Tensor]) -> Tensor: ...
    def parameter_gradients(self, loss: Tensor, player: str) -> dict[str, Tensor]: ...
    def matrices(self, player: str = "d") -> dict[str, Tensor]: ...


@runtime_checkable
class Playable(Snapshot, Protocol):
    """A snapshot whose players can also be tried at other parameters than their own."""

    def moved(self, player: str, gradient: Tensor) -> Tensor: ...
    def differentiable(
        self, real: Tensor, latents: Tensor, runs: slice = slice(None), *, iterate: bool = False
    ) -> DifferentiableGame: ...


@runtime_checkable
class Balanced(Snapshot, Protocol):
    """A snapshot that can tell how far its players are from a known equilibrium."""

    def displacement(self) -> Tensor | None: ...


Relabelled = Callable[[Tensor], tuple[Tensor, Tensor] | None]
"""D's logits of samples with the labels of others, and which of these differ, both [runs, batch]; None: it has none."""

Returned = Callable[[Tensor, Tensor], Tensor | None]
"""From latents and samples of several domains to these translated back [runs, batch, *shape]; None: there is one."""


class Game:
    """One probe batch played through a population; everything is computed when first asked for.

    real, held_out: training samples and samples that no training step sees [runs, batch, *shape]; latents: [runs,
    batch, latent_dim]; features: the problem's main feature space, if any.
    """

    def __init__(
        self,
        population: Snapshot,
        real: Tensor,
        latents: Tensor,
        held_out: Tensor | None = None,
        features: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.population, self.latents, self.held_out, self.features = population, latents, held_out, features
        # G's loss on samples, where training does not take it on logits; few snapshots have one
        self.matched: Callable[[Tensor, Tensor], Tensor] | None = getattr(population, "matched", None)
        # logits of samples with the labels of others; few snapshots have labels
        self.relabelled: Relabelled | None = getattr(population, "relabelled", None)
        # samples of several domains translated back, and what they were, where it is not the real samples
        self.returned: Returned | None = getattr(population, "returned", None)
        self.origin: Tensor | None = getattr(population, "origin", None)
        self.g_units: dict[nn.Module, Tensor] = {}
        self.d_units: dict[nn.Module, Tensor] = {}
        self._fake = population.generate(latents, self.g_units)
        self.real = real.detach().requires_grad_()
        self.fake = self._fake.detach().requires_grad_()
        self.real_logits = population.criticise(self.real, {})
        self.fake_logits = population.criticise(self.fake, self.d_units)

    @cached_property
    def losses(self) -> tuple[Tensor, Tensor]:
        """Losses of D and G on the probe batch, both [runs]."""
        d_loss, g_loss = self.players_losses(self.real_logits, self.fake_logits)
        return d_loss, self.matched(self.real.detach(), self.fake.detach()) if self.matched else g_loss

    def players_losses(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and G, both [runs], for logits [runs, batch]."""
        parts = [part(real_logits[part.runs], fake_logits[part.runs]) for part in self.population.losses]
        return torch.cat([d for d, _ in parts]), torch.cat([g for _, g in parts])

    @cached_property
    def boundary(self) -> Tensor:
        """The logit at which D is undecided, [runs], NaN where its loss has none."""
        boundary = torch.full((len(self.real),), float("nan"), device=self.real.device)
        for part in self.population.losses:
            if part.boundary is not None:
                boundary[part.runs] = part.boundary
        return boundary

    @cached_property
    def input_gradient_norms(self) -> tuple[Tensor, Tensor]:
        """Norms of D's gradient with respect to each real and each fake sample, both [runs, batch]."""
        logits = [self.real_logits.sum(), self.fake_logits.sum()]
        gradients = torch.autograd.grad(logits, [self.real, self.fake], retain_graph=True)
        real, fake = (gradient.flatten(2).norm(dim=2) for gradient in gradients)
        return real, fake

    def gradients(self, player: str) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of a player's loss ("g" or "d") by parameter."""
        if player == "d":
            return self.population.parameter_gradients(self.losses[0], "d")
        if self.matched:
            return self.population.parameter_gradients(self.matched(self.real.detach(), self._fake), "g")
        logits = self.population.criticise(self._fake, {})
        g_loss = self.players_losses(self.real_logits.detach(), logits)[1]
        return self.population.parameter_gradients(g_loss, "g")


def input_gradient_norm(logits: Tensor, samples: Tensor) -> Tensor:
    """Return the norm [runs, batch] of the gradient of logits [runs, batch] with respect to the samples behind them.

    Where D mixes its batch (batch normalization) it is the gradient of the sum of all logits.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), samples, retain_graph=True)
    return gradient.flatten(2).norm(dim=2)


def _per_layer(column: str, gradients: Mapping[str, Tensor], layers: Mapping[str, str]) -> dict[str, Tensor]:
    squares: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    for name, gradient in gradients.items():
        layer = layers[name.rpartition(".")[0]]
        squares[layer] = squares[layer].to(gradient.device) + gradient.reshape(len(gradient), -1).square().sum(1)
    total = torch.stack(list(squares.values())).sum(0)
    return {column: total.sqrt(), **{f"{column}.{layer}": square.sqrt() for layer, square in squares.items()}}


@register(
    "diagnostic",
    measures={
        "d_loss": Measure("loss of the discriminator on the probe batch, without penalty", role="loss"),
        "g_loss": Measure("loss of the generator on the probe batch", role="loss"),
        "g_gradient_norm": positive(
            "norm of the generator's gradient, over all its parameters", scale="log", role="gradient"
        ),
        "d_gradient_norm": positive("norm of the discriminator's gradient, penalty left out"),
    },
)
def players(game: Game) -> dict[str, Tensor]:
    """Losses of both players and the norms of their gradients, in all and layer by layer."""
    d_loss, g_loss = game.losses
    return {
        "d_loss": d_loss,
        "g_loss": g_loss,
        **_per_layer("g_gradient_norm", game.gradients("g"), game.population.g_names),
        **_per_layer("d_gradient_norm", game.gradients("d"), game.population.d_names),
    }


@register(
    "diagnostic",
    measures={
        "d_input_gradient_real": positive("mean norm of D's gradient with respect to real samples"),
        "d_input_gradient_fake": positive("mean norm of D's gradient with respect to fake samples"),
        "d_input_gradient_ratio": positive("mean norm of D's gradient at real samples over that at fakes"),
    },
)
def input_gradients(game: Game) -> dict[str, Tensor]:
    """Norm of the critic's gradient at real and at fake samples, averaged over the batch, and their ratio."""
    real, fake = (norms.mean(1) for norms in game.input_gradient_norms)
    return {
        "d_input_gradient_real": real,
        "d_input_gradient_fake": fake,
        # a critic that is flat at all fakes has no ratio
        "d_input_gradient_ratio": torch.where(fake > 0, real / fake, float("nan")),
    }


@register(
    "diagnostic",
    measures={
        "real_logit": Measure("mean logit of real samples", role="logit"),
        "fake_logit": Measure("mean logit of fake samples", role="logit"),
        "logit_margin": Measure("mean logit of real samples less that of fakes"),
        "d_real_accuracy": share("share of real samples on the real side of D's boundary"),
        "d_fake_accuracy": share("share of fake samples on the fake side of D's boundary"),
        "d_ranking": share(
            "probability that D scores a real sample above a fake; 0.5: cannot tell", role="lead",
            blind="At 1 the discriminator wins throughout; at 0.5 it cannot tell, which is also what a broken one "
            "does.",
        ),
    },
)  # fmt: skip
def logits(game: Game) -> dict[str, Tensor]:
    """What the discriminator thinks of real and fake; accuracies where its loss has a boundary."""
    real, fake = game.real_logits.detach(), game.fake_logits.detach()
    boundary = game.boundary.unsqueeze(1)
    # a comparison with NaN is no NaN
    undefined = torch.where(boundary.isnan(), boundary, 0.0).squeeze(1)
    pairs = real.unsqueeze(2) - fake.unsqueeze(1)
    return {
        "real_logit": real.mean(1),
        "fake_logit": fake.mean(1),
        "logit_margin": real.mean(1) - fake.mean(1),
        "d_real_accuracy": exact(real > boundary).mean(1) + exact(undefined),
        "d_fake_accuracy": exact(fake < boundary).mean(1) + exact(undefined),
        "d_ranking": (exact(pairs > 0) + 0.5 * exact(pairs == 0)).mean((1, 2)),
    }


@register(
    "diagnostic",
    measures={
        "d_overfitting": Measure(
            "share r_v of D's margin over fakes that held-out real samples lose against training samples; 1: overfit",
            "down",
        ),
        "d_train_sign": Measure("mean sign r_t of training samples' logits about D's boundary", None, (-1.0, 1.0)),
    },
)
def overfitting(game: Game) -> dict[str, Tensor]:
    """Overfitting heuristics r_v and r_t of the discriminator, where samples are held out (Karras 2020, eq. 1)."""
    if game.held_out is None:
        return {}
    with torch.no_grad():
        held_out = game.population.criticise(game.held_out, {}).mean(1)
    real, fake = game.real_logits.detach(), game.fake_logits.detach().mean(1)
    margin, beyond = real.mean(1) - fake, real - game.boundary.unsqueeze(1)
    return {
        # a D that does not tell real from fake has nothing to lose
        "d_overfitting": torch.where(margin != 0, (real.mean(1) - held_out) / margin, float("nan")),
        # torch's sign of NaN is 0
        "d_train_sign": torch.where(beyond.isnan(), beyond, beyond.sign()).mean(1),
    }


@register(
    "diagnostic",
    measures={
        "saturation": share(
            "share of fakes whose generator-loss derivative is under 1 % of that where D is undecided", "down",
            role="saturated",
            blind="Describes the game, not the samples: a good generator may have a high one for a while.",
        ),
    },
)  # fmt: skip
def saturation(game: Game) -> dict[str, Tensor]:
    """Share of fakes that hardly move the generator: their logits no longer count. NaN where none of them does."""
    if game.matched:
        return {"saturation": torch.full((len(game.fake),), float("nan"), device=game.fake.device)}
    fake = game.fake_logits.detach().requires_grad_()
    slope = _slope(game, game.real_logits.detach(), fake)
    # a loss that compares is undecided where both sides score the same
    undecided = game.boundary.nan_to_num(0.0).unsqueeze(1).to(fake.dtype)
    least = 0.01 * _slope(game, undecided, undecided.clone().requires_grad_())
    return {"saturation": exact(slope < least).mean(1)}


def _slope(game: Game, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    g_loss = game.players_losses(real_logits, fake_logits)[1]
    (slope,) = torch.autograd.grad(g_loss.sum(), fake_logits)
    return slope.abs() * fake_logits.shape[1]


def _never_positive(units: Mapping[nn.Module, Tensor], kinds: tuple[type[nn.Module], ...], like: Tensor) -> Tensor:
    dead = [(out.detach() <= 0).all(1).flatten(1) for module, out in units.items() if isinstance(module, kinds)]
    if not dead:
        return torch.full((len(like),), float("nan"), device=like.device)
    return exact(torch.cat(dead, dim=1)).mean(1)


@register(
    "diagnostic",
    measures={
        "output_saturation": share("share of G's outputs within 1 % of the bound of its tanh", "down"),
        "g_dead_units": share("share of G's rectified units that no sample of the batch activates", "down"),
        "d_dead_units": share("share of D's rectified units that no fake sample activates", "down"),
    },
)
def units(game: Game) -> dict[str, Tensor]:
    """Units that no longer take part: rectifiers that never fire, outputs pinned at the bound of a tanh."""
    rectified = (nn.ReLU, nn.LeakyReLU)
    outputs = [out for module, out in game.g_units.items() if isinstance(module, nn.Tanh)]
    saturated = torch.full((len(game.fake),), float("nan"), device=game.fake.device)
    if outputs:
        saturated = exact((outputs[-1].detach().abs() > 0.99).flatten(1)).mean(1)
    return {
        "output_saturation": saturated,
        "g_dead_units": _never_positive(game.g_units, rectified, game.fake),
        "d_dead_units": _never_positive(game.d_units, rectified, game.fake),
    }


@register(
    "diagnostic",
    measures={
        "d_spectral_norm": positive("largest singular value of a layer of D, the largest over layers"),
    },
)
def spectra(game: Game) -> dict[str, Tensor]:
    """Spectral norms of the discriminator's layers, as they act (after their normalization)."""
    norms = {layer: singular_values(matrix)[:, -1] for layer, matrix in game.population.matrices().items()}
    if not norms:
        return {}
    largest = torch.stack(list(norms.values())).max(0).values
    return {"d_spectral_norm": largest, **{f"d_spectral_norm.{layer}": norm for layer, norm in norms.items()}}


@register(
    "diagnostic",
    measures={
        "g_weight_norm": positive("norm of the weights in force of G's layers: to the last digit the same, G stands"),
        "d_weight_norm": positive("norm of the weights in force of D's layers: to the last digit the same, D stands"),
    },
)
def weights(game: Game) -> dict[str, Tensor]:
    """Norms of both players' weights, over all linear and convolution layers: whether they move, and where to."""
    columns = {}
    for player in ("g", "d"):
        matrices = game.population.matrices(player).values()
        if squares := [exact(matrix.detach()).square().flatten(1).sum(1) for matrix in matrices]:
            columns[f"{player}_weight_norm"] = torch.stack(squares).sum(0).sqrt()
    return columns


# at this distance from the equilibrium `nearness` is one half
NEAR = 0.01


@register(
    "diagnostic",
    needs={"game": "needs a problem whose equilibrium is known"},
    measures={
        "equilibrium_distance": positive("distance of both players' parameters from the nearest equilibrium", "down"),
        "nearness": Measure(
            f"1 at the equilibrium, one half at distance {NEAR}: {NEAR} / ({NEAR} + distance)", "up", (0.0, 1.0),
            "share", 1.0, role="quality",
        ),
        "displacement": Measure("how far a parameter is from its value at the equilibrium, G's parameters first"),
    },
)  # fmt: skip
def equilibrium(game: Game) -> dict[str, Tensor]:
    """Distance from the equilibrium, in the games where it is known."""
    displacement = game.population.displacement() if isinstance(game.population, Balanced) else None
    if displacement is None:
        return {}
    distance = displacement.norm(dim=1)
    coordinates = {f"displacement.{place}": column for place, column in enumerate(displacement.unbind(1))}
    return {"equilibrium_distance": distance, "nearness": NEAR / (NEAR + distance), **coordinates}
