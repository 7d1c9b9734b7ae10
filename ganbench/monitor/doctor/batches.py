"""Rules about what the players are given: latents, real data, their ranges and sizes, modes and batch statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sized
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.monitor.doctor.trace import NAMES, Call, Fault, Scale, Trace

RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0)}
RANGES |= {"relu": (0.0, math.inf), "softplus": (0.0, math.inf)}
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
BY_MODE = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
# fewer numbers a channel than this make poor statistics
SMALL_BATCH = 4
# samples that tell whether all are equal
MANY = 1000
FEW = 3
WIDER, UNSCALED = 20.0, 20.0
# iterations, of which half at most have an input of their own, that tell of a seed set anew
REPEATING = 6


def mode(trace: Trace) -> Iterator[Fault]:
    """Find players that are trained in evaluation mode, where that makes a difference."""
    used = {call.step for call in trace.calls if call.back}
    for player, module in trace.players.items():
        layers = [name for name, part in module.named_modules() if isinstance(part, BY_MODE)]
        calls = [c for c in trace.calls_of(player) if (c.back if player == "d" else c.step in used)]
        asleep = [call for call in calls if not call.training]
        if layers and len(asleep) >= FEW and len(asleep) > len(calls) / 2:
            yield Fault(
                f"the {NAMES[player]} is trained in evaluation mode", True,
                f"eval() was on in {len(asleep)} of {len(calls)} calls that losses were computed from; it has "
                f"{len(layers)} layers of batch norm or dropout.",
                f"Call {NAMES[player]}.train() after drawing samples, at the top of the loop.",
            )  # fmt: skip


def latents(trace: Trace) -> Iterator[Fault]:
    """Find latents that are the same in a batch, or at every step."""
    calls = [call for call in trace.calls_of("g") if call.count > 1]
    equal = [call for call in calls if call.equal_rows]
    if len(equal) >= FEW and len(equal) > len(calls) / 2:
        yield Fault(
            "one latent for the whole batch", True,
            f"All rows of the generator's input were equal in {len(equal)} of {len(calls)} calls.",
            "Draw a latent for each sample: torch.randn(batch_size, latent_dim).",
        )  # fmt: skip
    elif (alike := [call for call in calls if _has_one_latent(call)]) and FEW <= len(alike) == len(calls):
        yield Fault(
            "one latent for the whole batch", False,
            f"Beside its first input the generator got numbers as of a normal distribution, and all rows of them were "
            f"equal in {len(alike)} of {len(calls)} calls.",
            "Draw a latent for each sample: torch.randn(batch_size, latent_dim).",
        )  # fmt: skip
    elif again := _repeated(calls):
        yield Fault(
            "the same latents at every step", True,
            f"The generator's input was bit for bit that of the iteration before, {again} times of {again}.",
            "Draw latents inside the loop, and set no seed in it; keep fixed ones for pictures only.",
        )  # fmt: skip
    elif few := _few_inputs(calls, trace.latents):
        yield Fault(
            "the same latents at every step or two", True,
            f"In {few[0]} iterations the generator's first input was one of {few[1]}, bit for bit.",
            "Set no seed inside the loop, whoever's turn it is.",
        )  # fmt: skip
    own = trace.latents
    # a generator of two, one that goes there and back, or parts of one are fed by other things too
    if own and calls and not equal and not any(call.part for call in calls) and (calls := _unlike(trace, calls, own)):
        mean, std = (sum(getattr(call.scale, key) for call in calls) / len(calls) for key in ("mean", "std"))
        yield Fault(
            "Monitor draws other latents than the loop", False,
            f"The loop's have mean {mean:.2g} and standard deviation {std:.2g}, Monitor's {own.mean:.2g} and "
            f"{own.std:.2g}.",
            "Give `latent=` what the loop draws: lambda n: torch.rand(n, 64), for one.",
        )  # fmt: skip


def _has_one_latent(call: Call) -> bool:
    """Tell whether G was given a standard normal vector beside its first input, the same one in all rows."""
    own = [one for one in call.conditions if one.dim() == 2 and len(one) > 1 and one.is_floating_point()]
    return any(
        one.shape[1] >= FEW and bool((one == one[:1]).all()) and len(one[0].unique()) == one.shape[1]
        and float(one[0].min()) < 0 < float(one[0].max()) and 0.3 < float(one[0].std()) < 3
        for one in own
    )  # fmt: skip


def _few_inputs(calls: list[Call], latents: Scale | None) -> tuple[int, int] | None:
    """Return in how many iterations G was given how many different first inputs, where these are few and latents."""
    firsts = list({call.step: call for call in reversed(calls)}.values())
    if latents is None or len(firsts) < REPEATING or not any(_like(call.scale, latents) for call in firsts):
        return None
    different = {call.head.float().numpy(force=True).tobytes() for call in firsts}
    return (len(firsts), len(different)) if 2 * len(different) <= len(firsts) else None


def _unlike(trace: Trace, calls: list[Call], latents: Scale) -> list[Call]:
    """Return G's calls whose inputs are not as Monitor's: all of them, or all of one player's turns."""
    if not any(_like(call.scale, latents) for call in calls):
        return calls
    for player in "dg":
        turn = [call.maker for call, _ in trace.trained(player) if call.maker and call.kind == "fake"]
        if len(turn) >= FEW and not any(_like(call.scale, latents) for call in turn):
            return turn
    return []


