"""Rules about how far optimizers move the players: rates, sizes of steps, and what is put back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from ganbench.monitor.doctor.trace import NAMES, OTHER, Fault, Trace

# learning rates this far apart are rarely meant; TTUR's own are 4 apart (Heusel et al. 2017)
RATES_APART = 30.0
# a step that moves weights by this share of their size
TOO_FAR = 0.2
# Adam divides by 1e-8 at least: gradients a hundred times smaller are lost in that, and in the last digit of a weight
NOTHING = 1e-10
# a rate that falls by this a step, over so many of them
FALL, FALLS = 11 / 12, 5
FEW = 3
# of the way of a step that is there at the next one
LEFT = 0.05


def rates(trace: Trace) -> Iterator[Fault]:
    """Find learning rates of 0, and those orders apart."""
    found = {player: [rate for u in trace.of(player) for rate in u.rates] for player in ("g", "d")}
    for player in found:
        by_optimizer: dict[int, list[tuple[float, ...]]] = {}
        for update in trace.of(player):
            by_optimizer.setdefault(update.optimizer, []).append(update.rates)
        still = [own for own in by_optimizer.values() if any(own) and not any(map(any, own))]
        if still:
            yield Fault(
                f"the {NAMES[player]}'s learning rate is 0", True,
                f"It was 0 at all {len(still[0])} steps of {'its' if len(by_optimizer) == 1 else 'an'} optimizer.",
                "Look at the scheduler: one that warms up from 0, or that was stepped to its end.",
            )  # fmt: skip
        elif fallen := [own for own in by_optimizer.values() if _falls(own)]:
            first, last = (max(own) for own in (fallen[0][0], fallen[0][-1]))
            yield Fault(
                f"the {NAMES[player]}'s learning rate is 0 before long", False,
                f"It fell from {first:.3g} to {last:.3g} over {len(fallen[0])} steps of its optimizer.",
                "Look at the scheduler: one for epochs, stepped at every iteration, or a decay mistaken for what "
                "is left.",
            )  # fmt: skip
    kinds = {player: {u.kind for u in trace.of(player)} for player in ("g", "d")}
    if not (any(found["g"]) and any(found["d"])) or kinds["g"] != kinds["d"]:
        return
    g, d = max(found["g"]), max(found["d"])
    if not 1 / RATES_APART < g / d < RATES_APART:
        fast = "g" if g > d else "d"
        yield Fault(
            "learning rates are orders apart", False,
            f"{NAMES[fast].capitalize()} {max(g, d):g}, {NAMES[OTHER[fast]]} {min(g, d):g}: "
            f"{max(g, d) / min(g, d):.0f} times.",
            "Two rates within a factor of 4 or so of each other are what is published (Heusel et al. 2017).",
        )  # fmt: skip


def _falls(rates: list[tuple[float, ...]]) -> bool:
    """Tell whether a rate falls by a twelfth a step and more, on the whole: it is a thousandth after 80 of them."""
    tops = [max(own, default=0.0) for own in rates]
    falls = all(b <= a for a, b in pairwise(tops))
    return len(tops) > FALLS and falls and tops[-1] <= FALL ** (len(tops) - 1) * tops[0]


def step_size(trace: Trace) -> Iterator[Fault]:
    """Find steps that move nothing, or weights by a good share of their size."""
    for player in ("g", "d"):
        steps = [u for u in trace.of(player) if player in u.moved and u.norms[player] > 0 and any(u.rates)]
        if len(steps) < FEW:
            continue
        typical = sorted(u.moved[player] for u in steps)[len(steps) // 2]
        if (largest := max(u.norms[player] for u in steps)) < NOTHING:
            yield Fault(
                f"the {NAMES[player]}'s gradients move nothing", True,
                f"Their norm was at most {largest:.1g} in {len(steps)} steps: what moves its weights, if they do, is "
                "decay or momentum of old.",
                "Look at the weight of its loss and at the bound of clip_grad_norm_.",
            )  # fmt: skip
        elif typical == 0:
            yield Fault(
                f"the {NAMES[player]}'s steps move nothing", True,
                f"{len(steps)} steps with gradients left its largest weights bit for bit what they were.",
                "Gradient or rate is too small for the precision of the weights: clip less, keep float32 weights.",
            )  # fmt: skip
        elif (worst := max(u.moved[player] for u in steps)) > 1 or typical > TOO_FAR or not math.isfinite(typical):
            yield Fault(
                f"the {NAMES[player]}'s steps are too large", False,
                f"One step of {steps[0].kind} at rate {max(steps[0].rates):g} moves its weights by up to "
                f"{worst:.0%} of their size.",
                "Lower the learning rate: Adam's at 1e-4 to 1e-3 moves them by less than 5 %.",
            )  # fmt: skip


def turns(trace: Trace) -> Iterator[Fault]:
    """Find a player that is stepped ten times as often as the other."""
    g, d = len(trace.of("g")), len(trace.of("d"))
    if min(g, d) >= 2 and max(g, d) >= 10 * min(g, d):
        yield Fault(
            "one player steps ten times as often", False, f"{d} steps of the discriminator, {g} of the generator.",
            "Critics are trained 1 to 5 steps a step of G in print (Arjovsky et al. 2017).",
        )  # fmt: skip


def put_back(trace: Trace) -> Iterator[Fault]:
    """Find a player whose weights are at each iteration's begin what they were at first, although steps move them.

    Or nearly: an average of them that is put in their place takes over what it has moved itself, and no more.
    """
    for player in ("g", "d"):
        # the average begins as the weights after the first step
        left = [update.left[player] for update in trace.of(player) if player in update.left][1:]
        if len(left) >= FEW and 0 < max(left) < LEFT:
            yield Fault(
                f"the {NAMES[player]}'s steps hardly move it, for it is put back", False,
                f"Of each of {len(left)} steps of its optimizer at most {max(left):.2%} was left when the next began.",
                "Where an average of the weights is tried or saved, swap it in, and swap the weights back after that.",
            )  # fmt: skip
        firsts = list({update.step: update for update in reversed(trace.of(player))}.values())[-2::-1]
        moved = [update for update in trace.of(player) if update.moved.get(player)]
        if len(moved) >= FEW and len(firsts) >= FEW and all(update.as_at_first.get(player) for update in firsts):
            yield Fault(
                f"the {NAMES[player]}'s steps move nothing, for it is put back", True,
                f"Its largest weights were bit for bit what they were at first before the first step of each of "
                f"{len(firsts) + 1} iterations, and its optimizer moved them {len(moved)} times in between.",
                "Look at load_state_dict and at copies: what is put back has to be newer than the steps that count.",
            )  # fmt: skip
