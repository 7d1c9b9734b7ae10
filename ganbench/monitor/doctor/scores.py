"""Rules about D's scores: what the losses do with them, told from the gradients that come back to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ganbench.monitor.doctor.gradients import is_linear, is_of_logits, target_of
from ganbench.monitor.doctor.trace import Call, Fault, Scores, Trace

FEW = 3
# weights that all end at one value are clipped there; WGAN's own is .01
TIGHT = 1e-3
# of scores that are wanted of real samples and of fakes, at least
BETWEEN = 0.1
# share of numbers that are pulled one way where they are pulled both ways
BOTH = 0.1
WEIGHED = "At all iterations its gradient was exactly 0 at the scores of"
# of the way from the score that D wants of fakes to that of real samples, what G asks for at least
NEAR = 0.25


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
    if _gives_features(trace):
        yield from _features_swapped(trace)
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


def _direction_of_d(trace: Trace) -> int:
    """Return 1 where D's losses separate real above fake scores, -1 the other way, 0 where that is not clear."""
    by_step: dict[int, dict[str, list[float]]] = {}
    for call, scores in trace.trained("d"):
        for kind, gradient in _parts(call, scores):
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
            for kind, gradient in _parts(call, scores) if kind == "fake" and len(gradient)
        ]
    )  # fmt: skip


def _reconstructs(trace: Trace) -> bool:
    """Tell whether D is an autoencoder: its output is no score, nor one for each entry."""
    if any(call.fake_entries is not None for call in trace.calls):
        return False
    return any(call.made.shape[1:] == call.shape and call.made[:1].numel() > 1 for call in trace.calls_of("d"))


def _sign(values: list[float]) -> int:
    up, down = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if len(values) < FEW or max(up, down) < 0.9 * len(values):
        return 0
    return 1 if up > down else -1


def _parts(call: Call, scores: Scores) -> Iterator[tuple[str, Tensor]]:
    if call.kind != "mixed":
        yield call.kind, scores.gradient
    elif call.fake_entries is not None:
        own = call.fake_entries.flatten()[: len(scores.gradient)]
        yield "fake", scores.gradient[: len(own)][own]
        yield "real", scores.gradient[: len(own)][~own]
    elif len(scores.gradient) % call.count == 0:
        each = scores.gradient.view(call.count, -1)
        fake = torch.zeros(call.count, dtype=torch.bool, device=each.device)
        fake[call.fake_rows or slice(0, 0)] = True
        yield "fake", each[fake].flatten()
        yield "real", each[~fake].flatten()


def one_side_only(trace: Trace) -> Iterator[Fault]:
    """Find a discriminator whose loss knows no real, or no fake samples."""
    trained = list(trace.trained("d"))
    seen = [call for call, _ in trained]
    steps = {call.step for call in seen}
    if len(steps) < FEW:
        return
    kinds = {call.kind for call in seen}
    unweighed = _without_weight(trained)
    if kinds == {"fake"} or unweighed == "real":
        yield Fault(
            "D's loss has no real samples", not unweighed,
            f"{WEIGHED} real ones." if unweighed else f"All {len(seen)} scores in it, over {len(steps)} iterations, "
            "are of what the generator made.", "Give D the real batch for its first term, with a weight.",
        )  # fmt: skip
    elif (kinds == {"real"} and (_same_twice(seen) or _same_in_pass(seen))) or unweighed == "fake":
        yield Fault(
            "D's loss has no fakes", not unweighed,
            f"{WEIGHED} fakes." if unweighed else "Every term of it is computed on the same real batch, over "
            f"{len(steps)} iterations.", "Give D `fake.detach()` for its second term, with a weight.",
        )  # fmt: skip


def _without_weight(trained: list[tuple[Call, Scores]]) -> str:
    """Return whose scores get a gradient of exactly 0 from D's loss at all steps, "real" or "fake", or ""."""
    parts = [list(_parts(call, scores)) for call, scores in trained]
    if not all(parts):
        return ""
    moved = {kind: any(bool(gradient.any()) for one in parts for whose, gradient in one if whose == kind)
             for kind in ("real", "fake") if any(whose == kind for one in parts for whose, _ in one)}  # fmt: skip
    still = [kind for kind, does in moved.items() if not does]
    return still[0] if len(moved) == 2 and len(still) == 1 else ""


def _same_twice(seen: list[Call]) -> bool:
    by_step: dict[int, list[Call]] = {}
    for call in seen:
        by_step.setdefault(call.step, []).append(call)
    return all(all(torch.equal(a.head, b.head) for a, b in pairwise(own)) for own in by_step.values())


