"""Diagnostics of the game that a probe measures only when asked to: the medium and the expensive cost class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ganbench.measure import conditions as conditions  # those of problems with labels are found here, too
from ganbench.measure import dynamics
from ganbench.measure.diagnostics import Game, Playable, input_gradient_norm
from ganbench.measure.dynamics import DifferentiableGame
from ganbench.measure.spectrum import collapsed_share, effective_rank, singular_values, stable_rank
from ganbench.metrics.inputs import exact, home
from ganbench.registry import Measure, positive, register, share

PLAYERS = {"g": "G", "d": "D"}
# the smallest singular value over the largest that float32 can tell from zero
RESOLUTION = 1e-7


def _of_both(measure: str, legend: str, kind: Callable[..., Measure], direction: str | None) -> dict[str, Measure]:
    return {f"{player}_{measure}": kind(legend.format(name), direction) for player, name in PLAYERS.items()}


# ---- medium


@register(
    "diagnostic",
    cost="medium",
    measures={
        **_of_both("effective_rank", "effective rank over full rank of a layer of {}, the smallest layer", share, None),
        **_of_both("stable_rank", "stable rank over full rank of a layer of {}, the smallest layer", share, None),
        **_of_both(
            "spectral_collapse", "share of singular values under 1 % of a layer's largest in {}, the worst layer",
            share, "down",
        ),
    },
)  # fmt: skip
def ranks(game: Game) -> dict[str, Tensor]:
    """Effective rank (Roy & Vetterli 2007), stable rank and spectral collapse (Liu 2019) of both players' layers."""
    columns: dict[str, Tensor] = {}
    for player in PLAYERS:
        spectra = {layer: singular_values(matrix) for layer, matrix in game.population.matrices(player).items()}
        for measure, of, worst in (
            ("effective_rank", lambda values: effective_rank(values) / values.shape[-1], torch.amin),
            ("stable_rank", lambda values: stable_rank(values) / values.shape[-1], torch.amin),
            ("spectral_collapse", collapsed_share, torch.amax),
        ):
            layers = {f"{player}_{measure}.{layer}": of(values).clamp(max=1) for layer, values in spectra.items()}
            if layers:
                columns[f"{player}_{measure}"] = worst(torch.stack(list(layers.values())), 0)
            columns.update(layers)
    return columns


@register(
    "diagnostic",
    cost="medium",
    measures={"d_lipschitz": positive("largest norm of D's input gradient at real samples, fakes and between them")},
)
def lipschitz(game: Game) -> dict[str, Tensor]:
    """Local Lipschitz estimate of the discriminator, a lower bound of its Lipschitz constant."""
    count = min(game.real.shape[1], game.fake.shape[1])
    real, fake = game.real.detach()[:, :count], game.fake.detach()[:, :count]
    # one point a pair, at shares spread evenly over (0, 1): nothing is drawn, so probes compare
    shares = (torch.arange(count, device=real.device, dtype=real.dtype) + 0.5) / count
    between = torch.lerp(real, fake, shares.reshape(1, count, *[1] * (real.dim() - 2))).requires_grad_()
    norms = input_gradient_norm(game.population.criticise(between, {}), between)
    return {"d_lipschitz": torch.cat([*game.input_gradient_norms, norms], dim=1).amax(1)}


@register(
    "diagnostic",
    cost="medium",
    measures={
        f"{player}_update_cosine": Measure(
            f"cosine between {name}'s gradient now and after one simultaneous step of both", None, (-1.0, 1.0)
        )
        for player, name in PLAYERS.items()
    },
)
def update_cosines(game: Game) -> dict[str, Tensor]:
    """Cosine between consecutive gradients of each player: near 1 steady, negative where the players overshoot.

    Between them lies one step of each player's own optimizer on copies, at its undecayed learning rate.
    """
    population = game.population
    if not isinstance(population, Playable):
        return {}
    playing = population.differentiable(game.real, game.latents)
    leaves = [start.requires_grad_() for start in (playing.g, playing.d)]
    before = dynamics.simultaneous_gradients(playing, *leaves)
    moved = [population.moved(player, step).requires_grad_() for player, step in zip("gd", before, strict=True)]
    after = dynamics.simultaneous_gradients(playing, *moved)
    cosines = [dynamics.cosine(*pair) for pair in zip(before, after, strict=True)]
    return {"g_update_cosine": cosines[0], "d_update_cosine": cosines[1]}


