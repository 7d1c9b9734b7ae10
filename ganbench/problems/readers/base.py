"""What every reader returns: images as bytes, with labels where there are any; and how images are brought to a size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganbench.arrays import Array
from ganbench.errors import UserError

SMALLEST, LARGEST = 4, 512
CHUNK = 1024  # images that are resized at a time
HELD_OUT = 10
"""One image in so many is held out where a data set has no part of its own for that."""
FEWEST = 6
"""So few may be held out: with fewer, neighbours of a sample cannot be counted, and nothing is measured."""


@dataclass(frozen=True)
class Images:
    """Images uint8 [n, C, H, W], the label of each [n] int64 from 0 where they have any, and the classes' names.

    notes: what was made of them, in sentences.
    """

    pixels: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, places: Tensor) -> Images:
        """Return the images at places [m]."""
        labels = None if self.labels is None else self.labels[places]
        return replace(self, pixels=self.pixels[places], labels=labels)


@dataclass(frozen=True)
class Parts:
    """The images to train on and those that are held out; None where a data set has no such part."""

    train: Images
    held_out: Images | None = None


@dataclass(frozen=True)
class Looks:
    """How images are brought to one form.

    size: pixels of a side that they are resized to (0: as they are). crop: to their central square first. channels: 1
    makes them grey, 3 coloured (0: as they are). skip_corrupt: leave out pictures that do not read.
    """

    size: int = 0
    crop: bool = False
    channels: int = 0
    skip_corrupt: bool = False

    def __post_init__(self) -> None:
        if self.size and not SMALLEST <= self.size <= LARGEST:
            raise UserError(
                f"Images have a size of {SMALLEST} to {LARGEST} pixels, or 0 for their own, got {self.size}."
            )
        if self.channels not in (0, 1, 3):
            raise UserError(f"Images have 1 or 3 channels, or 0 for their own, got {self.channels}.")

    def of(self, images: Images) -> Images:
        """Return images in this form, with a note of what was done; UserError where a size is no square."""
        pixels, notes = _in_channels(images.pixels, self.channels)
        height, width = pixels.shape[-2:]
        if self.crop and height != width:
            pixels = cropped(pixels)
            notes.append(f"Cropped from {height} x {width} to the central square.")
        if self.size and tuple(pixels.shape[-2:]) != (self.size, self.size):
            notes.append(f"Resized from {pixels.shape[-2]} x {pixels.shape[-1]} to {self.size} x {self.size}, "
                         f"{RESIZED}.")  # fmt: skip
            pixels = resized(pixels, self.size)
        return replace(images, pixels=pixels, notes=(*images.notes, *notes))


RESIZED = "bilinear with antialiasing, rounded to bytes once"


def resized(pixels: Tensor, size: int) -> Tensor:
    """Return images uint8 [n, C, H, W] as [n, C, size, size]; UserError where they are no squares.

    Bilinear with antialiasing: the filter is as wide as a pixel of the smaller image, as Pillow's is.
    """
    height, width = pixels.shape[-2:]
    if height != width:
        raise UserError(f"Images of {height} x {width} pixels do not fit a square of {size} x {size}: crop them first.")
    small = [
        torch.nn.functional.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
        for part in pixels.split(CHUNK)
    ]
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in small])


def cropped(pixels: Tensor) -> Tensor:
    """Return the central square of images [..., H, W]."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]


def _in_channels(pixels: Tensor, channels: int) -> tuple[Tensor, list[str]]:
    """Return images in 1 or 3 channels, and what was done."""
    own = pixels.shape[1]
    if channels in (0, own):
        return pixels, []
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous(), ["Grey pictures were given three equal channels."]
    # ITU-R 601, as Pillow makes images grey
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = [(part * luma).sum(1, keepdim=True).round().to(torch.uint8) for part in pixels.split(CHUNK)]
    return torch.cat(grey), ["Coloured pictures were made grey (ITU-R 601)."]


