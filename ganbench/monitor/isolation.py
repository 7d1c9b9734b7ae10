"""Measuring without a trace: what a probe borrows from a training process, it gives back bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def own_randomness(seed: int = 0) -> Iterator[None]:
    """Give a block random numbers of its own (torch on CPU and CUDA, NumPy, Python), then restore the global states."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that a loop may use
    # CUDA that nobody has used has no state yet, and asking for it would start it
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            # not torch.manual_seed: it would leave a seed behind for devices that start later
            for generator in [torch.default_generator, *(torch.cuda.default_generators[i] for i in devices)]:
                generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002


@contextmanager
def untouched(*modules: nn.Module, evaluate: bool = True) -> Iterator[None]:
    """Run a block on modules in evaluation mode (or as they stand), in full precision, and leave no trace on them.

    Parameters and buffers are not covered: the block works on stand-ins of those (see `Watched`). What is restored are
    training flags and plain tensor attributes, which weight_norm and spectral_norm of the old kind recompute.
    """
    parts = [part for module in modules for part in module.modules()]
    tensors = [{key: value for key, value in vars(part).items() if isinstance(value, Tensor)} for part in parts]
    devices = {"cpu", *(parameter.device.type for module in modules for parameter in module.parameters())}
    with ExitStack() as stack:
        stack.enter_context(own_randomness())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in sorted(devices):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(flagged(False if evaluate else None, *modules))
        try:
            yield
        finally:
            for part, kept in zip(parts, tensors, strict=True):
                vars(part).update(kept)


@contextmanager
def flagged(training: bool | None, *modules: nn.Module) -> Iterator[None]:
    """Set the training flag of modules and all their parts for a block; None leaves them as they are."""
    parts = [part for module in modules for part in module.modules()]
    before = [part.training for part in parts]
    try:
        # not through train() and eval(), which a module may have overridden
        for part, flag in zip(parts, before, strict=True):
            part.training = flag if training is None else training
        yield
    finally:
        for part, flag in zip(parts, before, strict=True):
            part.training = flag


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside of DistributedDataParallel, DataParallel and torch.compile."""
    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while isinstance(module, wrappers) or isinstance(getattr(module, "_orig_mod", None), nn.Module):
        inner = module.module if isinstance(module, wrappers) else module._orig_mod
        assert isinstance(inner, nn.Module)
        module = inner
    return module


def is_main_process() -> bool:
    """Tell whether this process is alone, or rank 0 of several."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)
