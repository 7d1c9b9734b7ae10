"""Whether the two losses play against each other: what each wants of fakes, told from the gradients at D's output."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ganbench.monitor.doctor.gradients import classes_asked, is_linear, parts_of, target_of
from ganbench.monitor.doctor.trace import Call, Fault, Trace

FEW = 3
# of scores that are wanted of real samples and of fakes, at least
BETWEEN = 0.1
# of the way from the score that D wants of fakes to that of real samples, what G asks for at least
NEAR = 0.25
# share of numbers that are pulled one way where they are pulled both ways
BOTH = 0.1


def labels_swapped(trace: Trace) -> Iterator[Fault]:
    """Find a generator that pulls the scores of fakes the same way as the discriminator does.

    D's own direction is that of real against fake: with least squares both may be pushed up at first.
    """
    if _reconstructs(trace):
        yield from _energies_swapped(trace)
        return
    if (wanted := _wanted(trace)) is not None:
        yield from _same_target(*wanted)
        return
    if (classes := _classes_wanted(trace)) is not None:
        yield from _same_classes(*classes)
        return
    if _gives_features(trace):
        yield from _features_swapped(trace)
        return
    if (both := _same_way(trace)) is not None:
        yield Fault(
            "labels are swapped: D's loss wants the same of real samples and of fakes", True,
            f"It is linear in the scores and pulls both {'up' if both > 0 else 'down'} at all iterations.",
            "D's loss is the fakes' mean score less the real ones': look at the signs, and at brackets.",
        )  # fmt: skip
        return
    if not (d_way := _direction_of_d(trace)) or not (g_way := _direction_of_g(trace)) or d_way == g_way:
        return
    up = "up" if g_way > 0 else "down"
    yield Fault(
        "labels are swapped between the losses", True,
        f"D's loss puts {'real above fake' if d_way > 0 else 'fake above real'} scores, and G's loss pulls the fakes' "
        f"scores {up}: both want the same, and nobody plays against D.",
        "In G's loss fakes get the label that real samples have in D's loss." if d_way > 0 else
        "In D's loss real samples have the label 1 and fakes 0, in G's loss fakes have 1.",
    )  # fmt: skip


def _same_target(real: float, fake: float, asked: float) -> Iterator[Fault]:
    # half way between both is one of the published choices (Mao et al. 2017)
    if abs(real - fake) > BETWEEN and (asked - fake) / (real - fake) < NEAR:
        yield Fault(
            "labels are swapped between the losses", True,
            f"By least squares D's loss wants {real:.2g} of real samples and {fake:.2g} of fakes, and G's loss wants "
            f"{asked:.2g} of the fakes, too: nobody plays against D.",
            "In G's loss fakes get the label that real samples have in D's loss.",
        )  # fmt: skip


def _wanted(trace: Trace) -> tuple[float, float, float] | None:
    """Return the scores that D's loss wants of real and of fake samples and G's of fakes, where all are least squares.

    Which way a score is pulled depends on where it is; where it is pulled to does not.
    """
    found: dict[str, list[float | None]] = {"real": [], "fake": [], "g": []}
    for player in "dg":
        for call, scores in trace.trained(player):
            if call.kind != "mixed" and (player == "d" or call.kind == "fake") and not call.leaf:
                found["g" if player == "g" else call.kind].append(target_of(scores))
    if not all(len(own) >= FEW for own in found.values()) or any(None in own for own in found.values()):
        return None
    real, fake, asked = (float(np.median([one for one in own if one is not None])) for own in found.values())
    return real, fake, asked


def _classes_wanted(trace: Trace) -> tuple[set[int], set[int], set[int]] | None:
    """Return the classes that D's loss wants of real and of fake samples and G's of fakes, where D gives classes."""
    found: dict[str, list[set[int] | None]] = {"real": [], "fake": [], "g": []}
    for player in "dg":
        for call, scores in trace.trained(player):
            if call.kind != "mixed" and (player == "d" or call.kind == "fake") and not call.leaf:
                width = call.made.shape[1] if call.made.dim() == 2 else 0
                found["g" if player == "g" else call.kind].append(classes_asked(scores, width))
    if not all(len(own) >= FEW for own in found.values()) or any(None in own for own in found.values()):
        return None
    real, fake, asked = ({label for one in own if one is not None for label in one} for own in found.values())
    return real, fake, asked


def _same_classes(real: set[int], fake: set[int], asked: set[int]) -> Iterator[Fault]:
    if asked <= fake and not asked & real:
        yield Fault(
            "labels are swapped between the losses", True,
            f"D's loss asks for the classes {sorted(real)} of real samples and {sorted(fake)} of fakes, and G's loss "
            f"asks for {sorted(asked)} of the fakes, too: nobody plays against D.",
            "In G's loss fakes get the class that real samples have in D's loss.",
        )  # fmt: skip


def _gives_features(trace: Trace) -> bool:
    """Tell whether D's outputs are vectors whose numbers are pulled both ways, and no scores."""
    seen = [(call, scores) for player in "dg" for call, scores in trace.trained(player) if call.kind == "fake"]
    signs = [float((scores.gradient > 0).float().mean()) for _, scores in seen]
    vectors = all(call.made.dim() == 2 and call.made.shape[1] > 1 for call, _ in seen)
    return bool(seen) and vectors and sum(BOTH < sign < 1 - BOTH for sign in signs) > len(signs) / 2