def of_array(array: Array, what: str) -> Tensor:
    """Return images [n, H, W], [n, H, W, C] or [n, C, H, W] of bytes as a tensor uint8 [n, C, H, W].

    UserError, with `what` as their name, for anything else: numbers are not scaled by guess.
    """
    if array.dtype != "uint8":
        raise UserError(f"{what} holds {array.dtype}, and images are read as bytes: scale them to 0..255 as uint8.")
    if array.ndim not in (3, 4) or not array.size:
        raise UserError(
            f"{what} has the shape {list(array.shape)}; images are [n, H, W], [n, H, W, C] or [n, C, H, W]."
        )
    tensor = torch.from_numpy(array.copy())
    if array.ndim == 3:
        return tensor[:, None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        raise UserError(f"{what} has the shape {list(array.shape)}, in which one axis must be of 1 or 3 channels.")
    return tensor if first else tensor.permute(0, 3, 1, 2).contiguous()


def labels_of(values: Array, count: int, what: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels [n] int64, from 0 without gaps, and the classes' names, of whole numbers or texts [n] or [n, 1].

    UserError where they are not as many as the images, or no labels.
    """
    flat = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.ndim != 1 or len(flat) != count:
        raise UserError(f"{what} has the shape {list(values.shape)}, and there are {count} images: one label for each.")
    if flat.dtype.kind not in "iub" and flat.dtype.kind not in "US":
        raise UserError(f"{what} holds {flat.dtype}; labels are whole numbers.")
    names, places = torch.unique(torch.from_numpy(flat.astype("int64")), return_inverse=True) if (
        flat.dtype.kind in "iub"
    ) else _named(flat.tolist())  # fmt: skip
    return places, tuple(map(str, names.tolist() if isinstance(names, Tensor) else names))


def _named(values: list[str]) -> tuple[list[str], Tensor]:
    names = sorted(set(values))
    place = {name: at for at, name in enumerate(names)}
    return names, torch.tensor([place[value] for value in values])


def split_by_content(images: Images) -> Parts:
    """Hold out one image in ten, by a hash of its pixels: the same ones whenever others are added or files renamed.

    Equal images are in the same part. UserError where a part would hold fewer than six.
    """
    digests = _digests(images.pixels)
    # 2^256 / HELD_OUT in the first eight digits
    held_out = torch.tensor([int(digest[:8], 16) < 2**32 // HELD_OUT for digest in digests])
    train, held = torch.nonzero(~held_out)[:, 0], torch.nonzero(held_out)[:, 0]
    if min(len(train), len(held)) < FEWEST:
        raise UserError(
            f"{len(images)} images are too few to hold one in {HELD_OUT} out: {len(held)} would be held out and "
            f"{len(train)} trained on, and {FEWEST} are needed of each."
        )
    note = f"{len(held)} images of {len(images)} are held out, one in {HELD_OUT} by a hash of their pixels."
    return Parts(replace(images.at(train), notes=(*images.notes, note)), images.at(held))


def in_random_order(images: Images) -> Images:
    """Return images in the order of their content, which says nothing and does not depend on that of the files."""
    order = sorted(range(len(images)), key=_digests(images.pixels).__getitem__)
    return images.at(torch.tensor(order))


def _digests(pixels: Tensor) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels.numpy()]


def check_alike(train: Images, held_out: Images, where: str) -> None:
    """Raise UserError where two parts differ in form: in their sizes, in having labels, in their classes."""
    own, other = (list(part.pixels.shape[1:]) for part in (train, held_out))
    if own != other:
        raise UserError(f"The two parts of '{where}' have images of other shapes, {own} and {other}.")
    if (train.labels is None) != (held_out.labels is None):
        raise UserError(f"Of the two parts of '{where}' one has labels and the other has none.")
    if differing := sorted(set(train.classes) ^ set(held_out.classes)):
        raise UserError(f"The two parts of '{where}' have other classes: '{differing[0]}' is in one of them alone.")


def together(parts: Iterable[Images]) -> Images:
    """Return images of one shape and of the same classes as one."""
    listed = list(parts)
    labels = [one.labels for one in listed if one.labels is not None]
    pixels = torch.cat([one.pixels for one in listed])
    return replace(listed[0], pixels=pixels, labels=torch.cat(labels) if len(labels) == len(listed) else None)
