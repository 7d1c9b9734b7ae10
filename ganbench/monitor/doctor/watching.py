"""Watching a loop from outside: hooks on two modules, their parameters and all optimizers; they read and never write.

Everything is read where autograd and the optimizers hand it out, so that no loss and no optimizer has to be given.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ganbench.monitor.doctor import both, calls
from ganbench.monitor.doctor.trace import Backward, Call, Scores, Trace, Update
from ganbench.monitor.outputs import first_samples, score_maps, tensors_in

# numbers of an output that are kept, tensors whose movement is measured
NUMBERS, MEASURED = 8192, 3
MOST_CALLS = 5000
# inner maps of a discriminator that are followed
MOST_OUTPUTS = 64
LARGEST = 1_000_000


class Watching:
    """Hooks that fill a Trace until `close`. While `paused` nothing is recorded."""

    def __init__(self, generators: Sequence[nn.Module], discriminators: Sequence[nn.Module]) -> None:
        remove_hooks([])
        called = {"g": generators, "d": discriminators}
        # one module a player, whose parameters are those of all its networks
        self.trace = Trace({who: own[0] if len(own) == 1 else nn.ModuleList(own) for who, own in called.items()})
        self.paused = False
        self._own = {
            id(own): (player, name)
            for player, module in self.trace.players.items()
            for name, own in module.named_parameters()
        }
        self._hooked: set[int] = set()
        # by player: the parameter whose gradient is followed, and the passes that it is the sum of
        self._followed: dict[str, Tensor] = {}
        self._pending: dict[str, list[int]] = {"g": [], "d": []}
        self._grew = {"g": False, "d": False}
        self._was_clear: dict[int, bool] = {}
        self._taken: dict[int, Backward] = {}
        self._fakes: set[tuple[float, ...]] = set()
        self._before: list[tuple[str, Tensor, Tensor]] = []
        # by player: a large tensor and what it was before the first step; what backward() left on the one followed
        self._at_first: dict[str, tuple[Tensor, Tensor]] = {}
        self._strayed: set[str] = set()
        # by optimizer and player: a large tensor before its last step, and after that
        self._last_way: dict[tuple[int, str], tuple[Tensor, Tensor, Tensor]] = {}
        self._left: dict[str, Tensor] = {}
        self._handles: list[Any] = [
            module.register_forward_hook(self._called(player), with_kwargs=True)
            for player, modules in called.items()
            for module in modules
        ]
        self._inside: set[int] = set()
        self._hook_parts_and_optimizers(generators, discriminators)
        weakref.finalize(self, leave_hooks, self._handles)
        self._follow_gradients()

    def _hook_parts_and_optimizers(self, generators: Sequence[nn.Module], discriminators: Sequence[nn.Module]) -> None:
        # a generator may be called by its parts alone: a mapping first, then what it is for
        self._handles += [handle for module in discriminators for handle in both.watch_parts(module, self._called)]
        self._handles += [handle for module in generators for handle in self._parts_called(module)]
        # optimizers know their hooks for ever: they must not keep a loop's networks alive
        before, after = weakref.WeakMethod(self._before_step), weakref.WeakMethod(self._after_step)
        self._handles += [
            register_optimizer_step_pre_hook(lambda *given: _before(before, *given)),
            register_optimizer_step_post_hook(lambda optimizer, *_: _through(after, optimizer)),
        ]

    def close(self) -> None:
        """Take every hook away."""
        remove_hooks(self._handles)

    def next_step(self) -> None:
        """Tell that an iteration of the loop is over."""
        self.trace.steps += 1
        for player, module in self.trace.players.items():
            gradients = [own.grad for own in module.parameters() if own.grad is not None]
            broken = bool(gradients) and not bool(torch.stack([g.isfinite().all() for g in gradients]).all())
            self.trace.grad_broken[player] += broken
        self._follow_gradients()

    def _follow_gradients(self) -> None:
        # the garbage collector does not see what a parameter's hooks hold: they must not keep its network alive either
        incoming, arrived = weakref.WeakMethod(self._incoming), weakref.WeakMethod(self._arrived)
        for player, module in self.trace.players.items():
            for name, own in module.named_parameters():
                # a network in a functional call has stand-ins instead
                if isinstance(own, nn.Parameter) and own.requires_grad and id(own) not in self._hooked:
                    self._hooked.add(id(own))
                    self._own[id(own)] = player, name
                    self.trace.followed[player].add(name)
                    self._handles.append(own.register_hook(partial(_of_gradient, incoming, weakref.ref(own))))
                    self._handles.append(own.register_post_accumulate_grad_hook(partial(_through, arrived)))

    # ---------------------------------------------------------------------------------------- gradients

    def _incoming(self, own: Tensor) -> None:
        if self.paused or _capturing():
            return
        if self._is_followed(own):
            self._was_clear[id(own)] = own.grad is None or not bool(own.grad.any())
        player, name = self._own[id(own)]
        if not self.trace.grown[player]:
            # a loop may take gradients itself and put them where its optimizer finds them
            self._taken.setdefault(_task(), Backward(_task(), self.trace.steps)).hits[player].add(name)

    def _is_followed(self, own: Tensor) -> bool:
        player = self._own[id(own)][0]
        return self._followed.get(player, own) is own

    def _is_worth_following(self, player: str, own: Tensor) -> bool:
        # a critic's last bias has a gradient of exactly 0: what moves real scores moves those of fakes
        beside = self.trace.players[player].parameters()
        return own.dim() > 1 or not any(other.dim() > 1 and other.requires_grad for other in beside)

    def _arrived(self, own: Tensor) -> None:
        if self.paused or _capturing():
            return
        player, name = self._own[id(own)]
        passing = self._pass()
        passing.hits[player].add(name)
        self.trace.grown[player].add(name)
        if player not in self._followed and self._is_worth_following(player, own):
            self._followed[player] = own
        if self._followed.get(player) is own:
            if self._was_clear.get(id(own), True):
                self._pending[player] = []
            self._pending[player].append(passing.id)
            self._grew[player] = own.grad is not None and bool(own.grad.any())
            if own.grad is not None and own.numel() <= LARGEST:
                self._left[player] = own.grad.detach().clone()

    def _pass(self) -> Backward:
        own = _task()
        if own not in self.trace.backwards:
            self.trace.backwards[own] = Backward(own, self.trace.steps)
            self.trace.order.append(self.trace.backwards[own])
        return self.trace.backwards[own]

    # ---------------------------------------------------------------------------------------- calls

    def _parts_called(self, module: nn.Module) -> list[Any]:
        """Hook a network's own parts, whose calls count where they are not within a call of the network."""
        inside, own = self._inside, id(module)
        called = self._called("g", part=True)

        def part_called(*given: Any) -> None:
            if own not in inside:
                called(*given)

        parts = [part.register_forward_hook(part_called, with_kwargs=True) for part in module.children()]
        return [
            *parts,
            module.register_forward_pre_hook(lambda *_: inside.add(own)),
            module.register_forward_hook(lambda *_: inside.discard(own), always_call=True),
        ]

    def _called(self, player: str, part: bool = False, within: int = 0) -> Callable[..., None]:
        def called(module: nn.Module, given: Any, named: Mapping[str, Any], out: Any) -> None:
            # somebody else's measurement: parameters that are no parameters
            measured = any(not isinstance(own, nn.Parameter) for own in module.parameters())
            if self.paused or measured or _capturing():
                return
            self._follow_gradients()
            x = first_samples((given, named))
            outs = score_maps(out) if player == "d" else [y for y in [first_samples(out)] if y is not None]
            if x is None or not outs or not len(x) or not x.numel():
                return
            call = calls.described(player, self.trace.steps, module, x, outs[0])
            call.part, call.within = part, within
            beside = [y for y in tensors_in((given, named)) if y is not x]
            if player == "d":
                calls.tell_kind(call, x, outs[0], self.trace.calls, self._fakes)
                call.both = both.holds_both(call, beside, self.trace.calls, self._fakes)
            call.conditions += tuple(calls.head_of(y[call.fake_rows] if call.is_of_rows(y) else y) for y in beside)
            if player == "g":
                self._fakes |= calls.marks(outs[0])
                self._follow(outs[0], self._passed(call))
            else:
                if call.kind == "fake":
                    self._fakes |= calls.marks(x)
                self._follow(x, self._passed(call) if call.attached and call.maker else None)
                kept = outs[0].detach().flatten()[:NUMBERS].float().clone()
                self._follow(outs[0], self._came_back(call, kept))
                for own in [own for own in tensors_in(out) if own.requires_grad][:MOST_OUTPUTS]:
                    self._follow(own, self._reached(call))
            self.trace.calls.append(call)
            # a loop that never tells its steps is not watched for ever
            self.paused = len(self.trace.calls) >= MOST_CALLS

        return called

    def _follow(self, x: Tensor, told: Callable[[Tensor], None] | None) -> None:
        if told is not None and x.requires_grad:
            self._handles.append(x.register_hook(told))

    def _reached(self, call: Call) -> Callable[[Tensor], None]:
        def reached(_: Tensor) -> None:
            if not self.paused and not _capturing():
                call.reached.add(_task())

        return reached

    def _passed(self, call: Call) -> Callable[[Tensor], None]:
        def passed(gradient: Tensor) -> None:
            if not self.paused and not _capturing():
                call.passed[_task()] = calls.head_of(gradient)

        return passed

    def _came_back(self, call: Call, outputs: Tensor) -> Callable[[Tensor], None]:
        def came_back(gradient: Tensor) -> None:
            if self.paused or _capturing():
                return
            # as a mean over its numbers gives it
            scaled = gradient.detach().flatten()[:NUMBERS].float() * gradient.numel()
            call.back[_task()] = Scores(outputs, scaled, torch.is_grad_enabled())

        return came_back

    # ---------------------------------------------------------------------------------------- optimizers

    def _before_step(self, optimizer: Optimizer) -> None:
        parameters = [own for group in optimizer.param_groups for own in group["params"]]
        mine = [(*self._own[id(own)], own) for own in parameters if id(own) in self._own]
        if self.paused or _capturing():
            return
        if not mine:
            self.trace.strangers[id(optimizer)] = tuple(tuple(own.shape) for own in parameters)
            return
        held = {player: sum(who == player for who, _, _ in mine) for player in ("g", "d")}
        update = Update(
            id(optimizer), type(optimizer).__name__, self.trace.steps,
            tuple(float(group.get("lr", 0)) for group in optimizer.param_groups), held,
        )  # fmt: skip
        for player, name, _own in mine:
            self.trace.held[player].add(name)
        for player in (who for who, count in held.items() if count):
            self._describe_gradient(update, player, [own for who, _, own in mine if who == player])
            self._count_taken(update, player)
        self._before = [(who, own, own.detach().clone()) for who, _, own in _largest(mine)]
        for who, own, now in reversed(self._before):
            tensor, first = self._at_first.setdefault(who, (own, now))
            last = self._last_way.get((id(optimizer), who))
            if last is not None and last[0] is own and (way := float((last[2] - last[1]).norm())) > 0:
                update.left[who] = float((now - last[1]).norm()) / way
            if tensor is own:
                # a part that rests does not come back
                update.as_at_first[who] = who in self._strayed and torch.equal(first, now)
        self.trace.updates.append(update)
        self.trace.order.append(update)

    def _count_taken(self, update: Update, player: str) -> None:
        """Count what `torch.autograd.grad` has given as a backward pass, where no other has left a gradient."""
        if self.trace.grown[player] or not update.norms[player]:
            return
        least = self.trace.held[player]
        for own in [one for one in self._taken.values() if 2 * len(one.hits[player] & least) > len(least)]:
            del self._taken[own.id]
            self.trace.backwards[own.id] = own
            self.trace.order.append(own)

    def _describe_gradient(self, update: Update, player: str, parameters: list[Tensor]) -> None:
        gradients = [own.grad.detach() for own in parameters if own.grad is not None]
        update.norms[player] = float(torch.stack([g.float().norm() for g in gradients]).norm()) if gradients else 0.0
        followed = self._followed.get(player)
        if followed is None:
            update.sources[player] = None
            return
        clear = followed.grad is None or not bool(followed.grad.any())
        update.sources[player] = [] if clear else list(self._pending[player])
        update.cleared[player] = clear and self._grew[player] and bool(self._pending[player])
        left = self._left.get(player)
        if not clear and left is not None and followed.grad is not None and left.shape == followed.grad.shape:
            update.kept[player] = _cosine(left, followed.grad.detach())

    def _after_step(self, optimizer: Optimizer) -> None:
        if self.paused or not self.trace.updates or self.trace.updates[-1].optimizer != id(optimizer):
            return
        update = self.trace.updates[-1]
        for player in ("g", "d"):
            pairs = [(before, own.detach()) for who, own, before in self._before if who == player]
            if pairs:
                changes = [float((after - before).norm()) for before, after in pairs]
                sizes = [float(before.norm()) for before, _ in pairs]
                update.moved[player] = sum(changes) / max(sum(sizes), 1e-30)
                tensor, before = next((own, before) for who, own, before in self._before if who == player)
                self._last_way[id(optimizer), player] = tensor, before, tensor.detach().clone()
            kept, first = self._at_first.get(player, (None, None))
            if kept is not None and first is not None and not torch.equal(kept.detach(), first):
                self._strayed.add(player)
        self._before = []