def _like(one: Scale, other: Scale) -> bool:
    near = abs(one.mean - other.mean) <= 0.3 * max(one.std, other.std)
    return near and 0.6 <= (one.std + 1e-12) / (other.std + 1e-12) <= 1.6


def repeated_data(trace: Trace) -> Iterator[Fault]:
    """Find real batches that are constant, or the same at every step, and fakes that are."""
    real = [call for call in trace.calls_of("d", "real") if call.count > 1 and not call.leaf]
    if (equal := [call for call in real if call.equal_rows]) and len(equal) == len(real) >= FEW:
        yield Fault(
            "real data are constant", True, f"All rows of a real batch were equal in {len(equal)} of {len(equal)}.",
            "Look at one batch: an index that never moves, a transform that wipes everything out.",
        )  # fmt: skip
    elif again := _repeated(real, shuffled=True):
        yield Fault(
            "the same real batch at every step", True,
            f"D's real input was {'bit for bit ' if _repeated(real) else ''}that of the iteration before"
            f"{'' if _repeated(real) else ' in another order'}, {again} times of {again}.",
            "Iterate the loader: next(iter(loader)) inside the loop starts it anew, and without shuffling gives the "
            "first batch for ever.",
        )  # fmt: skip
    elif real and all(_duplicates(call) for call in real) and len(real) >= FEW:
        yield Fault(
            "real batches repeat a few samples", False,
            f"The first {len(real[0].head)} rows of every real batch hold at most "
            f"{max(len(call.head.unique(dim=0)) for call in real)} different ones.",
            "Look at the sampler and at __getitem__.",
        )  # fmt: skip
    elif _is_constant(trace.loader):
        yield Fault(
            "real data are constant", True, "All of the real samples that Monitor was given are equal.",
            "Look at them: bounds that change places, a transform that wipes everything out.",
        )  # fmt: skip
    fakes = [call for call in trace.calls_of("d", "fake") if not call.attached]
    if not _repeated(trace.calls_of("g")) and (again := _repeated(fakes)):
        yield Fault(
            "D is shown the same fakes at every step", True,
            f"Its fake input was bit for bit that of the iteration before, {again} times of {again}.",
            "Draw fakes inside the loop.",
        )  # fmt: skip


def _is_constant(data: object) -> bool:
    """Tell whether samples in memory are all equal, as far as the first of them show."""
    held = getattr(data, "dataset", data)
    first = next(iter(getattr(held, "tensors", ())), held)
    return isinstance(first, Tensor) and len(first) > 1 and bool((first[:MANY] == first[:1]).all())


def ranges(trace: Trace) -> Iterator[Fault]:
    """Find real samples that the generator cannot make, or in another scale than the fakes, by discriminator.

    One of several may be given something else than samples: edges, scales, parts.
    """
    for network in dict.fromkeys(call.network for call in trace.calls_of("d")):
        found = list(_ranges(trace, network))
        if found:
            yield from found
            return


def _ranges(trace: Trace, network: int) -> Iterator[Fault]:
    reals, fakes = ([c for c in trace.calls_of("d", kind) if c.network == network] for kind in ("real", "fake"))
    real, fake = _spread(reals), _spread(fakes)
    if real is None or fake is None:
        return
    made = [call for call in fakes if call.maker]
    maker = made[-1].maker if made else None
    end = maker.ends if maker else ""
    if maker and end in RANGES and len(made[-1].shape) == len(maker.made.shape) - 1:
        low, high = RANGES[end]
        margin = 0.05 * (high - low if math.isfinite(high) else real.high - real.low)
        if real.low < low - margin or real.high > high + margin:
            yield Fault(
                "real samples are outside the generator's range", True,
                f"It ends in a {end} and makes numbers in [{low:g}, {high:g}]; D's real ones are in "
                f"[{real.low:.3g}, {real.high:.3g}].",
                "Scale the data to the generator's range: x / 127.5 - 1 for a tanh.",
            )  # fmt: skip
            return
        if end == "tanh" and real.low > -0.02 and (real.high > 0.3 or real.low >= 0) and real.high > real.low:
            yield Fault(
                "real samples fill half of the generator's range", False,
                f"It ends in a tanh, [-1, 1]; D's real ones are in [{real.low:.3g}, {real.high:.3g}].",
                "Scale the data to [-1, 1]: 2 * x - 1.",
            )  # fmt: skip
            return
    widest, made_widest = (max(abs(own.low), abs(own.high)) for own in (real, fake))
    unscaled = real.std > max(UNSCALED, WIDER * fake.std) or widest > max(UNSCALED, WIDER * made_widest)
    if fake.std > WIDER * real.std or unscaled:
        yield Fault(
            "real and fake samples are scaled differently", False,
            f"D's real ones: {real}. Fake: {fake}.",
            "Put both through the same normalisation before D, or none of them.",
        )  # fmt: skip


