"""The Inception v3 network of FID, a port of TensorFlow's of 2015-12-05 (Szegedy 2016; Heusel 2017), without weights.

Its names of parameters are those of the published file, and it differs from later ones: means leave out the padding,
the last block takes a maximum, the classes are 1008, and images are resized as TensorFlow 1 did.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn

SIDE = 299


class Convolution(nn.Module):
    """A convolution without bias, batch normalization, and the positive part."""

    def __init__(self, channels: int, out: int, kernel: int | tuple[int, int], **more: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, bias=False, **more)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches side by side: chains of convolutions by their names, and a pool before the one called branch_pool."""

    def __init__(self, chains: list[list[str | tuple[str, str]]], pool: str, **convolutions: Convolution) -> None:
        super().__init__()
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)
        self.chains, self.pool = chains, pool

    def forward(self, x: Tensor) -> Tensor:
        found = [self._along(chain, x) for chain in self.chains]
        pooled = _pooled(x, self.pool)
        return torch.cat(
            [*found, self._along(["branch_pool"], pooled) if "branch_pool" in self._modules else pooled], 1
        )

    def _along(self, chain: list[str | tuple[str, str]], x: Tensor) -> Tensor:
        for name in chain:
            if isinstance(name, tuple):
                x = torch.cat([getattr(self, each)(x) for each in name], dim=1)
            else:
                x = getattr(self, name)(x)
        return x


def _pooled(x: Tensor, pool: str) -> Tensor:
    if pool == "mean":
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return F.max_pool2d(x, 3, stride=1, padding=1) if pool == "max" else F.max_pool2d(x, 3, stride=2)


WIDE: dict[str, Any] = {"kernel": (1, 7), "padding": (0, 3)}
TALL: dict[str, Any] = {"kernel": (7, 1), "padding": (3, 0)}


def _a(channels: int, pool: int) -> Block:
    return Block(
        [["branch1x1"], ["branch5x5_1", "branch5x5_2"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]], "mean",
        branch1x1=Convolution(channels, 64, 1), branch5x5_1=Convolution(channels, 48, 1),
        branch5x5_2=Convolution(48, 64, 5, padding=2), branch3x3dbl_1=Convolution(channels, 64, 1),
        branch3x3dbl_2=Convolution(64, 96, 3, padding=1), branch3x3dbl_3=Convolution(96, 96, 3, padding=1),
        branch_pool=Convolution(channels, pool, 1),
    )  # fmt: skip


def _b(channels: int) -> Block:
    return Block(
        [["branch3x3"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]], "half",
        branch3x3=Convolution(channels, 384, 3, stride=2), branch3x3dbl_1=Convolution(channels, 64, 1),
        branch3x3dbl_2=Convolution(64, 96, 3, padding=1), branch3x3dbl_3=Convolution(96, 96, 3, stride=2),
    )  # fmt: skip


def _c(channels: int, width: int) -> Block:
    long = [f"branch7x7dbl_{place}" for place in range(1, 6)]
    return Block(
        [["branch1x1"], ["branch7x7_1", "branch7x7_2", "branch7x7_3"], [*long]], "mean",
        branch1x1=Convolution(channels, 192, 1), branch7x7_1=Convolution(channels, width, 1),
        branch7x7_2=Convolution(width, width, **WIDE), branch7x7_3=Convolution(width, 192, **TALL),
        branch7x7dbl_1=Convolution(channels, width, 1), branch7x7dbl_2=Convolution(width, width, **TALL),
        branch7x7dbl_3=Convolution(width, width, **WIDE), branch7x7dbl_4=Convolution(width, width, **TALL),
        branch7x7dbl_5=Convolution(width, 192, **WIDE), branch_pool=Convolution(channels, 192, 1),
    )  # fmt: skip


def _d(channels: int) -> Block:
    return Block(
        [["branch3x3_1", "branch3x3_2"], [f"branch7x7x3_{place}" for place in range(1, 5)]], "half",
        branch3x3_1=Convolution(channels, 192, 1), branch3x3_2=Convolution(192, 320, 3, stride=2),
        branch7x7x3_1=Convolution(channels, 192, 1), branch7x7x3_2=Convolution(192, 192, **WIDE),
        branch7x7x3_3=Convolution(192, 192, **TALL), branch7x7x3_4=Convolution(192, 192, 3, stride=2),
    )  # fmt: skip


def _e(channels: int, pool: str) -> Block:
    wide: dict[str, Any] = {"kernel": (1, 3), "padding": (0, 1)}
    tall: dict[str, Any] = {"kernel": (3, 1), "padding": (1, 0)}
    return Block(
        [["branch1x1"], ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
         ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]], pool,
        branch1x1=Convolution(channels, 320, 1), branch3x3_1=Convolution(channels, 384, 1),
        branch3x3_2a=Convolution(384, 384, **wide), branch3x3_2b=Convolution(384, 384, **tall),
        branch3x3dbl_1=Convolution(channels, 448, 1), branch3x3dbl_2=Convolution(448, 384, 3, padding=1),
        branch3x3dbl_3a=Convolution(384, 384, **wide), branch3x3dbl_3b=Convolution(384, 384, **tall),
        branch_pool=Convolution(channels, 192, 1),
    )  # fmt: skip


class Inception(nn.Module):
    """Images of bytes [n, 3, H, W] as numbers from 0 to 255 to the features [n, 2048] before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b(288)
        self.Mixed_6b, self.Mixed_6c = _c(768, 128), _c(768, 160)
        self.Mixed_6d, self.Mixed_6e = _c(768, 160), _c(768, 192)
        self.Mixed_7a = _d(768)
        self.Mixed_7b, self.Mixed_7c = _e(1280, "mean"), _e(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> Tensor:
        x = (resized(images, SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        blocks = [block for name, block in self.named_children() if name.startswith("Mixed")]
        for block in blocks:
            x = block(x)
        return x.mean((2, 3))


def resized(images: Tensor, side: int) -> Tensor:
    """Return images [n, C, H, W] as [n, C, side, side], bilinear: pixel k is from k H / side, as in TensorFlow 1."""
    for axis in (2, 3):
        size = images.shape[axis]
        at = torch.arange(side, device=images.device, dtype=torch.float64) * size / side
        low = at.long()
        share = (at - low).to(images.dtype).reshape(-1, *(1,) * (3 - axis))
        below, above = (images.index_select(axis, place) for place in (low, (low + 1).clamp(max=size - 1)))
        images = below + share * (above - below)
    return images
