"""How what is given reaches a network: beside its input (Mirza 2014; Isola 2017), or by a projection (Miyato 2018)."""

from collections.abc import Sequence

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


class Flattened(nn.Module):
    """A body that sees its input beside a picture that is given, both as rows of numbers (Mirza & Osindero 2014)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def joined(self, x: Tensor, picture: Tensor) -> Tensor:
        """Return x [..., batch, *shape] flat, with pictures [..., batch, C, h, w] behind it."""
        batch = picture.dim() - 3
        return torch.cat([x.flatten(batch), picture.flatten(batch)], dim=-1)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = self.body(self.joined(x, picture))
        return out


class Pictured(nn.Module):
    """A body that sees images, or latents as planes, beside a picture that is given (Isola et al. 2017)."""

    def __init__(self, body: nn.Module, side: int) -> None:
        """Take what sees channels of both on `side` x `side` pixels, to which a picture of a part of it is enlarged."""
        super().__init__()
        self.body, self.side = body, side

    def joined(self, x: Tensor, picture: Tensor) -> Tensor:
        """Return x, images [..., c, side, side] or latents [..., c], with the channels of pictures [..., C, h, w]."""
        times = self.side // picture.shape[-1]
        rows = picture[..., None, :, None].expand(*picture.shape[:-1], times, picture.shape[-1], times)
        enlarged = rows.reshape(*picture.shape[:-2], self.side, self.side)
        if x.dim() < picture.dim():
            x = x[..., None, None].expand(*x.shape, self.side, self.side)
        return torch.cat([x, enlarged], dim=-3)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = self.body(self.joined(x, picture))
        return out


class Framed(nn.Module):
    """A body that sees latents beside the bands of a spectrogram, the same ones in every frame."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def joined(self, latents: Tensor, picture: Tensor) -> Tensor:
        """Return latents [..., d] beside spectrograms [..., 1, bands, frames]: [..., d + bands, 1, frames]."""
        bands = picture.squeeze(-3)
        return torch.cat([latents[..., None].expand(*latents.shape, bands.shape[-1]), bands], -2).unsqueeze(-2)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = self.body(self.joined(x, picture))
        return out


class Heard(nn.Module):
    """A body that sees waveforms beside the bands of a spectrogram, each frame as long as its samples."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def joined(self, x: Tensor, picture: Tensor) -> Tensor:
        """Return waveforms [..., n] beside spectrograms [..., 1, bands, frames]: [..., 1 + bands, 1, n]."""
        bands = picture.squeeze(-3)
        times = x.shape[-1] // bands.shape[-1]
        longer = bands[..., None].expand(*bands.shape, times).flatten(-2)
        return torch.cat([x[..., None, :], longer], -2).unsqueeze(-2)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = self.body(self.joined(x, picture))
        return out


class Untold(nn.Module):
    """A body that is not told what is given: its output for x alone."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Translator(nn.Module):
    """A body that sees the picture that is given and no latents: a map from pictures to pictures (Zhu et al. 2017)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = self.body(picture)
        return out


class Halves(nn.Module):
    """Two bodies side by side, one for the left half of pictures [..., C, h, w] and one for the right half.

    What they put out is joined along the last axis: pictures side by side, or logits.
    """

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, -1)
        return torch.cat([self.left(left), self.right(right)], -1)


class Headed(nn.Module):
    """D's last layers, and beside their logit [..., 1] what its heads say of the same features [..., size]."""

    def __init__(self, last: nn.Module, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.last, self.heads = last, nn.ModuleList(heads)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.last(features), *(head(features) for head in self.heads)], dim=-1)


def added(out: Tensor, amount: Tensor) -> Tensor:
    """Return what D says [..., 1 + sizes of heads] with an amount [..., 1] more of its logit alone."""
    if out.shape[-1] == 1:
        return out + amount
    return torch.cat([out[..., :1] + amount, out[..., 1:]], dim=-1)


class Projected(nn.Module):
    """Logits w . f(x) + e_y . f(x): the label's own row projects D's features (Miyato & Koyama 2018, eq. 5)."""

    def __init__(self, body: nn.Module, last: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body, self.last, self.embedding = body, last, nn.Embedding(classes, features)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        features = self.body(x)
        return added(self.last(features), (features * self.embedding(label)).sum(-1, keepdim=True))