def _same_in_pass(seen: list[Call]) -> bool:
    """Tell whether every backward pass of D's has two calls or more, all of one batch."""
    by_pass: dict[int, list[Call]] = {}
    for call in seen:
        for own in call.back:
            by_pass.setdefault(own, []).append(call)
    return all(len(own) > 1 and all(torch.equal(a.head, b.head) for a, b in pairwise(own)) for own in by_pass.values())


def sigmoid_twice(trace: Trace) -> Iterator[Fault]:
    """Find probabilities in a loss for logits: the gradient is sigmoid(p) - y, where BCELoss has (p - y) / (p (1 - p)).

    Both are those of a mean over the batch; labels may be smoothed. A linear loss on probabilities is named too.
    """
    seen = [one for player in "dg" for one in trace.trained(player)]
    # a penalty's second derivative comes back to the scores of its own call
    ended = [(c, scores) for c, scores in seen if c.ends in ("sigmoid", "softmax") and not c.leaf]
    # one of the losses may be as it should
    by_player = [[(c, s) for c, s in trace.trained(player) if any(c is one for one, _ in ended)] for player in "dg"]
    for own in (ended, *by_player):
        twice = [1 for _, scores in own if is_of_logits(scores)]
        if len(twice) >= FEW and len(twice) >= 0.8 * len(own):
            yield Fault(
                "a sigmoid twice: probabilities go into a loss for logits", True,
                f"D ends in a {own[0][0].ends}, and in {len(twice)} of {len(own)} cases the gradient of its output p "
                "is sigmoid(p) - label: the loss takes its own sigmoid.",
                "Leave out D's sigmoid, or use BCELoss instead of BCEWithLogitsLoss.",
            )  # fmt: skip
            return
    linear = [1 for _, scores in ended if is_linear(scores)]
    if len(linear) >= FEW and len(linear) >= 0.8 * len(ended):
        yield Fault(
            "a critic's scores are bounded by a sigmoid", True,
            f"D ends in a {ended[0][0].ends}, and its loss is linear in that (Wasserstein, or hinge).",
            "Leave out D's last sigmoid: such losses take scores without bounds.",
        )  # fmt: skip


def constant_scores(trace: Trace) -> Iterator[Fault]:
    """Find a discriminator that says the same number to everything, and a generator that makes one sample."""
    calls = [c for c in trace.calls_of("d") if c.count > 1 and c.back and not c.equal_rows]
    # the standard deviation of equal numbers is not always 0 in floats
    same = [c for c in calls if c.made_equal and c.made_scale.std <= 1e-6 * abs(c.made_scale.mean) + 1e-12]
    # weights that are next to nothing are told as such
    if len(same) >= FEW and len(same) > 0.8 * len(calls) and not any(True for _ in clipped_weights(trace)):
        why = (
            "a softmax over one output is always 1"
            if same[0].ends == "softmax"
            else "its units are dead, or its \
input is multiplied by 0"
        )
        yield Fault(
            "D gives the same score to everything", True,
            f"{same[0].made_scale.mean:.3g} for all samples in {len(same)} of {len(calls)} batches: {why}.",
            "End D in a plain linear output; leaky instead of hard ReLU.",
        )  # fmt: skip
    made = [c for c in trace.calls_of("g") if c.count > 1 and not c.equal_rows]
    alike = [call for call in made if call.made_equal]
    labelled = [same for call in made for same in [_equal_for_a_label(call)] if same is not None]
    if len(alike) >= FEW and len(alike) > 0.8 * len(made):
        yield Fault(
            "G ignores its input", True, f"Its samples were equal for different inputs in {len(alike)} of {len(made)} "
            "batches.", "Look for an input that is multiplied by 0, dead units, or an output that is saturated.",
        )  # fmt: skip
    elif len(labelled) >= FEW and all(labelled):
        yield Fault(
            "G ignores its input", True, "Its samples for one label were equal for different latents in all of "
            f"{len(labelled)} batches.", "Look at forward(): the latent is left out, or multiplied by 0.",
        )  # fmt: skip