def on_arc(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return the points at shares [n, 1] of the arcs between latents [..., n, d] (slerp, Shoemake 1985)."""
    cosine = (one * other).sum(-1, keepdim=True) / (one.norm(dim=-1, keepdim=True) * other.norm(dim=-1, keepdim=True))
    angle = cosine.clamp(-1, 1).arccos()
    sine = angle.sin()
    # of latents on one line through 0 the arc is no other than the line
    flat = sine < 1e-3
    sine = torch.where(flat, 1.0, sine)
    arc = ((1 - share) * angle).sin() / sine * one + (share * angle).sin() / sine * other
    return torch.where(flat, torch.lerp(one, other, share.expand_as(flat).to(one.dtype)), arc)


@register(
    "diagnostic",
    cost="medium",
    late=True,
    measures={
        "g_path_length": positive(
            "perceptual path length: squared change of main features a squared step between latents, over real ones'",
            "down", scale="log", blind="A generator that makes one sample has none.",
        )
    },
)  # fmt: skip
def path_length(game: Game, *, step: float = 1e-2) -> dict[str, Tensor]:
    """Perceptual path length (Karras 2019, eq. 2) in the problem's main feature space, over that of real samples.

    The mean over neighbours in the batch of |f(G(z(t + e))) - f(G(z(t)))|^2 / e^2, z(t) on the arc between their
    latents, under the first one's label, over the mean of |f(x) - f(x')|^2: 1 where features move at an even pace and
    as far as from one real sample to another.
    """
    if game.features is None:
        return {}
    latents = game.latents.detach()
    count = latents.shape[1]
    # nothing is drawn, so probes compare: shares are spread evenly
    share = ((torch.arange(count, device=latents.device, dtype=latents.dtype) + 0.5) / count * (1 - step)).unsqueeze(1)
    ends = (on_arc(latents, latents.roll(1, 1), place) for place in (share, share + step))
    with torch.no_grad():
        start, end = (exact(game.features(game.population.generate(z, {}))) for z in ends)
        real = exact(game.features(game.real.detach()))
    pace = (end - start).square().sum(-1).mean(1) / step**2
    return {"g_path_length": pace / (real - real.roll(1, 1)).square().sum(-1).mean(1).clamp(min=1e-24)}


# ---- expensive


@register(
    "diagnostic",
    cost="expensive",
    measures={"g_log_condition": positive("log condition number of dG/dz, at most 16.1; mean over latents", "down")},
)
def conditioning(game: Game, *, latents: int = 8) -> dict[str, Tensor]:
    """Log condition number of the generator's Jacobian in its latents (Odena 2018, who squares it)."""
    values = singular_values(generator_jacobians(game, min(latents, game.latents.shape[1])))
    largest, smallest = values[..., -1], values[..., 0]
    # a Jacobian of zeros, G deaf to its latents, counts as one without full rank
    share = torch.where(largest == 0, 0.0, smallest / largest)
    return {"g_log_condition": -share.clamp(min=RESOLUTION, max=1).log().mean(1)}


def generator_jacobians(game: Game, count: int) -> Tensor:
    """Return dG(z)/dz at the first `count` latents, each moved alone, [runs, count, sample size, latent_dim]."""
    few = game.latents[:, :count]
    with torch.no_grad():
        alone, among = game.population.generate(few, {}), game.population.generate(game.latents, {})[:, :count]
    # judged where both are finite, run by run: runs that explode say nothing about G, and must not hide what others say
    apart = torch.where((alone - among).isfinite(), (alone - among).abs(), 0.0).flatten(1).amax(1)
    size = torch.where(among.isfinite(), among.abs(), 0.0).flatten(1).amax(1)
    if (apart <= 1e-4 * size).all():
        return _columns(game, few, slice(None))
    # G mixes its batch (batch normalization): one latent after the other, among all
    return torch.cat([_columns(game, game.latents, slice(i, i + 1)) for i in range(count)], dim=1)


