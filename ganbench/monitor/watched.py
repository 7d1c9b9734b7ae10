"""Two ordinary modules as the diagnostics see a population: with a runs axis of length one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize
from torch.nn.utils.spectral_norm import SpectralNorm

from ganbench.gan.normalizations import Reweighted, as_matrix
from ganbench.measure.dynamics import DifferentiableGame
from ganbench.monitor.forwards import Calling, Forward, InBatches, sample_of, scores_by_scale
from ganbench.monitor.isolation import flagged
from ganbench.monitor.outputs import ending
from ganbench.problems.base import Given, mapped
from ganbench.training.batched import ACTIVATIONS, LAYERS, layer_names

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class NotKnown(Exception):  # noqa: N818 - a state, not a mistake
    """Raised where a diagnostic asks for what a watched loop does not tell: its optimizer, or a loss not named."""


class Inverse:
    """Stands for a sigmoid that is no module: its probabilities are turned back into logits."""


# a probability of single precision tells no logits beyond 16
ROUNDED = 1e-7


@dataclass(frozen=True)
class WatchedLoss:
    """The loop's loss, if its user named it: maps logits [1, batch] to the losses of D and G, [1] each."""

    function: Loss | None = None
    boundary: float | None = None

    @property
    def runs(self) -> slice:
        """The one run that there is."""
        return slice(0, 1)

    def __call__(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        if self.function is None:
            raise NotKnown
        d_loss, g_loss = self.function(real_logits.squeeze(0), fake_logits.squeeze(0))
        return d_loss.reshape(1), g_loss.reshape(1)


class WatchedPlayer:
    """One network with stand-ins for its state: detached parameters that take gradients, and copies of its buffers.

    Running statistics and power iterations move the copies; gradients reach the stand-ins, whatever the `requires_grad`
    and `.grad` of the network's own parameters say.
    """

    def __init__(
        self,
        module: nn.Module,
        sigmoid: nn.Module | Inverse | None = None,
        forward: Forward | None = None,
        read: Callable[[Any, int], Tensor | None] = lambda out, _: out,
    ) -> None:
        self.module, self.sigmoid, self.read = module, sigmoid, read
        self.forward, self._calling = forward, Calling(module, forward)
        # what is given with the samples of a batch, its first rows are taken
        self.given: Any = None
        self.names = layer_names(module)
        self.parameters = {
            name: own.detach().requires_grad_(own.is_floating_point()) for name, own in module.named_parameters()
        }
        self._buffers = {name: own.detach().clone() for name, own in module.named_buffers()}
        self._buffers |= settled_norms(module, self._buffers)

    def __call__(self, x: Tensor, units: dict[nn.Module, Tensor] | None = None) -> Tensor:
        """Map x [batch, ...] to float32 outputs; `units` collects [1, batch, ...] from each known activation."""
        hooks = [part.register_forward_hook(_keep_in(units)) for part in _activations(self.module, units)]
        if isinstance(self.sigmoid, nn.Module):
            hooks.append(self.sigmoid.register_forward_hook(lambda _, inputs, __: inputs[0]))
        try:
            out = self.read(self.raw(x), len(x))
            assert out is not None
            return torch.logit(out.float(), eps=ROUNDED) if isinstance(self.sigmoid, Inverse) else out.float()
        finally:
            for hook in hooks:
                hook.remove()

    def again(self) -> WatchedPlayer:
        """Return the player with copies of its buffers as they are in the module."""
        made = WatchedPlayer(self.module, self.sigmoid, self.forward, self.read)
        made.given = self.given
        return made

    def flat(self) -> Tensor:
        """Return a copy of the parameters as one vector, [1, size]."""
        return torch.cat([own.detach().flatten() for own in self.parameters.values()]).unsqueeze(0)

    def at(self, flat: Tensor, x: Tensor) -> Tensor:
        """Map x [batch, ...] with other parameters, [1, size]."""
        sizes = [own.numel() for own in self.parameters.values()]
        parts = flat.squeeze(0).split(sizes)
        before = self.parameters
        self.parameters = {n: p.reshape(own.shape) for (n, own), p in zip(before.items(), parts, strict=True)}
        try:
            return self(x)
        finally:
            self.parameters = before

    def raw(self, x: Tensor) -> Any:
        """Map x [batch, ...] as the loop does; latents without a number stand for none."""
        return functional_call(self._calling, self._state, self._inputs(x, 0, len(x)))

    def in_batches(self, x: Tensor, size: int, start: int = 0) -> Tensor:
        """Map x [n, ...] from `start` on to float32 outputs, `size` at a time; to stand in is a good part of a call."""
        batches = (self._inputs(x, first, size) for first in range(start, len(x), size))
        joined = InBatches(self.module, self.forward)
        return functional_call(joined, self._state, (batches, lambda out: self.read(out, size))).float()

    @property
    def _state(self) -> dict[str, Tensor]:
        return {f"net.{name}": own for name, own in {**self.parameters, **self._buffers}.items()}

    def _inputs(self, x: Tensor, first: int, size: int) -> tuple[Tensor | None, Any]:
        # more may be given than there are samples
        rows = slice(first, min(first + size, len(x)))
        given = mapped(lambda part: placed(part[rows], self.module), self.given)
        return placed(x[rows], self.module) if x.numel() else None, given


class Watched:
    """A loop's generator and discriminator at one probe (see `measure.diagnostics.Snapshot`).

    sigmoid: the module at the end of D that turns its logits into probabilities, which is then left out, or `Inverse`
    where a function does. forwards: how the loop calls G and D, if in ways of its own.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: WatchedLoss,
        sigmoid: nn.Module | Inverse | None,
        forwards: tuple[Forward | None, Forward | None] = (None, None),
    ):
        self.losses: Sequence[WatchedLoss] = [loss]
        self.players = {
            "g": WatchedPlayer(generator, None, forwards[0], lambda out, _: sample_of(out)),
            "d": WatchedPlayer(discriminator, sigmoid, forwards[1], self._mean_scores),
        }
        # of each call of the discriminator, the scores [n] of every scale
        self.scales: list[list[Tensor]] = []

    def _mean_scores(self, out: Any, count: int) -> Tensor:
        scales = scores_by_scale(out, count)
        assert scales is not None
        self.scales.append(scales)
        return scales[0] if len(scales) == 1 else torch.stack(scales).mean(0)

    def give(self, given: Given) -> None:
        """Set what is given with the next batch, [batch, ...]."""
        for player in self.players.values():
            player.given = given

    @property
    def g_names(self) -> dict[str, str]:
        """Readable names of G's layers, by module."""
        return self.players["g"].names

    @property
    def d_names(self) -> dict[str, str]:
        """Readable names of D's layers, by module."""
        return self.players["d"].names

    def generate(self, latents: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map latents [1, batch, ...] to samples [1, batch, *shape]."""
        return self.players["g"](latents.squeeze(0), units).unsqueeze(0)

    def criticise(self, samples: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map samples [1, batch, *shape] to logits [1, batch]."""
        return self.players["d"](samples.squeeze(0), units).reshape(1, -1)

    def parameter_gradients(self, loss: Tensor, player: str) -> dict[str, Tensor]:
        """Return the gradient [1, ...] of a loss [1] by parameter of G ("g") or D ("d")."""
        leaves = {name: own for name, own in self.players[player].parameters.items() if own.requires_grad}
        parts = torch.autograd.grad(
            loss.sum(), list(leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return {name: part.unsqueeze(0) for name, part in zip(leaves, parts, strict=True)}

    def matrices(self, player: str = "d") -> dict[str, Tensor]:
        """Return the weights in force of a player's layers as matrices [1, out, in]."""
        module = self.players[player].module
        return {self.players[player].names[name]: matrix for name, matrix in _matrices(module)}

    def moved(self, player: str, gradient: Tensor) -> Tensor:
        """Raise NotKnown: the loop's optimizer is its own."""
        raise NotKnown

    def differentiable(
        self, real: Tensor, latents: Tensor, runs: slice = slice(None), *, iterate: bool = False
    ) -> DifferentiableGame:
        """Return the game on a batch [1, batch, ...] as a function of flat parameters [1, size].

        With `iterate`, forward passes run as in training and move copies of the buffers.
        """
        if self.losses[0].function is None:
            raise NotKnown
        generator, discriminator = (own.again() for own in self.players.values())

        def losses(g: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
            with flagged(iterate, generator.module, discriminator.module):
                fake = generator.at(g, latents.squeeze(0))
                real_logits, fake_logits = (discriminator.at(d, x).reshape(1, -1) for x in (real.squeeze(0), fake))
            return self.losses[0](real_logits, fake_logits)

        return DifferentiableGame(generator.flat(), discriminator.flat(), losses)


# steps of a power iteration, as torch's own parametrization begins with
ITERATIONS = 15


def settled_norms(module: nn.Module, buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the singular vectors of `nn.utils.spectral_norm` where training has not found them yet, by buffer.

    They begin at random: by those a weight is divided by next to nothing, and an untrained D is far too steep.
    """
    found: dict[str, Tensor] = {}
    for name, part in module.named_modules():
        for hook in part._forward_pre_hooks.values():
            if not isinstance(hook, SpectralNorm):
                continue
            left, right = (f"{name}.{hook.name}_{end}".lstrip(".") for end in "uv")
            matrix = hook.reshape_weight_to_matrix(getattr(part, f"{hook.name}_orig").detach())
            u, v = buffers[left], buffers[right]
            before = float(u @ matrix @ v)
            for _ in range(ITERATIONS):
                v = normalize(matrix.T @ u, dim=0, eps=hook.eps)
                u = normalize(matrix @ v, dim=0, eps=hook.eps)
            if abs(before) < 0.5 * float(u @ matrix @ v):
                found |= {left: u, right: v}
    return found


def placed(x: Tensor, module: nn.Module) -> Tensor:
    """Return a tensor on the device and, if it holds no whole numbers, in the precision of a module's parameters."""
    own = next((p for p in module.parameters() if p.is_floating_point()), None)
    return x if own is None else x.to(own.device, own.dtype if x.is_floating_point() else x.dtype)


def final_sigmoid(
    discriminator: nn.Module, samples: Tensor, forward: Forward | None = None, given: Given = None
) -> nn.Module | Inverse | None:
    """Return the sigmoid module whose output is the discriminator's own, `Inverse` for a function, None for logits."""
    made: dict[nn.Module, Tensor] = {}

    def keep(part: nn.Module, _: Any, out: Tensor) -> None:
        made[part] = out

    hooks = [part.register_forward_hook(keep) for part in discriminator.modules() if type(part) is nn.Sigmoid]
    try:
        player = WatchedPlayer(discriminator, None, forward)
        player.given = given
        with torch.enable_grad():
            out = player.raw(samples)
    finally:
        for hook in hooks:
            hook.remove()
    # several scales, or scores with features, are taken as they come
    if not isinstance(out, Tensor):
        return None
    storage = out.untyped_storage().data_ptr()
    module = next((part for part, own in made.items() if own.untyped_storage().data_ptr() == storage), None)
    if module is not None or ending(out) != "sigmoid":
        return module
    return Inverse()


def _matrices(module: nn.Module) -> list[tuple[str, Tensor]]:
    maps = {id(part.layer): part for part in module.modules() if isinstance(part, Reweighted)}
    found = []
    # in evaluation mode, or looking at a spectral norm would move it
    with torch.no_grad(), flagged(False, module):
        for name, layer in module.named_modules():
            if isinstance(layer, LAYERS):
                weight, wrapper = layer.weight, maps.get(id(layer))
                weight = wrapper.weight(weight, wrapper.weight_map) if wrapper else weight
                found.append((name, as_matrix(weight.unsqueeze(0), layer)))
    return found


def _activations(module: nn.Module, units: dict[nn.Module, Tensor] | None) -> list[nn.Module]:
    return [] if units is None else [part for part in module.modules() if type(part) in ACTIVATIONS]


def _keep_in(units: dict[nn.Module, Tensor] | None) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(part: nn.Module, _: Any, out: Tensor) -> None:
        assert units is not None
        # a copy, since the next layer may work in place
        units[part] = out.clone().unsqueeze(0)

    return keep
