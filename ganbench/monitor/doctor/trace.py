"""What a doctor has seen of a loop in a few iterations: calls of both players, backward passes, optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

OTHER = {"g": "d", "d": "g"}
NAMES = {"g": "generator", "d": "discriminator"}


@dataclass(frozen=True)
class Scale:
    """The numbers of a tensor in four: lowest, highest, mean and standard deviation."""

    low: float
    high: float
    mean: float
    std: float

    @classmethod
    def of(cls, x: Tensor) -> Scale:
        """Measure a tensor of any shape."""
        x = x.detach().float()
        spread = x.std(correction=0)
        return cls(*torch.stack([x.min(), x.max(), x.mean(), spread]).tolist())

    def __str__(self) -> str:
        return f"[{self.low:.3g}, {self.high:.3g}], mean {self.mean:.3g}, standard deviation {self.std:.3g}"


@dataclass(frozen=True)
class Scores:
    """A discriminator's outputs in one call, [m], and the gradient of a loss that came back to them."""

    outputs: Tensor
    gradient: Tensor
    creates_graph: bool


@dataclass
class Call:
    """One forward pass of a player.

    count: of samples; head: the first rows of its input; made: those of its output; conditions: those of what else it
    was given, also as further channels of fakes. kind: for a discriminator "real", "fake" or "mixed"; fake_entries:
    which numbers of the head G made, where the others are real and each has a score; known: a number for the samples of
    a real batch in any order, 0 where they are too flat to be told apart; attached: whether gradients reach the
    generator through its input; leaf: whether its input takes a gradient of its own, as a penalty's does. back:
    gradients that came back to its scores, by backward pass; reached: passes that came to any of its output; passed:
    gradients of a generator's output and of a discriminator's input, first rows, by pass. network: which of a player's
    networks it was; part: whether it was one of its parts, called alone; both: whether D was given real samples and
    fakes beside each other; within: for a part of D, which network it is of; graded: whether its output takes
    gradients.
    """

    player: str
    step: int
    training: bool
    count: int
    shape: tuple[int, ...]
    head: Tensor
    scale: Scale
    equal_rows: bool
    made: Tensor
    made_scale: Scale
    made_equal: bool
    ends: str
    network: int = 0
    part: bool = False
    both: bool = False
    within: int = 0
    graded: bool = True
    conditions: tuple[Tensor, ...] = ()
    kind: str = ""
    attached: bool = False
    leaf: bool = False
    fake_rows: slice | None = None
    fake_entries: Tensor | None = None
    known: int = 0
    maker: Call | None = None
    back: dict[int, Scores] = field(default_factory=dict)
    reached: set[int] = field(default_factory=set)
    passed: dict[int, Tensor] = field(default_factory=dict)

    def is_of_rows(self, beside: Tensor) -> bool:
        """Tell whether what D was given beside its samples has a row for each of them, some of which are fakes."""
        return self.fake_rows is not None and beside.dim() > 0 and len(beside) == self.count


@dataclass
class Backward:
    """One backward pass that reached `.grad`: whose parameters, and which of them."""

    id: int
    step: int
    hits: dict[str, set[str]] = field(default_factory=lambda: {"g": set(), "d": set()})


@dataclass
class Update:
    """One step of an optimizer that holds parameters of a player.

    held: how many parameters of each player it holds. sources: by player the backward passes whose sum its gradient
    was, None where that is not known; cleared: whether what they left was cleared before the step; norms: of the
    gradients, by player; moved: the change of some tensors over their size, by player; as_at_first: whether a large
    tensor is what it was before the first step of all; kept: cosine of a tensor's gradient and of what the last
    backward pass left of it; left: how far a large tensor is from where this optimizer's last step began, over the way
    of that step.
    """

    optimizer: int
    kind: str
    step: int
    rates: tuple[float, ...]
    held: dict[str, int]
    sources: dict[str, list[int] | None] = field(default_factory=dict)
    cleared: dict[str, bool] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    as_at_first: dict[str, bool] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)

    def mainly(self) -> str:
        """Return the player that it holds more of."""
        return max(self.held, key=lambda player: self.held[player])


