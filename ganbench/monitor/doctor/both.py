"""Discriminators that get a real batch and a fake one in one call, as HiFi-GAN's: what their parts do with each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ganbench.monitor.doctor import calls
from ganbench.monitor.doctor.trace import Call, Trace
from ganbench.monitor.outputs import tensors_in

FEW = 3


def watch_parts(module: nn.Module, called: Callable[..., Callable[..., None]]) -> list[Any]:
    """Hook the parts of a discriminator that get one of several inputs of one shape as it is, the outermost of them.

    called: makes the hook of a player's call, which is told `part` and `within`. Returns the handles.
    """
    inputs: list[Tensor] = []
    running: list[nn.Module] = []
    told = called("d", part=True, within=id(module))

    def begins(_: nn.Module, given: Any, named: Any) -> None:
        inputs[:] = several_of_a_shape([*tensors_in((given, named))])

    def ends(*_: Any) -> None:
        inputs.clear()
        running.clear()

    def part_begins(part: nn.Module, given: Any) -> None:
        if inputs and not running and given and any(given[0] is own for own in inputs):
            running.append(part)

    def part_ends(part: nn.Module, given: Any, named: Mapping[str, Any], out: Any) -> None:
        if running and running[0] is part:
            running.clear()
            told(part, given, named, out)

    # pooling makes other samples, and no scores
    parts = [part for part in module.modules() if part is not module and any(True for _ in part.parameters())]
    return [
        module.register_forward_pre_hook(begins, with_kwargs=True),
        module.register_forward_hook(ends, always_call=True),
        *[part.register_forward_pre_hook(part_begins) for part in parts],
        *[part.register_forward_hook(part_ends, with_kwargs=True) for part in parts],
    ]


def several_of_a_shape(given: Sequence[Tensor]) -> list[Tensor]:
    """Return those of the tensors that may be samples and have the shape of another one."""
    own = [x for x in given if x.is_floating_point() and x.dim() > 1]
    return [x for x in own if sum(x.shape == other.shape for other in own) > 1]


def holds_both(call: Call, beside: Sequence[Tensor], before: Sequence[Call], fakes: Set[tuple[float, ...]]) -> bool:
    """Tell whether a call of D has a real batch and a fake one of the same shape, the one beside the other."""
    for other in beside:
        if other.is_floating_point() and other.dim() > 1 and other.shape == (call.count, *call.shape):
            own = replace(call, head=calls.head_of(other), kind="", maker=None, conditions=())
            calls.tell_kind(own, other, other, before, fakes, alone=True)
            if {own.kind, call.kind} == {"real", "fake"}:
                return True
    return False


def told_apart(trace: Trace) -> Trace:
    """Return a trace in which the parts of a discriminator that always gets both stand in its place, others for none.

    A source image beside the sample is real, too, but then D is also given two real ones.
    """
    whole: dict[int, list[bool]] = defaultdict(list)
    for call in trace.calls:
        if call.player == "d" and not call.part:
            whole[call.network].append(call.both)
    paired = {network for network, both in whole.items() if len(both) >= FEW and all(both)}
    kept = [
        call for call in trace.calls
        if call.player == "g" or (call.within in paired if call.part else call.network not in paired)
    ]  # fmt: skip
    return trace if len(kept) == len(trace.calls) else replace(trace, calls=kept)
