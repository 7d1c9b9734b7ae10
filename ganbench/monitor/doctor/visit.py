"""A doctor's visit: a few iterations are watched, then the hooks go and what is wrong is said."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import count
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ganbench.monitor.doctor.both import told_apart
from ganbench.monitor.doctor.rules import RULES
from ganbench.monitor.doctor.trace import Fault, Scale
from ganbench.monitor.doctor.watching import Watching, leave_hooks, remove_hooks

# iterations and optimizer steps of each player that are enough, and iterations after which waiting ends
ENOUGH, STEPS, LONGEST = 8, 5, 40
# every so many steps of a discriminator whose scores count nothing yet it is asked for its gradient
LOOKED_AT = 10


class Visit:
    """Watches the networks of a loop's players from its start until each has been stepped a few times.

    loader: where the real samples come from, if it is a DataLoader; latents, real: those that a probe uses, to compare.
    """

    def __init__(
        self,
        generator: Sequence[nn.Module],
        discriminator: Sequence[nn.Module],
        loader: Any = None,
        latents: Tensor | None = None,
        real: Tensor | None = None,
    ) -> None:
        self._players, self._loader = (generator, discriminator), loader
        plain = latents is not None and latents.is_floating_point() and latents.numel() > 0
        self._latents = Scale.of(latents) if plain and latents is not None else None
        self._real = None if real is None else (tuple(real.shape[1:]), Scale.of(real))
        # a hook that waits for a discriminator whose turn comes later, and whether that has come
        self._waiting: list[Any] = []
        self._woken = False
        self._begin()
        self.open = True

    def _begin(self) -> None:
        self._watching = Watching(*self._players)
        self.trace = self._watching.trace
        self.trace.loader, self.trace.latents, self.trace.real = self._loader, self._latents, self._real

    def step(self) -> bool:
        """Tell that an iteration is over; True where there may be something to say: no more is to be seen for now."""
        if self._waiting:
            if self._woken:
                self._stop_waiting()
                self._begin()
            return False
        self._watching.next_step()
        trace = self.trace
        enough = trace.steps >= ENOUGH and min(len(trace.of("g")), len(trace.of("d"))) >= STEPS
        longest = trace.steps >= LONGEST
        late = longest and not (trace.calls_of("d") or trace.grown["d"])
        if not self._woken and (late or (enough and trace.rests())):
            self._wait()
            return True
        if enough or longest:
            self.close()
        return not self.open

    def _wait(self) -> None:
        """Look away until an optimizer steps a discriminator for the first time, as of one that starts late.

        Where the losses weigh its scores by 0 till then: until it has a gradient. Nothing hangs on the networks
        meanwhile, which may be copied and saved whole.
        """
        self._watching.close()
        self.trace.waiting = True
        seen = count() if self.trace.rests() else None
        own = {id(parameter) for module in self._players[1] for parameter in module.parameters()}
        watched = weakref.ref(self)

        def stepped(optimizer: Optimizer, *_: Any) -> None:
            visit = watched()
            firsts = [group["params"][0] for group in optimizer.param_groups if group["params"]]
            if visit is None or not any(id(first) in own for first in firsts):
                return
            # to read a number makes a GPU wait
            if seen is None or (next(seen) % LOOKED_AT == 0 and _has_gradient(firsts)):
                visit._woken = True

        self._waiting.append(register_optimizer_step_pre_hook(stepped))
        weakref.finalize(self, leave_hooks, self._waiting)

    def _stop_waiting(self) -> None:
        remove_hooks(self._waiting)

    def pause(self, paused: bool) -> None:
        """Look away while somebody else than the loop calls its networks, or look again."""
        self._watching.paused = paused

    def close(self) -> None:
        """Take the hooks away; what was seen stays."""
        self._stop_waiting()
        self._watching.close()
        self.open = self.trace.waiting = False

    def faults(self) -> tuple[Fault, ...]:
        """Return what is wrong by what was seen so far, the certain first."""
        trace = told_apart(self.trace)
        found = [fault for rule in RULES for fault in rule(trace)]
        return tuple(sorted(found, key=lambda fault: not fault.certain))


def _has_gradient(parameters: Sequence[Tensor]) -> bool:
    return any(own.grad is not None and bool(own.grad.any()) for own in parameters)
