"""What a population shows of itself at a probe."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ganbench.training import batched
from ganbench.training.population import LossSlice, Player, Population


class Snapshot:
    """Forward passes, gradients and weights of a population, none of which moves it (see measure.diagnostics)."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self.losses: Sequence[LossSlice] = population.losses
        self.g_names = batched.layer_names(population.generator.module)
        self.d_names = batched.layer_names(population.discriminator.module)

    def generate(self, latents: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map latents to samples with gradients; `units` collects the output of each known activation."""
        return self._population.generator(latents, trained=True, tap=units.__setitem__)

    def criticise(self, samples: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map samples to logits [runs, batch] with gradients; `units` collects the output of each known activation."""
        return self._population.discriminator(samples, trained=True, tap=units.__setitem__).flatten(1)

    def parameter_gradients(self, loss: Tensor, player: str) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of a loss [runs] by parameter of G ("g") or D ("d")."""
        # the probe's graph serves several diagnostics
        return self._player(player).gradients(loss, retain_graph=True)

    def matrices(self) -> dict[str, Tensor]:
        """Return the weights in force of D's layers as matrices [runs, out, in]."""
        discriminator = self._population.discriminator
        tensors = {**discriminator.frozen, **discriminator.buffers}
        return dict(batched.layer_matrices(discriminator.module, tensors))

    def _player(self, player: str) -> Player:
        return self._population.generator if player == "g" else self._population.discriminator
