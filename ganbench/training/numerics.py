"""The precision in which a training step computes: float32 in full, TF32, or bfloat16 under autocast.

Weights, optimizers and all that is measured stay float32; what is multiplied in a step, forwards and backwards, is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ganbench.errors import UserError
from ganbench.plan import Variant


def check_numerics(variant: Variant, kind: str) -> None:
    """Raise UserError where a kind of device, "cpu" or "cuda", does not compute in a variant's precision."""
    if variant.numerics == "tf32" and kind == "cpu":
        raise UserError("The numerics 'tf32' are of CUDA devices; a CPU trains in fp32 or bf16.")
    on_cuda = kind == "cuda" and torch.cuda.is_available()
    if variant.numerics == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
        raise UserError("The numerics 'bf16' are none of this CUDA device: it is older than bfloat16.")


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in a precision for the length of a step, its gradients included.

    Gradients are taken within it: a layer that is written out (batched.product) multiplies in its backward pass too,
    and penalties differentiate that once more. No cast is kept from one operation to the next, as weights move between.
    """
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield
    elif precision == "tf32":
        matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
    else:
        yield