@dataclass
class Trace:
    """What was seen: the players, and all events in their order. Steps count iterations of the loop from 0.

    held: names of parameters that some optimizer stepped; grown: of those that got a gradient; followed: of those that
    took gradients at some time; strangers: by optimizer
    without a parameter of either, the shapes of what it holds; grad_broken: iterations with a gradient not finite;
    latents, real: those of a probe, the latter with their shape; waiting: whether D's turn is still waited for.
    """

    players: dict[str, nn.Module]
    calls: list[Call] = field(default_factory=list)
    backwards: dict[int, Backward] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    order: list[Backward | Update] = field(default_factory=list)
    held: dict[str, set[str]] = field(default_factory=lambda: {"g": set(), "d": set()})
    grown: dict[str, set[str]] = field(default_factory=lambda: {"g": set(), "d": set()})
    followed: dict[str, set[str]] = field(default_factory=lambda: {"g": set(), "d": set()})
    strangers: dict[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    grad_broken: dict[str, int] = field(default_factory=lambda: {"g": 0, "d": 0})
    steps: int = 0
    loader: Any = None
    latents: Scale | None = None
    real: tuple[tuple[int, ...], Scale] | None = None
    waiting: bool = False

    def of(self, player: str) -> list[Update]:
        """Return the optimizer steps that are meant for a player: where it holds more of it, or both."""
        return [update for update in self.updates if self.is_joint() or update.mainly() == player]

    def is_joint(self) -> bool:
        """Tell whether every step is of both players: what goes backward is D's loss, and G's by a reversal."""
        return bool(self.updates) and all(all(update.held.values()) for update in self.updates)

    def roles(self) -> dict[int, str]:
        """Return by backward pass whose loss it was: of the player that the next optimizer step is for.

        Passes before a step of the other player, as where both losses go backward first, are told by what they reach.
        """
        found: dict[int, str] = {}
        waiting: list[Backward] = []
        for event in self.order:
            if isinstance(event, Backward):
                waiting.append(event)
                continue
            for own in waiting:
                found[own.id] = event.mainly()
            waiting = []
        if self.is_joint():
            return dict.fromkeys(found, "d")
        if len(set(found.values())) < 2:
            return {own: self._by_reach(own, role, list(found)) for own, role in found.items()}
        return found

    def _by_reach(self, own: int, role: str, passes: Sequence[int]) -> str:
        """Return whose loss a pass was: G's reaches G through fakes, also where it compares them with real ones."""
        if not self.scored(own):
            return role
        reaching = [other for other in passes if any(call.attached for call in self.scored(other))]
        others = [other for other in passes if other not in reaching and self.scored(other)]
        alone = {call.kind for call in self.scored(own)} == {"fake"}
        return "g" if own in reaching and (alone or others) else "d"

    def scored(self, own: int) -> list[Call]:
        """Return the discriminator's calls whose scores a backward pass went through."""
        return [call for call in self.calls if call.player == "d" and own in call.back]

    def trained(self, player: str) -> Iterator[tuple[Call, Scores]]:
        """Yield the discriminator's calls in losses of a player, with the gradients that came back."""
        for own, role in self.roles().items():
            if role == player:
                for call in self.scored(own):
                    yield call, call.back[own]

    def rests(self) -> bool:
        """Tell whether all losses weigh D's scores by exactly 0, as they do before a start that comes later."""
        own = [update for update in self.of("d") if self.grown["d"]]
        still = all(update.norms.get("d") == 0 and not update.cleared.get("d") for update in own)
        pulls = [scores.gradient for player in "dg" for _, scores in self.trained(player)]
        return len(own) > 1 and still and len(pulls) > 1 and not any(bool(one.any()) for one in pulls)

    def is_reversed(self) -> bool:
        """Tell whether G gets the negative of the gradient at D's input, as through a gradient reversal."""
        told = []
        for call in self.calls:
            for own in call.passed if call.maker else ():
                made = call.maker.passed.get(own) if call.maker else None
                if made is not None and made.shape == call.passed[own].shape and bool(made.any()):
                    a, b = made.flatten().float(), call.passed[own].flatten().float()
                    told.append(float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-30)) < -0.5)
        return len(told) >= 3 and sum(told) > len(told) / 2

    def calls_of(self, player: str, kind: str | None = None) -> list[Call]:
        """Return the calls of a player, of one kind if given."""
        return [call for call in self.calls if call.player == player and kind in (None, call.kind)]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a loop's wiring, or may be.

    name: a few words; certain: whether it follows from what was seen, or is likely; evidence: what was seen, in
    numbers; change: what to do about it.
    """

    name: str
    certain: bool
    evidence: str
    change: str

    def __str__(self) -> str:
        return f"{'certain' if self.certain else 'perhaps'}: {self.name}. {self.evidence} {self.change}"
