"""A tape for CPUs: the operations of a step below autograd, run by TorchScript's interpreter instead of by Python."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node


class ScriptTape:
    """A tape of the operators that a piece of work comes down to, in the order and with the kernels of the work itself.

    A third to two thirds of a step of small networks is Python, dispatch and autograd, which are not played again.
    """

    def record(self, work: Callable[[], None], reads: Sequence[Tensor]) -> None:
        """Take down what a piece of work does to tensors, which are left as they are."""
        # takes a second, and short trainings do without it
        from torch.fx.experimental.proxy_tensor import make_fx

        self._reads = list({id(own): own for own in reads}.values())
        before = [own.clone() for own in self._reads]

        def traced(*tensors: Tensor) -> Tensor:
            work()
            return tensors[0] + 0  # a script has to return something

        with warnings.catch_warnings():
            # that TorchScript gets no new features, and what a graph lacks while it is rewritten
            warnings.simplefilter("ignore")
            try:
                graph = make_fx(traced, tracing_mode="real")(*self._reads)
            finally:
                for own, value in zip(self._reads, before, strict=True):
                    own.data.copy_(value)
            self._script = _scripted(graph)

    def play(self) -> None:
        """Do it."""
        with torch.no_grad():
            self._script(*self._reads)


def _scripted(graph: GraphModule) -> Callable[..., Tensor]:
    # takes a second, and short trainings do without it
    from torch._functorch.compile_utils import strip_overloads

    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        _said_in_script(graph, node)
    strip_overloads(graph)
    graph.graph.lint()
    graph.recompile()
    return torch.jit.script(graph)


def _said_in_script(graph: GraphModule, node: Node) -> None:
    """Write a call so that TorchScript finds the same operator: by the names of its arguments."""
    # takes a second, and short trainings do without it
    from torch.fx.node import map_aggregate

    if isinstance(node.target, torch._ops.OpOverload):
        names = [argument.name for argument in node.target._schema.arguments]
        node.kwargs = {**dict(zip(names[1:], node.args[1:], strict=False)), **node.kwargs}
        node.args = node.args[:1]

    def said(value: Any) -> Any:
        if isinstance(value, torch.device):
            return str(value)
        if isinstance(value, float) and not math.isfinite(value):
            # what a script has no literal for
            name = f"number_{value}".replace("-", "minus_")
            setattr(graph, name, value)
            with graph.graph.inserting_before(node):
                return graph.graph.get_attr(name)
        return value

    node.args, node.kwargs = map_aggregate(node.args, said), map_aggregate(node.kwargs, said)
