"""Problems of images that lie in files: packaged data sets, and a user's own pictures, arrays and archives."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ganbench.errors import UserError
from ganbench.identity import contents
from ganbench.problems.images import ImagesWithLabels, LabelledImages, UnlabelledImages, tailed
from ganbench.problems.readers import Looks, Parts, read, split_by_content
from ganbench.problems.readers.base import in_random_order
from ganbench.registry import register

RANGE = (-1.0, 1.0)
CLASSES = {"image", "classes", "unequal_groups"}

FASHION = ("fashion-mnist", "/usr/share/datasets/fashion-mnist")
MNIST = ("mnist",)
CIFAR10 = ("cifar-10", "cifar-10-batches-bin", "cifar-10-batches-py")
SVHN = ("svhn",)


def found(name: str, folders: Sequence[str], root: str = "") -> Path:
    """Return where the files of a data set are: `root`, or the first of these folders, below GANBENCH_DATA or absolute.

    UserError, which says where it was looked for, where there is none.
    """
    if root:
        return Path(root).expanduser().absolute()
    above = os.environ.get("GANBENCH_DATA")
    places = [Path(above or "$GANBENCH_DATA", folder).expanduser() for folder in folders]
    for place in places:
        if (above or place.is_absolute()) and place.is_dir():
            return place.absolute()
    looked = " or ".join(f"'{place}'" for place in places)
    unset = "" if above else " (the variable GANBENCH_DATA is not set)"
    raise UserError(f"The problem '{name}' has no files here: there is no folder {looked}{unset}, and no {_key(name)}.")


def _key(name: str) -> str:
    return f"problem.{name}.root=PATH"


def own_path(name: str, root: str, what: str = "images") -> Path:
    """Return the path of a user's data; UserError where none is given."""
    if not root:
        raise UserError(f"The problem '{name}' needs {_key(name)}, where its {what} are.")
    return Path(root).expanduser().absolute()


def image_problem(
    name: str, parts: Parts, *, gives_labels: bool = False, tail: float = 1.0, samples: int = 0
) -> UnlabelledImages:
    """Return the problem of some images; where nothing is held out, one in ten is, by a hash of its pixels.

    Its classes, where the images have labels, are measured, and given to both players if `gives_labels`. tail: how
    many times as large the first class is made as the last one. samples: train on so many alone (0: all). UserError
    where labels are asked for that are not there, and for other numbers than there can be.
    """
    return _of(name, prepared(parts), gives_labels, tail, samples)


def prepared(parts: Parts) -> Parts:
    """Return parts that are both there, each in an order that says nothing."""
    if parts.held_out is None:
        parts = split_by_content(parts.train)
    assert parts.held_out is not None
    return Parts(in_random_order(parts.train), in_random_order(parts.held_out))


def _of(name: str, parts: Parts, gives_labels: bool, tail: float, samples: int) -> UnlabelledImages:
    train, held_out = parts.train, parts.held_out
    assert held_out is not None
    problem: UnlabelledImages
    if train.labels is None or held_out.labels is None:
        if gives_labels or tail != 1:
            asks = "it gives" if gives_labels else "a tail needs"
            raise UserError(f"The images of the problem '{name}' have no labels, which {asks}.")
        problem = UnlabelledImages(name, train.pixels, held_out.pixels, RANGE, samples=samples)
    else:
        form = ImagesWithLabels if gives_labels else LabelledImages
        pairs = tailed(name, ((train.pixels, train.labels), (held_out.pixels, held_out.labels)), tail)
        problem = form(name, *pairs, RANGE, samples=samples)
    problem.notes = tuple(dict.fromkeys((*train.notes, *held_out.notes)))
    return problem


def of_files(
    name: str, path: Path, looks: Looks, *, gives_labels: bool = False, tail: float = 1.0, samples: int = 0
) -> UnlabelledImages:
    """Return the problem of the images at a path, see `image_problem`."""
    return _of(name, _loaded(path, contents.of_path(path), looks), gives_labels, tail, samples)


@lru_cache(maxsize=2)
def _loaded(path: Path, digest: str, looks: Looks) -> Parts:
    """Read images at a path whose content has this hash; the last ones are kept."""
    parts = prepared(read(path, looks))
    return replace(parts, train=replace(parts.train, notes=(f"Files of content {digest}.", *parts.train.notes)))


def packaged(name: str, folders: Sequence[str]) -> Callable[..., Path]:
    """Return what finds the files of a problem, whatever its hyper-parameters: its `sources`."""
    return lambda root="", **hypers: found(name, folders, root)


def users(name: str, what: str = "images") -> Callable[..., Path]:
    """Return what finds a user's own files, whatever the other hyper-parameters: a problem's `sources`."""
    return lambda root, **hypers: own_path(name, root, what)


