"""What networks of any kind take and return: samples, scores, maps, in tensors, tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

SCORES = ("logits", "logit", "scores", "score")
SAMPLES = ("image", "images", "pixel_values", "samples", "sample", "x", "data", "audio", "real")
# steps of the graph that hand numbers on as they are
VIEWS = ("View", "Reshape", "Squeeze", "Unsqueeze", "Alias", "Select", "Slice", "Transpose", "Permute", "ToCopy")
ENDINGS = ("sigmoid", "tanh", "softmax", "relu", "softplus")
"""Functions that bound the numbers they make."""


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested tuples, lists and dicts, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from tensors_in(part)


def first_samples(value: Any) -> Tensor | None:
    """Return the first floating-point tensor with a batch axis, None where there is none."""
    return next((x for x in tensors_in(value) if x.is_floating_point() and x.dim() > 0), None)


def score_maps(out: Any) -> list[Tensor]:
    """Return the scores of a discriminator's output, a map [n, ...] a scale; empty where it has none.

    A tensor is itself; a dict has them under "logits" or "scores" or comes first; a tuple has them first, features
    after; a list has a scale in each item, and a list within it ends with the scores, as in pix2pixHD.
    """
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() and out.dim() > 0 else []
    if isinstance(out, Mapping):
        named = next((out[key] for key in SCORES if key in out), None)
        return score_maps(next(iter(out.values()), None) if named is None else named)
    if isinstance(out, tuple):
        return score_maps(out[0]) if out else []
    if isinstance(out, list):
        return [found for part in out for found in score_maps(part[-1] if isinstance(part, list) and part else part)]
    # what Transformers and Diffusers return: a record with named fields
    return score_maps(next((getattr(out, key) for key in SCORES if hasattr(out, key)), None)) if out is not None else []


def ending(out: Tensor) -> str:
    """Return the function that made a tensor, one of ENDINGS or "" for another; views are seen through.

    Read from the graph, so that what a `forward` does without a module is seen too.
    """
    node = out.grad_fn
    while node is not None:
        name = node.name()
        for function in ENDINGS:
            if name.lower().startswith(function) or name.lower().startswith(f"_{function}"):
                return function
        if not name.startswith(VIEWS) and not name.startswith("_"):
            return ""
        following = [parent for parent, _ in node.next_functions if parent is not None]
        node = following[0] if len(following) == 1 else None
    return ""
