"""The gradients of both players on one batch, and their derivatives in the parameters of both."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.gan.updates import Gradients
from ganbench.training.players import Player, flattened


class PlayedField:
    """The gradients of both players on one batch (gan.updates.Field); without their graphs in `gradients`."""

    def __init__(self, players: dict[str, Player], losses: dict[str, Tensor]) -> None:
        self._leaves = {name: list(player.trained.values()) for name, player in players.items()}
        self._graphs = {
            name: flattened(
                torch.autograd.grad(
                    loss.sum(), self._leaves[name], create_graph=True, materialize_grads=True, allow_unused=True
                )
            )
            for name, loss in losses.items()
        }
        self.gradients = {name: graph.detach() for name, graph in self._graphs.items()}

    def pulled_back(self, vectors: Gradients) -> Gradients:
        """Return J^T v for v [runs, size] a player, in the same shape."""
        return {name: pulled.detach() for name, pulled in self._pulled_back(vectors, create_graph=False).items()}

    def pushed_forward(self, vectors: Gradients) -> Gradients:
        """Return J v for v [runs, size] a player: the derivative of J^T u in u."""
        dual = {name: torch.zeros_like(vector).requires_grad_() for name, vector in vectors.items()}
        pulled = self._pulled_back(dual, create_graph=True)
        inner = torch.stack([(pulled[name] * vectors[name]).sum() for name in vectors]).sum()
        parts = torch.autograd.grad(inner, list(dual.values()), retain_graph=True)
        return dict(zip(dual, parts, strict=True))

    def _pulled_back(self, vectors: Gradients, create_graph: bool) -> Gradients:
        names = list(self._leaves)
        # a constant gradient has no graph, and moves with nobody's parameters
        known = [name for name in names if self._graphs[name].requires_grad]
        leaves = [leaf for name in names for leaf in self._leaves[name]]
        parts = torch.autograd.grad(
            [self._graphs[name] for name in known], leaves, [vectors[name] for name in known],
            create_graph=create_graph, retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        count = len(self._leaves[names[0]])
        return {names[0]: flattened(parts[:count]), names[1]: flattened(parts[count:])}
