"""IDX files, the form of MNIST (LeCun) and Fashion-MNIST: big-endian sizes behind a magic number, packed or not."""

from __future__ import annotations

import struct

import numpy as np

from ganbench.arrays import Array
from ganbench.errors import UserError
from ganbench.problems.readers.base import Images, Looks, Parts, labels_of, of_array
from ganbench.problems.readers.shelves import Shelf

FILES = {part: (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")}
BYTES = 8  # the code of unsigned bytes


def is_there(shelf: Shelf) -> bool:
    """Tell whether there are IDX files under MNIST's names, or one of images by itself."""
    alone = len(shelf.names) == 1 and "-idx3-ubyte" in shelf.names[0]
    return alone or any(shelf.find(images) for images, _ in FILES.values())


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return the images of a folder or archive under MNIST's names, or those of one file."""
    read_parts = [_part(shelf, *names, looks) for names in FILES.values()]
    train, held_out = read_parts
    if train is None:
        name = next(name for name in shelf.names if "-idx3-ubyte" in name)
        return Parts(looks.of(Images(of_array(array(shelf, name, 3), f"'{shelf.place(name)}'"))))
    return Parts(train, held_out)


def _part(shelf: Shelf, images: str, labels: str, looks: Looks) -> Images | None:
    found = shelf.find(images, labels)
    if images not in found:
        return None
    pixels = of_array(array(shelf, found[images], 3), f"'{shelf.place(found[images])}'")
    if labels not in found:
        return looks.of(Images(pixels))
    own, classes = labels_of(array(shelf, found[labels], 1), len(pixels), f"'{shelf.place(found[labels])}'")
    return looks.of(Images(pixels, own, classes))


def array(shelf: Shelf, name: str, axes: int) -> Array:
    """Return the bytes of an IDX file as an array of so many axes; UserError for another form or length."""
    content, place = shelf.unpacked(name), shelf.place(name)
    start, magic = 4 + 4 * axes, bytes([0, 0, BYTES, axes])
    if len(content) < start or content[:4] != magic:
        raise UserError(
            f"'{place}' begins with {content[:4].hex() or 'nothing'} instead of {magic.hex()}, the magic number of an "
            f"IDX file of bytes in {axes} {'axes' if axes > 1 else 'axis'}."
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    wanted = int(np.prod(shape, dtype=object))
    if len(content) - start != wanted:
        says = " x ".join(map(str, shape))
        raise UserError(f"'{place}' holds {len(content) - start} bytes, and its header says {says} = {wanted}.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