def _features_swapped(trace: Trace) -> Iterator[Fault]:
    """Find a critic by distances of features whose loss, as G's, brings fakes nearer to real samples, or further."""
    roles, real = trace.roles(), torch.zeros(0)
    pulls: dict[str, list[float]] = {"d": [], "g": []}
    for call in trace.calls_of("d"):
        for own, scores in call.back.items():
            whole = len(scores.outputs) == call.count * call.made.shape[1]
            if call.kind == "real" and whole:
                real = scores.outputs.view(call.count, -1).mean(0)
            elif call.kind == "fake" and whole and own in roles and len(real):
                outputs, gradient = (x.view(call.count, -1) for x in (scores.outputs, scores.gradient))
                pulls[roles[own]].append(float((gradient @ (outputs.mean(0) - real)).mean()))
    ways = {player: _sign(own) for player, own in pulls.items()}
    # where nobody tells them apart G's own way is chance
    if ways["d"] > 0 or ways["d"] == ways["g"] == -1:
        whose, near = ("its loss brings", "nearer to") if ways["d"] > 0 else ("both losses bring", "further from")
        yield Fault(
            "labels are swapped between the losses", ways["d"] == ways["g"],
            f"D gives features, and {whose} those of fakes {near} those of real samples.",
            "D's loss is the negative of the distance that G's loss is.",
        )  # fmt: skip


def _energies_swapped(trace: Trace) -> Iterator[Fault]:
    """Find an autoencoder critic whose own loss, as G's, wants the fakes to be reconstructed well."""
    ways = {
        player: _sign([
            float(((call.made - call.head).sign() * _rows_like(scores.gradient, call.made)).sum())
            for call, scores in trace.trained(player)
            if call.kind == "fake" and call.made.shape == call.head.shape and bool(scores.gradient.any())
        ])
        for player in "dg"
    }  # fmt: skip
    if ways["d"] == ways["g"] == 1:
        yield Fault(
            "labels are swapped between the losses", True,
            "D is an autoencoder, and its loss and G's both ask that fakes are reconstructed well: nobody plays "
            "against D.",
            "In D's loss the fakes' error is subtracted: error(real) - k * error(fake).",
        )  # fmt: skip


def _rows_like(gradient: Tensor, made: Tensor) -> Tensor:
    """Return a flattened gradient's first rows, 0 beyond what was kept of it."""
    kept = gradient.new_zeros(made.numel())
    count = min(made.numel(), len(gradient))
    kept[:count] = gradient[:count]
    return kept.view(made.shape)


def _same_way(trace: Trace) -> int | None:
    """Return 1 or -1 where a loss of D's that is linear in the scores pulls real and fake ones up, or down, alike."""
    ways: dict[str, list[float]] = {"real": [], "fake": []}
    for call, scores in trace.trained("d"):
        one_way = bool((scores.gradient > 0).all() or (scores.gradient < 0).all())
        if call.kind == "mixed" or call.leaf or not one_way or not is_linear(scores):
            return None
        ways[call.kind].append(-float(scores.gradient.mean()))
    signs = {_sign(own) for own in ways.values()}
    return signs.pop() or None if len(signs) == 1 else None


def _direction_of_d(trace: Trace) -> int:
    """Return 1 where D's losses separate real above fake scores, -1 the other way, 0 where that is not clear."""
    by_step: dict[int, dict[str, list[float]]] = {}
    for call, scores in trace.trained("d"):
        for kind, gradient in parts_of(call, scores):
            if not len(gradient):
                continue
            by_step.setdefault(call.step, {"real": [], "fake": []})[kind].append(float(gradient.mean()))
    differences = [
        sum(own["fake"]) / len(own["fake"]) - sum(own["real"]) / len(own["real"])
        for own in by_step.values() if own["real"] and own["fake"]
    ]  # fmt: skip
    return _sign(differences)


def _direction_of_g(trace: Trace) -> int:
    return _sign(
        [
            -float(gradient.mean())
            for call, scores in trace.trained("g") if call.attached
            for kind, gradient in parts_of(call, scores) if kind == "fake" and len(gradient)
        ]
    )  # fmt: skip


def _reconstructs(trace: Trace) -> bool:
    """Tell whether D is an autoencoder: its output is no score, nor one for each entry."""
    if any(call.fake_entries is not None for call in trace.calls):
        return False
    own = [call for call in trace.calls_of("d") if call.made.shape[1:] == call.shape and call.made[:1].numel() > 1]
    # scores of every place are pulled one way; a weight of 0 tells nothing
    seen = [(call, scores) for call in own for scores in call.back.values() if bool(scores.gradient.any())]
    both = [BOTH < float((scores.gradient > 0).float().mean()) < 1 - BOTH for _, scores in seen]
    follows = [told for call, scores in seen if (told := _follows_input(call, scores.gradient)) is not None]
    clearly = sum(follows) >= FEW and sum(follows) > len(follows) / 2
    return bool(own) and (not seen or sum(both) > len(seen) / 2 or clearly)


def _follows_input(call: Call, gradient: Tensor) -> bool | None:
    """Tell whether outputs above their input are pulled the other way than those below; None where there are not both.

    Of dark images few are above, and at first all of the fakes may be on one side.
    """
    if call.made.shape != call.head.shape:
        return None
    pulled, above = _rows_like(gradient, call.made), call.made - call.head
    ways = [pulled[side & (pulled != 0)].sign() for side in (above > 0, above < 0)]
    if min(map(len, ways)) < FEW:
        return None
    up, down = (float(own.mean()) for own in ways)
    return min(abs(up), abs(down)) > 1 - BOTH and up * down < 0


def _sign(values: list[float]) -> int:
    # a hinge that is met pulls nowhere
    up, down = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if up + down < FEW or max(up, down) < 0.9 * (up + down):
        return 0
    return 1 if up > down else -1
