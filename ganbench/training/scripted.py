"""A tape for CPUs: the operations of a step below autograd, run by TorchScript's interpreter instead of by Python."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_aggregate
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary


class ScriptTape:
    """A tape of the operators that a piece of work comes down to, in the order and with the kernels of the work itself.

    A third to two thirds of a step of small networks is Python, dispatch and autograd, which are not played again.
    """

    def record(self, work: Callable[[], None], reads: Sequence[Tensor]) -> None:
        """Take down what a piece of work does to tensors, which are left as they are."""
        self._reads = list({id(own): own for own in reads}.values())
        before, calls = [own.clone() for own in self._reads], _Calls(self._reads)
        try:
            with calls:
                work()
        finally:
            for own, value in zip(self._reads, before, strict=True):
                own.data.copy_(value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript gets no new features
            self._script = calls.script()

    def play(self) -> None:
        """Do it."""
        with torch.no_grad():
            self._script(*self._reads)


class _Calls(TorchDispatchMode):
    """Takes down the operators that are called below autograd and vectorisation, while they are.

    A tensor that none of them has made is taken as it is, at its address. `make_fx` does the same, for any purpose, and
    takes three times as long: it imports the compiler, and follows shapes.
    """

    def __init__(self, reads: Sequence[Tensor]) -> None:
        super().__init__()
        self._graph, self._constants = Graph(), nn.Module()
        self._nodes: Any = WeakTensorKeyDictionary()
        self._given, self._made = set(map(_memory, reads)), set[int]()
        for number, own in enumerate(reads):
            self._nodes[own] = self._graph.placeholder(f"read_{number}")
        self._first: Node = self._nodes[reads[0]]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # else the first call would import the compiler, a second's work that nothing here needs
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operator, and take the call down."""
        if function is torch.ops.aten.lift_fresh.default:
            # numbers of Python as a tensor, which the work may write to: each time it is played they are new
            copied = self._graph.call_function(torch.ops.aten.clone.default, (self._constant(args[0].clone()),))
            self._know(args[0], copied)
            return args[0]
        said, named = map_aggregate(args, self._said), map_aggregate(dict(kwargs or {}), self._said)
        result = function(*args, **(kwargs or {}))
        self._know(result, self._graph.call_function(function, said, named))
        return result

    def _said(self, value: Any) -> Any:
        """Return what stands in the graph for an argument."""
        if not isinstance(value, Tensor):
            return value
        if value not in self._nodes:
            if _memory(value) in self._made:
                raise RuntimeError("a tensor that the step made has come back as another one")
            self._given.add(_memory(value))
            self._nodes[value] = self._constant(value.detach())
        return self._nodes[value]

    def _constant(self, value: Tensor) -> Node:
        name = f"constant_{len(self._constants._buffers)}"
        self._constants.register_buffer(name, value)
        return self._graph.get_attr(name)

    def _know(self, result: Any, node: Node) -> None:
        if isinstance(result, Tensor):
            self._nodes[result] = node
            self._made |= {_memory(result)} - self._given
        elif isinstance(result, tuple | list):
            for place, part in enumerate(result):
                self._know(part, self._graph.call_function(operator.getitem, (node, place)))
        elif result is not None:
            raise RuntimeError(f"{node.target} reads a number from a tensor")

    def script(self) -> Callable[..., Tensor]:
        """Return all that was called as a function of what it reads."""
        self._graph.output(self._first)  # a script has to return something
        module = GraphModule(self._constants, self._graph)
        self._graph = module.graph
        self._graph.eliminate_dead_code()
        for node in list(self._graph.nodes):
            _said_in_script(module, node)
        self._graph.lint()
        module.recompile()
        return torch.jit.script(module)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _said_in_script(graph: GraphModule, node: Node) -> None:
    """Write a call so that TorchScript finds the same operator: by the names of its arguments."""
    if isinstance(node.target, torch._ops.OpOverload):
        names = [argument.name for argument in node.target._schema.arguments]
        node.kwargs = {**dict(zip(names[1:], node.args[1:], strict=False)), **node.kwargs}
        node.args = node.args[:1]
        node.target = node.target.overloadpacket

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
