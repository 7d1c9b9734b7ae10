"""One probe of a watched loop: samples of its generator measured, its game diagnosed, nothing of it moved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganbench import registry
from ganbench.analysis.verdicts import view
from ganbench.arrays import Array
from ganbench.errors import UserError
from ganbench.measure.diagnostics import Game, affordable
from ganbench.measure.evaluate import Evaluator
from ganbench.monitor.forwards import MOST_PACKED, Forward, sample_of, scores_by_scale
from ganbench.monitor.inputs import GivenKey, Latent, Real, RealSamples, as_problem, latent_samples, real_batch
from ganbench.monitor.isolation import own_randomness, untouched
from ganbench.monitor.scores import diagnosed, lead_by_scale
from ganbench.monitor.watched import Watched, WatchedLoss, final_sigmoid, placed
from ganbench.problems.base import Batch, Problem, stream
from ganbench.training.loop import KEPT_SAMPLES

Features = Callable[[Tensor], Tensor]

# below this share of the oracle's quality the real samples are not of the problem that was named
FOREIGN = 0.5


@dataclass(frozen=True)
class Sizes:
    """How much a probe measures: fakes, neighbours, samples that pass a network at a time, class of diagnostics."""

    samples: int = 1000
    neighbours: int = 500
    batch_size: int = 64
    diagnostics: str = "cheap"


class Target:
    """What the generator's samples are measured against, in the space of `features` if there are any."""

    def __init__(
        self,
        real: Real | None,
        problem: str | Problem | None,
        features: Features | None,
        sizes: Sizes,
        device: torch.device,
        given: GivenKey = None,
    ) -> None:
        samples, self.given = (
            Batch(None, None) if real is None else real_batch(real, 2 * sizes.samples, given)  # type: ignore[arg-type]
        )
        self.shown = as_problem(problem, samples)
        self.name, self.shape = self.shown.name, tuple(self.shown.shape)
        self.features, self.batch_size, self.device = features, sizes.batch_size, device
        if samples is None:
            samples = self.shown.sample(sizes.samples, stream("probe data", 0))
        elif tuple(samples.shape[1:]) != self.shape:
            raise UserError(
                f"'real' gives samples of shape {list(samples.shape[1:])}; the problem '{self.name}' has "
                f"{list(self.shape)}."
            )
        if features is None:
            self._check_range(samples)
        measured = self.shown if features is None else RealSamples(self.name, self._mapped(samples))
        self.evaluator = Evaluator(measured, sizes.samples, sizes.neighbours, device)
        self.real = samples[: sizes.batch_size]
        if real is not None and problem is not None and features is None:
            self._check_problem(samples)

    def measure(self, fake: Tensor) -> dict[str, float]:
        """Return every metric of finite fakes [n, *shape]."""
        return self._scores(self._mapped(fake))

    def describe(self) -> tuple[dict[str, Any], Array]:
        """Return what a study records of the problem: oracle values and true modes, and some real samples."""
        finite = isinstance(self.evaluator.problem, RealSamples)
        modes = self.evaluator.problem.modes
        description = {
            # one finite set of held-out samples gives the same score at every draw
            "oracle": self.measure_oracle() if finite else self.evaluator.oracle(),
            "modes": self.evaluator.modes,
            "centres": modes.centres.tolist() if modes else None,
            "std": modes.std if modes else None,
            "notes": self.evaluator.notes,
        }
        return description, self.pictures_of_real()

    def pictures_of_real(self) -> Array:
        """Return some real samples as the study keeps them."""
        return self.picture(self.shown.reference(self.kept)).astype(np.float32)

    @property
    def legend(self) -> str:
        """What the samples are measured against, in one line."""
        if isinstance(self.shown, RealSamples):
            return "real samples of the loop's own, half of them held out as the oracle"
        known = self.shown.name in registry.names("problem")
        return registry.get("problem", self.shown.name).legend if known else "a problem of the loop's own"

    def measure_oracle(self) -> dict[str, float]:
        """Return what held-out real samples score."""
        return self._scores(self.evaluator.problem.oracle_samples(self.evaluator.samples))

    @property
    def kept(self) -> int:
        """How many samples of a probe are kept to look at."""
        return KEPT_SAMPLES["image" if len(self.shape) == 3 else "points"]

    def picture(self, samples: Tensor) -> Array:
        """Return the first samples as the study keeps them: images, or points [n, d]."""
        kept = samples[: self.kept].detach().cpu()
        # images are in [-1, 1], points may be beyond the range of half precision
        return kept.half().numpy() if len(self.shape) == 3 else kept.float().flatten(1).numpy()

    def _scores(self, samples: Tensor) -> dict[str, float]:
        columns = self.evaluator.measure(samples.to(self.device).unsqueeze(0))
        return {name: float(column) for name, column in columns.items()}

    def _mapped(self, samples: Tensor) -> Tensor:
        if self.features is None:
            return samples
        with torch.no_grad(), own_randomness():
            return torch.cat([self._mapped_batch(part.to(self.device)) for part in samples.split(self.batch_size)])

    def _mapped_batch(self, batch: Tensor) -> Tensor:
        assert self.features is not None
        mapped = self.features(batch)
        if not isinstance(mapped, Tensor) or mapped.dim() != 2 or len(mapped) != len(batch):
            got = list(mapped.shape) if isinstance(mapped, Tensor) else type(mapped).__name__
            raise UserError(f"'features' must map {len(batch)} samples to a tensor [{len(batch)}, d], got {got}.")
        return mapped.float().cpu()

    def _check_range(self, samples: Tensor) -> None:
        if len(self.shape) != 3:
            return
        low, high = self.shown.value_range or (-1.0, 1.0)
        got = float(samples.min()), float(samples.max())
        if got[0] < low - 0.01 or got[1] > high + 0.01:
            raise UserError(
                f"'real' holds images in [{got[0]:.4g}, {got[1]:.4g}], the features expect [{low:g}, {high:g}]: give "
                "them as the generator makes them, scaled to that range, or bring 'features' of your own."
            )

    def _check_problem(self, samples: Tensor) -> None:
        columns, oracle = self._scores(samples[: self.evaluator.samples]), self.measure_oracle()
        seen = view(columns)
        if seen is not None and columns[seen.quality] < FOREIGN * oracle[seen.quality]:
            raise UserError(
                f"'real' does not look like the problem '{self.name}': {seen.quality.replace('_', ' ')} "
                f"{columns[seen.quality]:.2f}, where samples of it have {oracle[seen.quality]:.2f}. Mixtures are "
                "standardised to unit variance: draw from the problem, or pass a Problem of your own."
            )