def other_data(trace: Trace) -> Iterator[Fault]:
    """Find real samples that D gets scaled otherwise than those that the loop's samples are measured against."""
    if trace.real is None:
        return
    shape, own = trace.real
    calls = [call for call in trace.calls_of("d", "real") if call.shape == shape and not call.leaf and not call.part]
    if len(calls) >= FEW and (real := _spread(calls)) and not any(_like(call.scale, own) for call in calls):
        yield Fault(
            "D's real samples are scaled differently from Monitor's", False, f"D's: {real}. Monitor's: {own}.",
            "Give `real=` the samples as D gets them; or the loop scales them wrongly.",
        )  # fmt: skip


def sizes(trace: Trace) -> Iterator[Fault]:
    """Find real and fake samples of different shapes."""
    seen = [call for call, _ in trace.trained("d")]
    real, fake = ({call.shape for call in seen if call.kind == kind} for kind in ("real", "fake"))
    if real and fake and not real & fake and {len(one) for one in real} == {len(one) for one in fake}:
        a, b = sorted(real)[0], sorted(fake)[0]
        channels = len(a) == 3 and a[0] != b[0]
        yield Fault(
            f"real and fake samples differ in {'channels' if channels else 'size'}", True,
            f"D is given real samples of shape {list(a)} and fakes of shape {list(b)}: the shape alone tells them "
            "apart.",
            "Bring the data to the size and channels that the generator makes.",
        )  # fmt: skip


def labels(trace: Trace) -> Iterator[Fault]:
    """Find fakes that D judges under other labels than they were made with."""
    for player in "dg":
        pairs = [
            any(torch.equal(mine, its) for its in alike)
            for call, _ in trace.trained(player)
            for maker, conditions in [_judged(trace, call)] if maker
            for mine in conditions
            if (alike := list(_alike(mine, maker)))
        ]  # fmt: skip
        other = [1 for same in pairs if not same]
        if len(other) < FEW or len(other) <= 0.8 * len(pairs):
            continue
        yield Fault(
            "fakes are judged under other labels than they were made with", True,
            f"In {len(other)} of {len(pairs)} calls for the {NAMES[player]}'s loss the labels that D got with fakes "
            "were not G's.", "Draw labels once an iteration, and give G and D the same ones.",
        )  # fmt: skip
        return


def _judged(trace: Trace, call: Call) -> tuple[Call | None, tuple[Tensor, ...]]:
    """Return which of G's calls made a call's fakes, as far as that is told, and what D was given beside them."""
    rows = call.fake_rows or slice(0, call.count)
    if call.maker and (call.kind == "fake" or call.fake_rows):
        return call.maker if rows.stop - rows.start == call.maker.count else None, call.conditions
    if call.maker or call.kind != "fake":
        return None, ()
    # fakes that are changed on their way, with conditions or labels beside them
    place = next(place for place, own in enumerate(trace.calls) if own is call)
    maker = next((own for own in reversed(trace.calls[:place]) if own.player == "g"), None)
    if maker is None or (maker.count, maker.step) != (call.count, call.step):
        return None, ()
    beside = tuple(own for own in call.conditions if any(_reordered(own, its) for its in _alike(own, maker)))
    if beside or call.head.dim() != 2:
        return maker, beside
    widths = {own.shape[1] for own in maker.conditions if own.dim() == 2 and _is_one_hot(own)}
    if maker.made.dim() == maker.head.dim() == 2:
        # in one tensor with the latents: as wide as what D is given beyond what G makes
        widths |= {call.head.shape[1] - maker.made.shape[1]} & set(range(2, maker.head.shape[1]))
    ends = [call.head[:, -width:] for width in widths if width < call.head.shape[1]]
    return maker, tuple(own for own in ends if _is_one_hot(own))


def _reordered(one: Tensor, other: Tensor) -> bool:
    """Tell whether a condition has rows of another one at other places: numbers that nobody draws twice."""
    if not one.is_floating_point() or one.dim() < 2 or one.shape != other.shape or torch.equal(one, other):
        return False
    a, b = (x.flatten(1) for x in (one, other))
    same = (a[:, None] == b).all(2)
    apart = len(a.unique(dim=0)) == len(a) and a.shape[1] > 1
    return apart and int(same.sum() - same.diagonal().sum()) >= 2