def _columns(game: Game, latents: Tensor, moved: slice) -> Tensor:
    latents = latents.detach().clone().requires_grad_()
    samples = game.population.generate(latents, {})
    weights = torch.zeros_like(samples, requires_grad=True)
    (pulled,) = torch.autograd.grad(
        samples, latents, weights, create_graph=True, allow_unused=True, materialize_grads=True
    )
    pulled = pulled.flatten(2)
    if not pulled.requires_grad:  # G does not look at its latents
        return samples.new_zeros(*samples[:, moved].flatten(2).shape, pulled.shape[2])
    columns = []
    for place in range(pulled.shape[2]):
        # the pull-back is linear in its weights: its derivative in them pushes a latent's direction forward
        (column,) = torch.autograd.grad(
            pulled[:, moved, place].sum(), weights, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        columns.append(column[:, moved].flatten(2))
    return torch.stack(columns, dim=-1)


def _run_by_run(
    game: Game, columns: Sequence[str], numbers: Callable[[DifferentiableGame], tuple[float, ...]]
) -> dict[str, Tensor]:
    """Return the numbers of each run's own game as columns [runs]: an eigenvalue solver knows one operator."""
    population, runs = game.population, range(len(game.real))
    if not isinstance(population, Playable):
        return {}
    games = (population.differentiable(game.real, game.latents, slice(run, run + 1)) for run in runs)
    values = torch.tensor([numbers(one) for one in games], device=home(game.real.device), dtype=torch.float64)
    return dict(zip(columns, values.unbind(1), strict=True))


@register(
    "diagnostic",
    cost="expensive",
    measures={
        "game_eig_min_real": Measure("smallest real part of the game Jacobian's eigenvalues; negative: repelling"),
        "game_eig_max_imag": positive("largest imaginary part of the game Jacobian's eigenvalues: rotation"),
        "game_eig_max_abs": positive("largest modulus of the game Jacobian's eigenvalues"),
    },
)
def game_eigenvalues(game: Game) -> dict[str, Tensor]:
    """Extreme eigenvalues of the Jacobian of the field of simultaneous gradient descent (Mescheder 2017)."""
    columns = ("game_eig_min_real", "game_eig_max_imag", "game_eig_max_abs")
    return _run_by_run(game, columns, dynamics.game_eigenvalues)


@register(
    "diagnostic",
    cost="expensive",
    measures={
        f"{player}_hessian_{end}": Measure(f"{word} eigenvalue of the Hessian of {name}'s loss in its parameters")
        for player, name in PLAYERS.items()
        for end, word in (("min", "smallest"), ("max", "largest"))
    },
)
def hessians(game: Game) -> dict[str, Tensor]:
    """Extreme curvatures of each player's loss: at a local Nash equilibrium none is negative (Berard 2020)."""
    columns: dict[str, Tensor] = {}
    for player in PLAYERS:
        ends = (f"{player}_hessian_min", f"{player}_hessian_max")
        columns.update(_run_by_run(game, ends, partial(dynamics.hessian_extremes, player=player)))
    return columns


@register(
    "diagnostic",
    cost="expensive",
    measures={"duality_gap": positive("what D and G could each still gain against the other in the zero-sum game")},
)
def duality_gap(game: Game, *, steps: int = 20, rate: float = 1e-3, noise: float = 1e-3) -> dict[str, Tensor]:
    """Duality gap on the probe batch (Grnarova 2019), worst cases sought from perturbed copies (Sidheekh 2021).

    A lower bound: the worst cases are what `steps` of Adam at `rate` find. The value is minus D's loss.
    """
    population = game.population
    if not isinstance(population, Playable):
        return {}
    gains = []
    for player in PLAYERS:
        # weights move: spectral norms go on iterating, on buffers that each search has to itself
        playing = population.differentiable(game.real, game.latents, iterate=True)
        gains.append(dynamics.worst_case(playing, player, steps=steps, rate=rate, noise=noise))
    return {"duality_gap": gains[0] + gains[1]}