@register("problem", provides=CLASSES, external=True, sources=packaged("fashion", FASHION), later="root")
def fashion(*, size: int = 28, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """Fashion-MNIST, grey pictures of ten kinds of clothes: 60 000 to train on, 10 000 held out (Xiao 2017).

    Its IDX files are those of Debian's package dataset-fashion-mnist, or lie in GANBENCH_DATA/fashion-mnist.
    """
    return of_files("fashion", found("fashion", FASHION, root), Looks(size), tail=tail, samples=samples)


@register(
    "problem",
    gives="label",
    provides=CLASSES | {"label"},
    external=True,
    sources=packaged("fashion_labelled", FASHION),
    later="root",
)
def fashion_labelled(*, size: int = 28, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """Fashion-MNIST as in `fashion`, the kind of each picture given as its label."""
    path = found("fashion_labelled", FASHION, root)
    return of_files("fashion_labelled", path, Looks(size), gives_labels=True, tail=tail, samples=samples)


@register("problem", provides=CLASSES, external=True, sources=packaged("mnist", MNIST), later="root")
def mnist(*, size: int = 28, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """MNIST, grey handwritten digits: 60 000 to train on, 10 000 held out (LeCun 1998); GANBENCH_DATA/mnist."""
    return of_files("mnist", found("mnist", MNIST, root), Looks(size), tail=tail, samples=samples)


@register("problem", provides=CLASSES, external=True, sources=packaged("cifar10", CIFAR10), later="root")
def cifar10(*, size: int = 32, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """CIFAR-10, coloured pictures of ten classes: 50 000 and 10 000 (Krizhevsky 2009); GANBENCH_DATA/cifar-10."""
    return of_files("cifar10", found("cifar10", CIFAR10, root), Looks(size), tail=tail, samples=samples)


@register(
    "problem",
    gives="label",
    provides=CLASSES | {"label"},
    external=True,
    sources=packaged("cifar10_labelled", CIFAR10),
    later="root",
)
def cifar10_labelled(*, size: int = 32, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """CIFAR-10 as in `cifar10`, the class of each picture given as its label."""
    path = found("cifar10_labelled", CIFAR10, root)
    return of_files("cifar10_labelled", path, Looks(size), gives_labels=True, tail=tail, samples=samples)


@register("problem", provides=CLASSES, external=True, sources=packaged("svhn", SVHN), later="root")
def svhn(*, size: int = 32, tail: float = 1.0, samples: int = 0, root: str = "") -> UnlabelledImages:
    """Street View House Numbers, cropped digits: 73 257 and 26 032 (Netzer 2011); GANBENCH_DATA/svhn."""
    return of_files("svhn", found("svhn", SVHN, root), Looks(size), tail=tail, samples=samples)


@register("problem", provides={"image"}, external=True, sources=users("folder"))
def folder(
    *, root: str = "", size: int = 0, crop: bool = False, channels: int = 0, skip_corrupt: bool = False,
    samples: int = 0,
) -> UnlabelledImages:  # fmt: skip
    """Pictures of one's own: a folder or zip of them, or any files that ganbench reads; classes are measured.

    Class folders or a dataset.json are their labels. Where a folder has `train` and `test` or `val`, that is the split;
    otherwise one picture in ten is held out by a hash of its pixels.
    """
    return of_files("folder", own_path("folder", root), Looks(size, crop, channels, skip_corrupt), samples=samples)


@register("problem", gives="label", provides=CLASSES | {"label"}, external=True, sources=users("folder_labelled"))
def folder_labelled(
    *, root: str = "", size: int = 0, crop: bool = False, channels: int = 0, skip_corrupt: bool = False,
    tail: float = 1.0, samples: int = 0,
) -> UnlabelledImages:  # fmt: skip
    """Pictures of one's own as in `folder`, the class of each given as its label."""
    looks = Looks(size, crop, channels, skip_corrupt)
    path = own_path("folder_labelled", root)
    return of_files("folder_labelled", path, looks, gives_labels=True, tail=tail, samples=samples)


@register("problem", provides={"image"}, external=True, sources=users("npz"))
def npz(*, root: str = "", size: int = 0, channels: int = 0, samples: int = 0) -> UnlabelledImages:
    """Images of a file .npz or .npy, uint8 [n, H, W], [n, H, W, C] or [n, C, H, W]; classes are measured."""
    return of_files("npz", own_path("npz", root), Looks(size, channels=channels), samples=samples)


@register("problem", gives="label", provides=CLASSES | {"label"}, external=True, sources=users("npz_labelled"))
def npz_labelled(
    *, root: str = "", size: int = 0, channels: int = 0, tail: float = 1.0, samples: int = 0
) -> UnlabelledImages:
    """Images of a file .npz as in `npz`, the label of each given."""
    path = own_path("npz_labelled", root)
    looks = Looks(size, channels=channels)
    return of_files("npz_labelled", path, looks, gives_labels=True, tail=tail, samples=samples)