def _alike(condition: Tensor, maker: Call) -> Iterator[Tensor]:
    """Yield what G was given that may be a condition of D's: of its shape, or labels in the first or last channels."""
    for its in (*maker.conditions, maker.head):
        if its.dtype == condition.dtype and its.shape == condition.shape:
            yield its
    width = condition.shape[1] if condition.dim() == 2 else 0
    if maker.head.dim() == 2 and 0 < width < maker.head.shape[1] and _is_one_hot(condition):
        yield from (part for part in (maker.head[:, :width], maker.head[:, -width:]) if _is_one_hot(part))


def _is_one_hot(rows: Tensor) -> bool:
    return rows.shape[1] > 1 and bool(
        ((rows == 1).sum(1) == 1).all() and ((rows == 0).sum(1) == rows.shape[1] - 1).all()
    )


def batch_statistics(trace: Trace) -> Iterator[Fault]:
    """Find what batch normalisation cannot bear: tiny batches, real and fake in one, penalties."""
    for player, module in trace.players.items():
        layers = [name for name, part in module.named_modules() if isinstance(part, BATCH_NORMS)]
        calls = [call for call in trace.calls_of(player) if call.training]
        if not layers or not calls:
            continue
        if (least := min(call.count for call in calls)) <= SMALL_BATCH:
            yield Fault(
                "the batch is too small for batch norm", False,
                f"The {NAMES[player]} has {len(layers)} batch norms and is given {least} samples at a time.",
                "Take a larger batch, or group, instance or layer norm.",
            )  # fmt: skip
        mixed = [call for call in calls if call.kind == "mixed" and call.back]
        if len(mixed) >= FEW:
            yield Fault(
                "real and fake samples share batch statistics in D", False,
                f"{len(mixed)} calls of D, which has {len(layers)} batch norms, hold both.",
                "Call D on real and on fake batches separately, as DCGAN does, or take a norm that knows no batch.",
            )  # fmt: skip
    yield from _last_batch(trace)


def _last_batch(trace: Trace) -> Iterator[Fault]:
    loader = trace.loader
    size, data = getattr(loader, "batch_size", None), getattr(loader, "dataset", None)
    norms = any(isinstance(part, BATCH_NORMS) for own in trace.players.values() for part in own.modules())
    if not size or not norms or getattr(loader, "drop_last", True) or not isinstance(data, Sized):
        return
    left = len(data) % size
    if 0 < left <= max(SMALL_BATCH, size // 16):
        yield Fault(
            "the last batch of an epoch is tiny", False,
            f"{len(data)} samples in batches of {size} leave {left}, and the networks have batch norm.",
            "Give the DataLoader drop_last=True.",
        )  # fmt: skip


def not_called(trace: Trace) -> Iterator[Fault]:
    """Find that the networks given are not those that the loop uses."""
    if trace.steps < FEW or not trace.calls:
        return
    for player, module in trace.players.items():
        shapes = Counter(tuple(own.shape) for own in module.parameters())
        # a discriminator's turn may come later; of another one like it somebody steps the parameters
        late = player == "d" and not any(Counter(held) == shapes for held in trace.strangers.values())
        if not late and not trace.calls_of(player) and not trace.grown[player]:
            yield Fault(
                f"the {NAMES[player]} that Monitor was given is not called", False,
                f"In {trace.steps} iterations the loop called the other network {len(trace.calls)} times and this one "
                "never.",
                "Give Monitor the very modules that are trained: no copy, no moving average.",
            )  # fmt: skip


def _repeated(calls: list[Call], shuffled: bool = False) -> int:
    """Return how often an iteration's first input equals the one before, 0 where it does not always.

    shuffled: also where it has the same samples in another order.
    """
    firsts = list({call.step: call for call in reversed(calls)}.values())[::-1]
    same = [
        a.head.shape == b.head.shape
        and (torch.equal(a.head, b.head) or (shuffled and a.count == b.count and a.known == b.known != 0))
        for a, b in pairwise(firsts)
    ]
    return len(same) if len(same) >= FEW and all(same) else 0


def _duplicates(call: Call) -> bool:
    rows = call.head
    # whole numbers, as in tables, repeat by nature
    return len(rows) >= 8 and bool((rows != rows.round()).any()) and len(rows.unique(dim=0)) <= len(rows) // 4


def _spread(calls: list[Call]) -> Scale | None:
    if not calls:
        return None
    low, high = min(call.scale.low for call in calls), max(call.scale.high for call in calls)
    mean, std = (sum(getattr(call.scale, key) for call in calls) / len(calls) for key in ("mean", "std"))
    return Scale(low, high, mean, std)