def _equal_for_a_label(call: Call) -> bool | None:
    """Tell whether samples of one condition are equal where their inputs differ; None where there are no two."""
    own = [one.reshape(len(one), -1).float() for one in call.conditions if one.dim() and len(one) == len(call.head)]
    if not own or len(call.made) != len(call.head):
        return None
    given = torch.cat(own, 1)
    same = (given[:, None] == given).all(2)
    other = (call.head.flatten(1)[:, None] != call.head.flatten(1)).any(2)
    made = call.made.flatten(1)
    pairs = same & other
    if not bool(pairs.any()):
        return None
    gaps = (made[:, None] - made).abs().amax(2)
    return bool((gaps[pairs] <= 1e-6 * made.abs().max()).all())


def no_pull(trace: Trace) -> Iterator[Fault]:
    """Find a generator whose loss gets nothing from D's scores, where D is trained: detached, or with a weight of 0."""
    seen = list(trace.trained("g"))
    fakes = [call for call, _ in seen if call.maker is not None]
    if len(fakes) >= FEW and not any(call.attached for call, _ in seen):
        yield Fault(
            "G's adversarial term is computed on detached fakes", True,
            f"In none of {len(fakes)} calls of D for its loss can a gradient reach G.",
            "Give D `fake` itself in G's loss; only D's own loss takes `fake.detach()`.",
        )  # fmt: skip
    played = [update for update in trace.of("g") if update.sources.get("g") and not trace.is_joint()]
    # scores that are rewards of what G has drawn, as in imitation learning
    rewards = [c for c in trace.calls_of("d") if not c.graded]
    is_imitation = len(rewards) >= FEW and not any(c.maker for c in trace.calls_of("d"))
    trained = {call.step for call, _ in trace.trained("d")}
    if not seen and len(played) >= FEW and len(trained) >= FEW and not is_imitation:
        yield Fault(
            "G's loss gets nothing from D", False,
            f"D is trained, and none of its scores was in a loss of G's {len(played)} steps.",
            "Give G the scores of the D that is trained, not of a copy; or its adversarial term comes later.",
        )  # fmt: skip
    pulls = [float(scores.gradient.abs().max()) for call, scores in seen if call.attached]
    if len(pulls) >= FEW and max(pulls) == 0 and len(trace.of("d")) >= FEW:
        yield Fault(
            "G's loss gets nothing from D", False,
            f"The gradient of its loss by D's scores was exactly 0 at {len(pulls)} of {len(pulls)} backward passes.",
            "Look at the weight of the adversarial term; a hinge belongs in D's loss only, G's is -D(fake).mean().",
        )  # fmt: skip


def penalty_without_graph(trace: Trace) -> Iterator[Fault]:
    """Find gradient penalties that do not train D, and those through batch norm."""
    roles = trace.roles()
    extra = [
        (call, scores) for call in trace.calls_of("d") if call.leaf
        for one, scores in call.back.items() if one not in roles
    ]  # fmt: skip
    plain = [1 for _, scores in extra if not scores.creates_graph]
    if plain and len(plain) == len(extra):
        # a lazy one is seen once or twice, as a measurement may be
        yield Fault(
            "a gradient penalty that trains nothing", len(plain) >= FEW,
            f"D's gradient by its input was taken {len(plain)} times, always without create_graph.",
            "torch.autograd.grad(..., create_graph=True): without it the penalty is a constant.",
        )  # fmt: skip
    norms = [name for name, part in trace.players["d"].named_modules()
             if isinstance(part, nn.modules.batchnorm._BatchNorm)]  # fmt: skip
    if len(extra) >= FEW and norms and extra[0][0].training:
        yield Fault(
            "a gradient penalty through batch norm", False,
            f"D has {len(norms)} batch norms; the penalty is meant for each sample by itself (Gulrajani et al. 2017).",
            "Take layer norm, or none, in D.",
        )  # fmt: skip


def clipped_weights(trace: Trace) -> Iterator[Fault]:
    """Find weights that are clipped so tightly that D can say next to nothing."""
    weights = [own.detach().abs().float() for own in trace.players["d"].parameters() if own.dim() > 1]
    if len(weights) < 2 or not trace.of("d"):
        return
    tops = torch.stack([own.max() for own in weights])
    bound = float(tops.max())
    share = min(float((own >= bound * (1 - 1e-6)).float().mean()) for own in weights)
    if 0 < bound <= TIGHT and float(tops.min()) >= bound * (1 - 1e-6) and share > 0.2:
        yield Fault(
            "D's weights are clipped very tightly", False,
            f"All end at {bound:.3g}, with at least {share:.0%} of each layer at that bound.",
            "WGAN clips at .01 (Arjovsky et al. 2017); a gradient penalty or spectral norm does without.",
        )  # fmt: skip
