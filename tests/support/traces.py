"""What a doctor may have seen of a loop, written by hand: `Game` is filled turn by turn, and a rule is asked of it."""

import gc
from itertools import pairwise

import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from ganbench.monitor.doctor.trace import Backward, Call, Scale, Scores, Trace, Update
from ganbench.monitor.doctor.watching import remove_hooks

ROWS = 4
WIDE = Scale(-1.0, 1.0, 0.0, 0.5)


def network(*sizes):
    """Linear layers of these sizes."""
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))


def call(player="d", step=0, **given):
    """One forward pass of four samples of two numbers, all different."""
    head = given.pop("head", torch.arange(2.0 * ROWS).reshape(ROWS, 2) + 100 * step + 0.5)
    given = {
        "training": True, "count": len(head), "shape": (2,), "scale": WIDE, "equal_rows": False,
        "made": torch.zeros(ROWS, 1), "made_scale": WIDE, "made_equal": False, "ends": "", **given,
    }  # fmt: skip
    return Call(player=player, step=step, head=head, **given)


def scores(gradient, outputs=None, creates_graph=False):
    gradient = torch.as_tensor(gradient)
    return Scores(torch.zeros_like(gradient) if outputs is None else torch.as_tensor(outputs), gradient, creates_graph)


class Game:
    """A trace that is written turn by turn."""

    def __init__(self, g=None, d=None, **given):
        self.trace = Trace({"g": g or network(3, 4, 2), "d": d or network(2, 4, 1)}, **given)
        self.passes = 0

    def backward(self, reaches="d", *seen):
        """A backward pass that reaches players, through calls of D with their scores; its number."""
        self.passes += 1
        hits = {who: {"0.weight"} if who in reaches else set() for who in "gd"}
        own = Backward(self.passes, self.trace.steps, hits)
        self.trace.backwards[own.id] = own
        self.trace.order.append(own)
        for one, came in seen:
            one.back[own.id] = came
            self.add(one)
        return own.id

    def add(self, *calls):
        self.trace.calls += [one for one in calls if not any(one is known for known in self.trace.calls)]

    def update(self, player, *sources, optimizer=None, kind="Adam", rates=(1e-3,), held=None, **given):
        """A step of a player's optimizer on the sum of some passes."""
        held = held or {who: 4 * (who == player) for who in "gd"}
        own = Update(optimizer or 1 + (player == "d"), kind, self.trace.steps, rates, held,
                     {player: list(sources)}, {player: given.pop("cleared", False)},
                     {player: given.pop("norm", 1.0)})  # fmt: skip
        if "moved" in given:
            own.moved[player] = given["moved"]
        self.trace.updates.append(own)
        self.trace.order.append(own)
        return own

    def turn(self, player, *seen, **given):
        """A backward pass of a player's loss, and the step on it."""
        self.update(player, self.backward("gd" if player == "g" else "d", *seen), **given)

    def rest(self, player, times, **given):
        """Steps of a player's optimizer without any backward pass."""
        for _ in range(times):
            self.update(player, **given)
        return self

    def told(self, rule):
        """What a rule says: name, whether it is certain, and the evidence."""
        return [(fault.name, fault.certain, fault.evidence) for fault in rule(self.trace)]

    def names(self, rule):
        return [fault.name for fault in rule(self.trace)]


class Same(nn.Module):
    """A generator that hands its input on, so that a test decides what it makes; a label goes by."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x, label=None):
        return x * self.weight


class Sum(Same):
    """A discriminator that scores a sample by its sum."""

    def forward(self, x, label=None):
        return (x.flatten(1).sum(1) if x.dim() > 1 else x) * self.weight


def hooks(forget=False):
    """How many hooks all optimizers have, before a step and after it; `forget` those of what nobody has any more."""
    if forget:
        gc.collect()
        remove_hooks([])
    return len(_global_optimizer_pre_hooks), len(_global_optimizer_post_hooks)