@dataclass(frozen=True)
class Probe:
    """What one probe found: columns, samples to look at, and what was not finite (empty: nothing)."""

    columns: dict[str, float]
    picture: Array
    broken: str = ""


class LoopProber:
    """Measures a loop's two networks, on the same latents and real samples at every probe."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        target: Target,
        latent: Latent | None,
        sizes: Sizes,
        *,
        loss: str | Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        mode: str = "eval",
        forwards: tuple[Forward | None, Forward | None] = (None, None),
    ) -> None:
        self.generator, self.discriminator, self.forwards = generator, discriminator, forwards
        self.target, self.sizes, self.evaluate = target, sizes, mode == "eval"
        self.given = target.given
        self.latents = latent_samples(latent, target.evaluator.samples, given=self.given)
        with untouched(self.generator, self.discriminator, evaluate=self.evaluate):
            fake = self._tried("generator", self.generator, self.latents[: sizes.batch_size])
            if fake.shape[1:] != target.real.shape[1:]:
                raise UserError(
                    f"The generator makes samples of shape {list(fake.shape[1:])}, the real ones have "
                    f"{list(target.real.shape[1:])}: both must be what the discriminator gets."
                )
            real = self._tried_in_packs(target.real)
            self.sigmoid = final_sigmoid(self.discriminator, real, forwards[1], self.given)
        self.loss = watched_loss(loss, 0.0 if self.sigmoid is not None else None)

    @property
    def inputs(self) -> tuple[Tensor | None, Tensor | None]:
        """A probe's latents and real samples as the networks get them; None where a forward makes that of them."""
        g_forward, d_forward = self.forwards
        return None if g_forward else self.latents, None if d_forward else self.target.real

    def missing(self) -> list[str]:
        """Return of what nothing is said: of both networks all is known."""
        return []

    def probe(self, *, early: bool = False) -> Probe:
        """Measure now. What is not finite is named and not measured."""
        if player := self.broken():
            return Probe({}, np.empty(0), f"parameters of the {player}")
        with untouched(self.generator, self.discriminator, evaluate=self.evaluate):
            watched = Watched(self.generator, self.discriminator, self.loss, self.sigmoid, self.forwards)
            watched.give(self.given)
            game = self._game(watched)
            with torch.no_grad():
                fake = self._samples(watched, game)
            if not all(map(math.isfinite, torch.stack(fake.aminmax()).tolist())):
                return Probe({}, np.empty(0), "samples of the generator")
            columns = {**self.target.measure(fake), **self._diagnose(watched, game)}
        return Probe(columns, self.target.picture(fake))

    def broken(self) -> str:
        """Return whose parameters are not finite, empty where all are; asks the device once."""
        players = {"generator": self.generator, "discriminator": self.discriminator}
        for name, module in players.items():
            # the largest number is neither NaN nor infinite; a sum could overflow
            held = [own.detach() for own in module.parameters() if own.numel() and own.is_floating_point()]
            if held and not math.isfinite(nn.utils.get_total_norm(held, math.inf)):
                return name
        return ""

    def gradient_norm(self) -> float:
        """Return the norm of the gradient that the loop left on the generator's parameters, NaN where there is none."""
        gradients = [own.grad.detach() for own in self.generator.parameters() if own.grad is not None]
        if not gradients:
            return math.nan
        return float(torch.stack([gradient.float().norm() for gradient in gradients]).norm())

    def _game(self, watched: Watched) -> Game:
        # losses that compare real with fake need as many of each
        size = min(self.sizes.batch_size, len(self.latents), len(self.target.real))
        latents = self.latents[:size].unsqueeze(0)
        real = placed(self.target.real[:size], self.discriminator).float().unsqueeze(0)
        watched.give(self.given)
        return Game(watched, real, latents)

    def _samples(self, watched: Watched, game: Game) -> Tensor:
        """Return a sample of every latent, [n, *shape]; the game has those of a whole first batch."""
        first, size = game.fake.detach().squeeze(0), self.sizes.batch_size
        player = watched.players["g"]
        if len(first) < min(size, len(self.latents)):
            return player.in_batches(self.latents, size)
        return torch.cat([first, player.in_batches(self.latents, size, size)]) if len(self.latents) > size else first

    def _diagnose(self, watched: Watched, game: Game) -> dict[str, float]:
        columns = diagnosed(game, affordable(self.sizes.diagnostics))
        # the game has asked of the real samples first
        own, other = watched.scales[:2]
        return columns | lead_by_scale(own, other, self.loss, self.sizes.diagnostics)

    def _tried_in_packs(self, real: Tensor) -> Tensor:
        """Return as many real samples as D takes at once: a packed critic raises at what is no multiple of its pack."""
        for left in range(min(MOST_PACKED, len(real) - 1)):
            own = real[: len(real) - left]
            try:
                self._tried("discriminator", self.discriminator, own)
            except UserError as error:
                if error.__cause__ is None:
                    raise
                continue
            self.sizes = replace(self.sizes, batch_size=min(self.sizes.batch_size, len(own)))
            return own
        self._tried("discriminator", self.discriminator, real)
        return real

    def _tried(self, name: str, module: nn.Module, x: Tensor) -> Tensor:
        watched = Watched(self.generator, self.discriminator, WatchedLoss(), None, self.forwards)
        watched.give(self.given)
        with torch.no_grad():
            try:
                out = watched.players[name[0]].raw(x)
            except Exception as error:  # a network may raise anything
                raise UserError(
                    f"The {name} does not take {'latents' if name[0] == 'g' else 'samples'} of shape "
                    f"{list(x.shape)}: {type(error).__name__}: {error}."
                ) from error
        if name[0] == "d":
            return self._tried_scores(out, len(x))
        found = sample_of(out)
        if found is None or found.dim() < 1:
            raise UserError(f"The {name} returns {type(out).__name__}; it must return one tensor [n, ...].")
        return found

    def _tried_scores(self, out: Any, count: int) -> Tensor:
        scales = scores_by_scale(out, count)
        if scales is None:
            got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise UserError(
                f"The discriminator maps {count} samples to {got}; it must give scores of each sample, [n, ...], or "
                "lists of them: say how with d_forward=lambda d, x: ..."
            )
        return scales[0]


def watched_loss(loss: Any, boundary: float | None) -> WatchedLoss:
    """Return the loss that a loop names, with the logit at which D is undecided; UserError for what is none."""
    if isinstance(loss, str):
        plugin = registry.get("loss", loss)
        undecided = plugin.declared("boundary")
        return WatchedLoss(plugin, None if undecided is None else float(undecided))
    if loss is not None and not callable(loss):
        raise UserError(f"'loss' must be a name or a callable (real_logits, fake_logits), got {type(loss).__name__}.")
    return WatchedLoss(loss, boundary)
