"""A doctor's visit: a few iterations are watched, then the hooks go and what is wrong is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ganbench.monitor.doctor.rules import RULES
from ganbench.monitor.doctor.trace import Fault, Scale
from ganbench.monitor.doctor.watching import Watching

# iterations and optimizer steps of each player that are enough, and iterations after which waiting ends
ENOUGH, STEPS, LONGEST = 8, 5, 40


class Visit:
    """Watches the networks of a loop's players from its start until each has been stepped a few times.

    loader: where the real samples come from, if it is a DataLoader; latents: those that a probe uses, to compare.
    """

    def __init__(
        self,
        generator: Sequence[nn.Module],
        discriminator: Sequence[nn.Module],
        loader: Any = None,
        latents: Tensor | None = None,
    ) -> None:
        self._watching = Watching(generator, discriminator)
        self.trace = self._watching.trace
        self.trace.loader = loader
        plain = latents is not None and latents.is_floating_point() and latents.numel() > 0
        self.trace.latents = Scale.of(latents) if plain and latents is not None else None
        self.open = True

    def step(self) -> bool:
        """Tell that an iteration is over; True where it was the last that is watched."""
        self._watching.next_step()
        trace = self.trace
        enough = trace.steps >= ENOUGH and min(len(trace.of("g")), len(trace.of("d"))) >= STEPS
        if enough or trace.steps >= LONGEST:
            self.close()
        return not self.open

    def pause(self, paused: bool) -> None:
        """Look away while somebody else than the loop calls its networks, or look again."""
        self._watching.paused = paused

    def close(self) -> None:
        """Take the hooks away; what was seen stays."""
        self._watching.close()
        self.open = False

    def faults(self) -> tuple[Fault, ...]:
        """Return what is wrong by what was seen so far, the certain first."""
        found = [fault for rule in RULES for fault in rule(self.trace)]
        return tuple(sorted(found, key=lambda fault: not fault.certain))
