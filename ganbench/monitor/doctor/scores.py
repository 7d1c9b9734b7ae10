"""Rules about D's scores: what the losses do with them, told from the gradients that come back to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from ganbench.monitor.doctor.gradients import is_linear, is_of_difference, is_of_logits, is_of_logits_by_class, parts_of
from ganbench.monitor.doctor.trace import Call, Fault, Scores, Trace

FEW = 3
# weights that all end at one value are clipped there; WGAN's own is .01
TIGHT = 1e-3
WEIGHED = "At all iterations its gradient was exactly 0 at the scores of"


def _is_of_logits(call: Call, scores: Scores) -> bool:
    if call.ends == "softmax" and call.made.dim() == 2 and call.made.shape[1] > 1:
        return is_of_logits_by_class(scores, call.made.shape[1])
    return is_of_logits(scores)


def _is_relativistic(trace: Trace, call: Call, scores: Scores) -> bool:
    """Tell whether a gradient is a relativistic loss's for logits, by what D said of the others in its pass."""
    passes = [one for one, its in call.back.items() if its is scores]
    beside = [(other, other.back[one]) for one in passes for other in trace.scored(one)
              if other.kind != call.kind and other.network == call.network]  # fmt: skip
    return any(is_of_difference(scores, its, call.count, other.count) for other, its in beside)


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
    parts = [list(parts_of(call, scores)) for call, scores in trained]
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
    ended = [(c, scores) for c, scores in ended if not any(own.creates_graph for own in c.back.values())] or ended
    # one of the losses may be as it should
    by_player = [[(c, s) for c, s in trace.trained(player) if any(c is one for one, _ in ended)] for player in "dg"]
    for own in (ended, *by_player):
        twice = [1 for call, scores in own if _is_of_logits(call, scores) or _is_relativistic(trace, call, scores)]
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
    seen, roles = list(trace.trained("g")), trace.roles()
    # features of D, too
    used = [call for call in trace.calls_of("d") if any(roles.get(own) == "g" for own in {*call.back, *call.reached})]
    fakes = [call for call in used if call.maker is not None]
    # fakes that are changed on their way are not known again where they are detached
    known, changed = len(fakes) >= FEW, len(used) >= FEW and not any(call.maker for call in trace.calls_of("d"))
    if (known or (changed and not trace.is_joint())) and not any(call.attached for call in used):
        yield Fault(
            "G's adversarial term is computed on detached fakes", known,
            f"In none of {len(fakes) if known else len(used)} calls of D for its loss can a gradient reach G.",
            "Give D `fake` itself in G's loss; only D's own loss takes `fake.detach()`.",
        )  # fmt: skip
    played = [update for update in trace.of("g") if update.sources.get("g") and not trace.is_joint()]
    # scores that are rewards of what G has drawn, as in imitation learning
    rewards = [c for c in trace.calls_of("d") if not c.graded]
    is_imitation = len(rewards) >= FEW and not any(c.maker for c in trace.calls_of("d"))
    trained = {call.step for call, _ in trace.trained("d")}
    if not used and len(played) >= FEW and len(trained) >= FEW and not is_imitation:
        yield Fault(
            "G's loss gets nothing from D", False,
            f"D is trained, and nothing of its output was in a loss of G's {len(played)} steps.",
            "Give G the scores of the D that is trained, not of a copy; or its adversarial term comes later.",
        )  # fmt: skip
    pulls = [float(scores.gradient.abs().max()) for call, scores in seen if call.attached]
    if len(pulls) >= FEW and max(pulls) == 0 and len(trace.of("d")) >= FEW and not trace.rests():
        yield Fault(
            "G's loss gets nothing from D", False,
            f"The gradient of its loss by D's scores was exactly 0 at {len(pulls)} of {len(pulls)} backward passes.",
            "Look at the weight of the adversarial term; a hinge belongs in D's loss only, G's is -D(fake).mean().",
        )  # fmt: skip


def penalty_without_graph(trace: Trace) -> Iterator[Fault]:
    """Find gradient penalties that do not train D, and those through batch norm."""
    roles = trace.roles()
    # between a real sample and a fake that was not detached there is no leaf, and no loss but the penalty
    between = [
        call for call in trace.calls_of("d") if call.attached and not call.maker and not roles.keys() & call.back
    ]
    own = [call for call in trace.calls_of("d") if call.leaf or any(call is one for one in between)]
    extra = [(call, scores) for call in own for one, scores in call.back.items() if one not in roles]
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
