"""Rules about D's scores: what the losses do with them, told from the gradients that come back to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.monitor.doctor.trace import Call, Fault, Scores, Trace

FEW = 3
# weights that all end at one value are clipped there; WGAN's own is .01
TIGHT = 1e-3
BOTH = 0.1


def labels_swapped(trace: Trace) -> Iterator[Fault]:
    """Find a generator that pulls the scores of fakes the same way as the discriminator does.

    D's own direction is that of real against fake: with least squares both may be pushed up at first.
    """
    if _reconstructs(trace):
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


def _direction_of_d(trace: Trace) -> int:
    """Return 1 where D's losses separate real above fake scores, -1 the other way, 0 where that is not clear."""
    by_step: dict[int, dict[str, list[float]]] = {}
    for call, scores in trace.trained("d"):
        for kind, gradient in _parts(call, scores):
            by_step.setdefault(call.step, {"real": [], "fake": []})[kind].append(float(gradient.mean()))
    differences = [
        sum(own["fake"]) / len(own["fake"]) - sum(own["real"]) / len(own["real"])
        for own in by_step.values() if own["real"] and own["fake"]
    ]  # fmt: skip
    return _sign(differences)


def _direction_of_g(trace: Trace) -> int:
    return _sign(
        [-float(scores.gradient.mean()) for call, scores in trace.trained("g") if call.kind == "fake" and call.attached]
    )


def _reconstructs(trace: Trace) -> bool:
    """Tell whether D is an autoencoder: its output is no score, and to raise it is neither for nor against."""
    return any(call.made.shape[1:] == call.shape and call.made[:1].numel() > 1 for call in trace.calls_of("d"))


def _sign(values: list[float]) -> int:
    up, down = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if len(values) < FEW or max(up, down) < 0.9 * len(values):
        return 0
    return 1 if up > down else -1


def _parts(call: Call, scores: Scores) -> Iterator[tuple[str, Tensor]]:
    if call.kind != "mixed":
        yield call.kind, scores.gradient
    elif len(scores.gradient) == call.count:
        fake = torch.zeros(call.count, dtype=torch.bool)
        fake[call.fake_rows or slice(0, 0)] = True
        yield "fake", scores.gradient[fake.to(scores.gradient.device)]
        yield "real", scores.gradient[~fake.to(scores.gradient.device)]


def one_side_only(trace: Trace) -> Iterator[Fault]:
    """Find a discriminator whose loss knows no real, or no fake samples."""
    trained = list(trace.trained("d"))
    seen = [call for call, _ in trained]
    steps = {call.step for call in seen}
    kinds = {call.kind for call in seen}
    # who raises some scores of a batch and lowers others of it has both in it, as where entries of a row are imputed
    if len(steps) < FEW or sum(_both_ways(scores.gradient) for _, scores in trained) > len(trained) / 2:
        return
    if kinds == {"fake"}:
        yield Fault(
            "D's loss has no real samples", True, f"All {len(seen)} scores in it, over {len(steps)} iterations, are of "
            "what the generator made.", "Give D the real batch for its first term.",
        )  # fmt: skip
    elif kinds == {"real"} and _same_twice(seen):
        yield Fault(
            "D's loss has no fakes", True, "Every term of it is computed on the same real batch, over "
            f"{len(steps)} iterations.", "Give D `fake.detach()` for its second term.",
        )  # fmt: skip


def _both_ways(gradient: Tensor) -> bool:
    """Tell whether a loss raises a tenth or more of some scores, and lowers as many."""
    shares = [float((gradient * sign > 0).float().mean()) for sign in (1, -1)]
    return min(shares) >= BOTH


def _same_twice(seen: list[Call]) -> bool:
    by_step: dict[int, list[Call]] = {}
    for call in seen:
        by_step.setdefault(call.step, []).append(call)
    return all(all(torch.equal(a.head, b.head) for a, b in pairwise(own)) for own in by_step.values())


def sigmoid_twice(trace: Trace) -> Iterator[Fault]:
    """Find probabilities in a loss for logits: the gradient is sigmoid(p) - y, where BCELoss has (p - y) / (p (1 - p)).

    Both are those of a mean over the batch; labels may be smoothed. A linear loss on probabilities is named too.
    """
    seen = [one for player in "dg" for one in trace.trained(player)]
    # a penalty's second derivative comes back to the scores of its own call
    ended = [(c, scores) for c, scores in seen if c.ends in ("sigmoid", "softmax") and c.kind != "mixed" and not c.leaf]
    twice = [1 for _, scores in ended if _logit_loss_on(scores)]
    if len(twice) >= FEW and len(twice) >= 0.8 * len(ended):
        yield Fault(
            "a sigmoid twice: probabilities go into a loss for logits", True,
            f"D ends in a {ended[0][0].ends}, and in {len(twice)} of {len(ended)} cases the gradient of its output p "
            "is sigmoid(p) - label: the loss takes its own sigmoid.",
            "Leave out D's sigmoid, or use BCELoss instead of BCEWithLogitsLoss.",
        )  # fmt: skip
        return
    linear = [1 for _, scores in ended if _is_linear(scores)]
    if len(linear) >= FEW and len(linear) >= 0.8 * len(ended):
        yield Fault(
            "a critic's scores are bounded by a sigmoid", True,
            f"D ends in a {ended[0][0].ends}, and its loss is linear in that (Wasserstein, or hinge).",
            "Leave out D's last sigmoid: such losses take scores without bounds.",
        )  # fmt: skip


def _is_linear(scores: Scores) -> bool:
    """Tell whether scores that differ get one gradient, up to its sign; parts of a loss may be weighed."""
    sizes, spread = scores.gradient.abs(), float(scores.outputs.max() - scores.outputs.min())
    return len(sizes) > 1 and spread > 1e-3 and float((sizes - sizes[0]).abs().max()) < 1e-4 * float(sizes[0])


def _logit_loss_on(scores: Scores) -> bool:
    p, gradient = scores.outputs, scores.gradient
    label = torch.sigmoid(p) - gradient
    # one label for all, or real and fake samples, or entries of them, in one batch
    one = float(label.max() - label.min()) <= 1e-3 and -0.01 < float(label.mean()) < 1.01
    if not one and not (_is_whole(label) and float(label.min()) > -0.01 and float(label.max()) < 1.01):
        return False
    # where BCELoss explains it with a label of 0 or 1 the other is chance
    return not _is_whole(p - gradient * p * (1 - p))


def _is_whole(labels: Tensor) -> bool:
    return bool((labels - labels.round()).abs().max() <= 1e-3)


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
    if len(alike) >= FEW and len(alike) > 0.8 * len(made):
        yield Fault(
            "G ignores its input", True, f"Its samples were equal for different inputs in {len(alike)} of {len(made)} "
            "batches.", "Look for an input that is multiplied by 0, dead units, or an output that is saturated.",
        )  # fmt: skip


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
    played = [update for update in trace.of("g") if update.sources.get("g")]
    if not seen and len(played) >= FEW and len({call.step for call, _ in trace.trained("d")}) >= FEW:
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
    if len(plain) >= FEW and len(plain) == len(extra):
        yield Fault(
            "a gradient penalty that trains nothing", True,
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
