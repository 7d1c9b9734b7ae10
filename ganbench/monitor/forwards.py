"""How a loop calls its networks: with a condition beside the samples, several at once, or in a way of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.monitor.isolation import unwrapped
from ganbench.monitor.outputs import first_samples, score_maps

Networks = nn.Module | Mapping[str, nn.Module] | Sequence[nn.Module]
Forward = Callable[..., Any]


def as_module(networks: Networks, what: str) -> nn.Module:
    """Return one module for one network, or for several in a mapping or a list; wrappers are looked through."""
    if isinstance(networks, nn.Module) and not isinstance(networks, nn.ModuleList | nn.ModuleDict):
        return unwrapped(networks)
    several = networks if isinstance(networks, Mapping | nn.ModuleDict) else None
    parts = list(several.values()) if several is not None else networks if isinstance(networks, Sequence) else None
    if parts is None and isinstance(networks, nn.ModuleList):
        parts = list(networks)
    if not parts or not all(isinstance(part, nn.Module) for part in parts):
        raise UserError(f"The {what} must be a module, or a mapping or list of modules, got {type(networks).__name__}.")
    inner = [unwrapped(part) for part in parts]
    return nn.ModuleList(inner) if several is None else nn.ModuleDict(dict(zip(several, inner, strict=True)))


def as_given(networks: Networks) -> list[nn.Module]:
    """Return the modules that the loop calls, wrappers and all."""
    if isinstance(networks, Mapping | nn.ModuleDict):
        return list(networks.values())
    return list(networks) if isinstance(networks, Sequence | nn.ModuleList) else [networks]


@dataclass(frozen=True)
class Loop:
    """What a loop trains, on what, and how it calls it."""

    generator: Networks
    discriminator: Networks
    real: Any
    latent: Any
    given: str | int | None
    forwards: tuple[Forward | None, Forward | None]

    @property
    def players(self) -> tuple[nn.Module, nn.Module]:
        """Generator and discriminator as one module each, wrappers taken off."""
        return as_module(self.generator, "generator"), as_module(self.discriminator, "discriminator")

    @property
    def called(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that the loop itself calls, of G and of D."""
        return as_given(self.generator), as_given(self.discriminator)


def loop_of(
    generator: Networks | None, discriminator: Networks | None, real: Any, latent: Any, given: str | int | None,
    forwards: tuple[Forward | None, Forward | None],
) -> Loop | None:  # fmt: skip
    """Return the loop of two players, None where none is attached; UserError for one alone, or what needs both."""
    if generator is not None and discriminator is not None:
        return Loop(generator, discriminator, real, latent, given, forwards)
    if generator is not discriminator:
        raise UserError("Give both networks, or neither and tell monitor.step what there is to see.")
    if any(one is not None for one in (latent, given, *forwards)):
        raise UserError(
            "'latent', 'given', 'g_forward' and 'd_forward' say how networks are called: give both of them."
        )
    return None


# samples that a packed critic takes together (CTGAN takes 10)
MOST_PACKED = 10


class Calling(nn.Module):
    """A network as the loop calls it: `forward(net, x)`, or `forward(net, x, given)` where something is given."""

    def __init__(self, net: nn.Module, forward: Forward | None) -> None:
        super().__init__()
        self.net, self._forward = net, forward

    def forward(self, x: Tensor | None, given: Any = None) -> Any:
        """Call the network on x [n, ...] or on what is given alone, where there are no latents."""
        return _called(self.net, self._forward, x, given)


class InBatches(nn.Module):
    """The same, a batch at a time, in one call: to put stand-ins in place takes a good part of a small one."""

    def __init__(self, net: nn.Module, forward: Forward | None) -> None:
        super().__init__()
        self.net, self._forward = net, forward

    def forward(self, batches: Iterable[tuple[Tensor | None, Any]], read: Callable[[Any], Tensor]) -> Tensor:
        """Call the network on each batch (x, given), and join what `read` finds in its outputs, [n, ...]."""
        return torch.cat([read(_called(self.net, self._forward, x, given)) for x, given in batches])


def _called(net: nn.Module, forward: Forward | None, x: Tensor | None, given: Any) -> Any:
    inputs = tuple(one for one in (x, given) if one is not None)
    if forward is not None:
        return forward(net, *inputs)
    if isinstance(net, nn.ModuleList | nn.ModuleDict):
        return [part(*inputs) for part in (net.values() if isinstance(net, nn.ModuleDict) else net)]
    return net(*inputs)


def sample_of(out: Any) -> Tensor | None:
    """Return the samples in a generator's output, which may come in a tuple, a list or a dict."""
    return out if isinstance(out, Tensor) else first_samples(out)


def scores_by_scale(out: Any, count: int) -> list[Tensor] | None:
    """Return a discriminator's scores [n] a scale, averaged over the places of a map; None where it has none.

    A packed critic, which has one score for several samples in a row, gives it to each of them.
    """
    found = []
    for scores in score_maps(out):
        rows = len(scores)
        if rows == 0 or count % rows or count > MOST_PACKED * rows:
            return None
        found.append(scores.reshape(rows, -1).mean(1).repeat_interleave(count // rows))
    return found or None
