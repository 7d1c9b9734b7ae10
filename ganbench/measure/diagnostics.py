"""Diagnostics of the game at a probe: numbers about gradients, logits, units and weights, one a run.

A diagnostic is `(game) -> {column: tensor [runs]}`. It reads a `Game`, a snapshot of a population on a probe batch
that no training step sees; columns named `measure.LAYER` belong to the declared measure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from ganbench.registry import Measure, positive, register, share


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
    def matrices(self) -> dict[str, Tensor]: ...


class Game:
    """One probe batch played through a population; everything is computed when first asked for."""

    def __init__(self, population: Snapshot, real: Tensor, latents: Tensor) -> None:
        self.population = population
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
        return self.players_losses(self.real_logits, self.fake_logits)

    def players_losses(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and G, both [runs], for logits [runs, batch]."""
        parts = [part(real_logits[part.runs], fake_logits[part.runs]) for part in self.population.losses]
        return torch.cat([d for d, _ in parts]), torch.cat([g for _, g in parts])

    def gradients(self, player: str) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of a player's loss ("g" or "d") by parameter."""
        if player == "d":
            return self.population.parameter_gradients(self.losses[0], "d")
        logits = self.population.criticise(self._fake, {})
        g_loss = self.players_losses(self.real_logits.detach(), logits)[1]
        return self.population.parameter_gradients(g_loss, "g")


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
        "d_loss": Measure("loss of the discriminator on the probe batch, without penalty"),
        "g_loss": Measure("loss of the generator on the probe batch"),
        "g_gradient_norm": positive("norm of the generator's gradient, over all its parameters"),
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
    },
)
def input_gradients(game: Game) -> dict[str, Tensor]:
    """Norm of the critic's gradient at real and at fake samples, averaged over the batch."""

    def norm(logits: Tensor, samples: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.sum(), samples, retain_graph=True)
        return gradient.flatten(2).norm(dim=2).mean(1)

    return {
        "d_input_gradient_real": norm(game.real_logits, game.real),
        "d_input_gradient_fake": norm(game.fake_logits, game.fake),
    }


@register(
    "diagnostic",
    measures={
        "real_logit": Measure("mean logit of real samples"),
        "fake_logit": Measure("mean logit of fake samples"),
        "d_real_accuracy": share("share of real samples on the real side of D's boundary"),
        "d_fake_accuracy": share("share of fake samples on the fake side of D's boundary"),
        "d_ranking": share("probability that D scores a real sample above a fake; 0.5: cannot tell"),
    },
)
def logits(game: Game) -> dict[str, Tensor]:
    """What the discriminator thinks of real and fake; accuracies where its loss has a boundary."""
    real, fake = game.real_logits.detach(), game.fake_logits.detach()
    boundary = torch.full((len(real), 1), float("nan"), device=real.device)
    for part in game.population.losses:
        if part.boundary is not None:
            boundary[part.runs] = part.boundary
    defined = torch.where(boundary.isnan(), boundary, 0.0).squeeze(1)
    pairs = real.unsqueeze(2) - fake.unsqueeze(1)
    return {
        "real_logit": real.mean(1),
        "fake_logit": fake.mean(1),
        "d_real_accuracy": (real > boundary).double().mean(1) + defined,
        "d_fake_accuracy": (fake < boundary).double().mean(1) + defined,
        "d_ranking": ((pairs > 0).double() + 0.5 * (pairs == 0)).mean((1, 2)),
    }


@register(
    "diagnostic",
    measures={
        "saturation": share(
            "share of fakes whose generator-loss derivative is under 1 % of its largest over logits in [-20, 20]",
            "down",
        ),
    },
)
def saturation(game: Game) -> dict[str, Tensor]:
    """Share of fakes that hardly move the generator: their logits no longer count."""
    fake = game.fake_logits.detach().requires_grad_()
    real = game.real_logits.detach()
    slope = _slope(game, real, fake)
    grid = torch.linspace(-20, 20, 81, device=fake.device).expand(len(fake), -1).requires_grad_()
    # real logits centred on the boundary: where a loss compares, the grid spans the differences
    largest = _slope(game, torch.zeros_like(grid), grid).max(1, keepdim=True).values
    return {"saturation": (slope < 0.01 * largest).double().mean(1)}


def _slope(game: Game, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    g_loss = game.players_losses(real_logits, fake_logits)[1]
    (slope,) = torch.autograd.grad(g_loss.sum(), fake_logits)
    return slope.abs() * fake_logits.shape[1]


def _never_positive(units: Mapping[nn.Module, Tensor], kinds: tuple[type[nn.Module], ...], like: Tensor) -> Tensor:
    dead = [(out.detach() <= 0).all(1).flatten(1) for module, out in units.items() if isinstance(module, kinds)]
    if not dead:
        return torch.full((len(like),), float("nan"), device=like.device)
    return torch.cat(dead, dim=1).double().mean(1)


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
        saturated = (outputs[-1].detach().abs() > 0.99).flatten(1).double().mean(1)
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
    norms = {layer: _spectral_norm(matrix) for layer, matrix in game.population.matrices().items()}
    if not norms:
        return {}
    largest = torch.stack(list(norms.values())).max(0).values
    return {"d_spectral_norm": largest, **{f"d_spectral_norm.{layer}": norm for layer, norm in norms.items()}}


def _spectral_norm(matrix: Tensor) -> Tensor:
    # the Gram matrix of the smaller side has the same largest singular value, squared, at a fraction of an SVD's cost
    matrix = matrix.detach().double()
    tall = matrix.shape[1] > matrix.shape[2]
    gram = matrix.transpose(1, 2) @ matrix if tall else matrix @ matrix.transpose(1, 2)
    finite = gram.isfinite().all(dim=(1, 2))
    largest = torch.linalg.eigvalsh(torch.where(finite[:, None, None], gram, 0.0))[:, -1]
    return torch.where(finite, largest.clamp(min=0).sqrt(), float("nan"))
