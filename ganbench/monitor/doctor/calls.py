"""What one forward pass of a player was: its samples, whether G made them, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import torch
from torch import Tensor, nn

from ganbench.monitor.doctor.trace import Call, Scale
from ganbench.monitor.outputs import ending

# rows that are kept to tell one batch from another
ROWS = 16
# numbers by which a sample is known again, and share of a batch that has to be
MARKS, KEPT = 8, 0.9
# share of a sample's numbers that G made, where the others are of something else
PART = 0.05
# how much nearer fakes are to fakes than real samples are, where nothing else tells them apart
NEARER = 0.3


def described(player: str, step: int, module: nn.Module, x: Tensor, out: Tensor) -> Call:
    """Return a pass of a network from samples x [n, ...] to what came out, [n, ...]."""
    # what one latent makes for a batch of labels is a batch
    count = len(out) if player == "g" and len(x) == 1 else len(x)
    return Call(
        player=player, step=step, training=module.training, count=count, shape=tuple(x.shape[1:]),
        head=head_of(x), scale=Scale.of(x), equal_rows=count > 1 and _equal_rows(x), made=head_of(out),
        made_scale=Scale.of(out), made_equal=len(out) > 1 and _equal_rows(out), ends=ending(out), network=id(module),
        graded=out.requires_grad,
    )  # fmt: skip


def tell_kind(
    call: Call, x: Tensor, out: Tensor, before: Sequence[Call], fakes: Set[tuple[float, ...]], alone: bool = False
) -> None:
    """Tell whether a discriminator was given real samples or fakes, by what G and D did before.

    alone: say nothing of earlier calls by what this one is.
    """
    call.attached, call.leaf = x.grad_fn is not None, x.is_leaf and x.requires_grad
    recent = [own for own in reversed(before) if own.player == "g" and own.step >= call.step - 1]
    for maker in recent:
        for part, rest in _parts(x, maker):
            rows = _rows_of(part, maker)
            if rows is not None:
                call.maker, call.fake_rows = maker, rows
                call.kind = "fake" if rows.stop - rows.start >= len(x) else "mixed"
                call.conditions += () if rest is None else (head_of(rest),)
                return
    for maker in recent:
        for part, _ in _parts(x, maker):
            made = _entries_of(part, maker)
            if made is not None:
                each = out.shape[1:].numel() == part.shape[1:].numel()
                call.maker, call.kind = maker, "mixed" if each else "fake"
                call.fake_entries = made if each else None
                return
    shown = [own for own in before if own.kind == "fake" and own.step >= call.step - 1]
    again = any(own.head.shape == call.head.shape and torch.equal(own.head, call.head) for own in shown)
    # a pool shows fakes of earlier iterations, in another order
    own = marks(x)
    kept = len(own & fakes) >= KEPT * max(len(own), 1)
    call.kind = "fake" if call.attached or again or kept else "real"
    if call.attached and not alone:
        _tell_those_before(call, before)
    call.known = hash(frozenset(own)) if 2 * len(own) > len(x) else 0


def _tell_those_before(call: Call, before: Sequence[Call]) -> None:
    """Tell which calls of this turn were of fakes, too, where these are changed on their way from G to D.

    Detached they are known by the numbers that G's turn shows again, or are nearer to those than other samples are.
    """
    turn: list[Call] = []
    for own in reversed(before):
        if own.player == "d" and own.network == call.network and own.shape == call.shape:
            if own.attached or own.step < call.step - 1:
                break
            turn += [own] if own.kind == "real" and not own.leaf else []
    same = [own for own in turn if own.count == call.count and torch.equal(own.head, call.head)]
    apart = sorted((_apart(own.scale, call.scale), place) for place, own in enumerate(turn))
    if not same and len(apart) > 1 and apart[0][0] < NEARER * apart[1][0]:
        same = [turn[apart[0][1]]]
    for own in same:
        own.kind = "fake"


def _apart(one: Scale, other: Scale) -> float:
    return abs(one.mean - other.mean) + abs(one.std - other.std)


def head_of(x: Tensor) -> Tensor:
    """Return the first rows, as they are now."""
    return x.detach()[:ROWS].clone() if x.dim() else x.detach().clone()


def marks(x: Tensor) -> set[tuple[float, ...]]:
    """Return a few numbers of every sample, by which it is known again; none of samples that are flat there."""
    flat = x.detach().flatten(1) if x.dim() > 1 else x.detach()[:, None]
    places = torch.linspace(0, flat.shape[1] - 1, MARKS, device=flat.device).long()
    least = min(MARKS // 2, flat.shape[1])
    return {mark for mark in map(tuple, flat[:, places].float().tolist()) if len(set(mark)) >= least}


def _equal_rows(x: Tensor) -> bool:
    return bool((x.detach() == x.detach()[:1]).all())


def _parts(x: Tensor, maker: Call) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield what may be G's in D's input and what is beside it: all of it, or its first or its last channels."""
    x, made = x.detach(), maker.made
    if x.dim() != made.dim() or x.dim() < 1:
        return
    if x.shape[1:] == made.shape[1:]:
        yield x, None
    elif x.dim() > 1 and x.shape[2:] == made.shape[2:] and x.shape[1] > made.shape[1]:
        width = made.shape[1]
        yield x[:, :width], x[:, width:]
        yield x[:, -width:], x[:, :-width]


def _rows_of(x: Tensor, maker: Call) -> slice | None:
    """Return the rows of samples that a call of G made."""
    made = maker.made
    for start in dict.fromkeys((0, len(x) - maker.count)):
        rows = x[start : start + len(made)] if start >= 0 else x[:0]
        if len(rows) == len(made) and _alike(rows, made):
            return slice(start, min(len(x), start + maker.count))
    return None


def _entries_of(x: Tensor, maker: Call) -> Tensor | None:
    """Return which numbers of the first rows are G's, where a part is: observed entries and imputed ones."""
    made, rows = maker.made, x[: len(maker.made)]
    if made.dim() < 2 or len(rows) != len(made) or len(x) != maker.count:
        return None
    # what saturates or pads equals what is real there by chance
    own = (rows.to(made.dtype) == made) & (made > made.min()) & (made < made.max()) & (made != made.flatten().mode()[0])
    for given, _ in _parts(maker.head, maker):
        # G may hand on what it was given, which is real
        own &= given.to(made.dtype) != made
    told = int(own.sum())
    return own if told >= PART * own.numel() and len(made[own].unique()) > told // 2 else None


def _alike(rows: Tensor, made: Tensor) -> bool:
    """Tell whether rows are what G made, as it was or scaled and shifted."""
    if bool((rows.to(made.dtype) == made).all()):
        return True
    a, b = ((x - x.mean()) / x.std().clamp_min(1e-12) for x in (rows.float(), made.float()))
    return made.numel() > 3 and float(made.float().std()) > 0 and bool(((a - b).abs() < 1e-3).all())
