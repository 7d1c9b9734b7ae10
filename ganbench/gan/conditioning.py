"""How a label reaches a network: beside its input (Mirza 2014), or by a projection of D's features (Miyato 2018)."""

import torch
from torch import Tensor, nn


class Concatenated(nn.Module):
    """A body that sees its input [..., n] beside its label as a row of zeros with a one (Mirza & Osindero 2014)."""

    def __init__(self, body: nn.Module, classes: int) -> None:
        super().__init__()
        self.body, self.classes = body, classes

    def joined(self, x: Tensor, label: Tensor) -> Tensor:
        """Return x [..., batch, *shape] flat, with labels [..., batch] behind it: [..., batch, n + classes]."""
        # torch's one_hot looks whether a label is out of range, for which it waits for the device
        row = label.unsqueeze(-1) == torch.arange(self.classes, device=label.device)
        return torch.cat([x.flatten(label.dim()), row.to(x.dtype)], dim=-1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.body(self.joined(x, label))


class Projected(nn.Module):
    """Logits w . f(x) + e_y . f(x): the label's own row projects D's features (Miyato & Koyama 2018, eq. 5)."""

    def __init__(self, body: nn.Module, last: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body, self.last, self.embedding = body, last, nn.Embedding(classes, features)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        features = self.body(x)
        return self.last(features) + (features * self.embedding(label)).sum(-1, keepdim=True)