def _cosine(one: Tensor, other: Tensor) -> float:
    a, b = (own.flatten().double() for own in (one, other))
    return float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-300))


def _largest(mine: list[tuple[str, str, Tensor]]) -> list[tuple[str, str, Tensor]]:
    found = []
    for player in ("g", "d"):
        own = [one for one in mine if one[0] == player and one[2].numel() <= LARGEST and one[2].dim() > 1]
        found += sorted(own, key=lambda one: -one[2].numel())[:MEASURED]
    return found


def _through(method: weakref.WeakMethod[Any], given: Any) -> None:
    alive = method()
    if alive is not None:
        alive(given)


def _of_gradient(method: weakref.WeakMethod[Any], parameter: weakref.ref[Tensor], _: Tensor) -> None:
    own = parameter()
    if own is not None:
        _through(method, own)


def _before(method: weakref.WeakMethod[Any], optimizer: Optimizer, given: Any, named: Any) -> Any:
    """Look at a step's gradients before it, or where it takes a closure, when that has made them: as Lightning does."""
    closure = named.get("closure", given[1] if len(given) > 1 else None)
    if not callable(closure):
        _through(method, optimizer)
        return None
    seen: list[bool] = []

    def told(*its: Any, **own: Any) -> Any:
        loss = closure(*its, **own)
        # one that searches, as LBFGS, calls it often
        if not seen:
            seen.append(True)
            _through(method, optimizer)
        return loss

    if "closure" in named:
        return given, {**named, "closure": told}
    return (given[0], told, *given[2:]), named


_left: list[Any] = []


def leave_hooks(handles: list[Any]) -> None:
    """Leave the hooks of what nobody has any more to the next `remove_hooks`.

    Garbage may be collected amid an optimizer's step, which walks over the hooks of all optimizers.
    """
    _left.extend(handles)
    handles.clear()


def remove_hooks(handles: list[Any]) -> None:
    """Take hooks away, and those that were left, and forget them."""
    for gone in (handles, _left):
        while gone:
            gone.pop().remove()


def _task() -> int:
    """Return the number of the backward pass that is running."""
    return int(torch._C._current_graph_task_id())


def _capturing() -> bool:
    # reading a number while a CUDA graph is captured would break the capture
    return torch.cuda.is_available() and torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
