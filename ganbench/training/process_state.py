"""The state of the process that all code shares: what a plug-in changed of it is found, told, and put back."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

Setting = tuple[Callable[[], Any], Callable[[Any], Any]]
Names = list[dict[str, Any]]


def _to_filters(kept: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = kept  # type: ignore[index] # it is a list


NUMERIC: dict[str, Setting] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the warnings' filters": (lambda: list(warnings.filters), _to_filters),
}
"""What changes the numbers of everything that is computed later; cheap to look at."""

NAMESPACES = (torch, torch.nn.functional, torch.Tensor, torch.autograd, torch.nn.Module)
"""Where functions of torch are looked up: one that is replaced there is replaced for everybody."""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _folder() -> str:
    with suppress(OSError):
        return os.getcwd()
    return ""


def _to_folder(path: str) -> None:
    with suppress(OSError):
        os.chdir(path)


def _to_environment(kept: dict[str, str]) -> None:
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    os.environ.update(kept)


def _to_streams(kept: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = kept


def _numpy_state() -> Any:
    return np.random.get_state()  # noqa: NPY002 - of plug-ins that use it


def _plain(state: Any) -> tuple[Any, ...]:
    return (state[0], state[1].tobytes(), *state[2:])


REST: dict[str, Setting] = {
    "the working directory": (_folder, _to_folder),
    "the environment": (lambda: dict(os.environ), _to_environment),
    "the file mode mask": (_umask, os.umask),
    "torch's random state": (lambda: torch.get_rng_state().numpy().tobytes(), lambda kept: torch.set_rng_state(
        torch.frombuffer(bytearray(kept), dtype=torch.uint8))),
    "NumPy's random state": (lambda: _plain(_numpy_state()), lambda kept: None),
    "Python's random state": (random.getstate, random.setstate),
    "the standard streams": (lambda: (sys.stdout, sys.stderr), _to_streams),
    "the import path": (lambda: list(sys.path), lambda kept: sys.path.__setitem__(slice(None), kept)),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
}  # fmt: skip
"""What else a plug-in may leave behind."""


def torch_names() -> Names:
    """Return what torch's functions are called now."""
    return [dict(vars(space)) for space in NAMESPACES]


class ProcessState:
    """The state at a moment, of all settings or of those that change numbers alone."""

    def __init__(self, settings: dict[str, Setting], names: Names | None = None) -> None:
        """Look at the settings now; names: torch's functions as they were earlier, to save a look at them."""
        self._settings = settings
        self._kept = {name: read() for name, (read, _) in settings.items()}
        self._numpy = _numpy_state() if "NumPy's random state" in settings else None
        self._names = torch_names() if names is None else names

    def changes(self) -> list[str]:
        """Return in words what is not as it was."""
        found = [name for name, (read, _) in self._settings.items() if read() != self._kept[name]]
        replaced = [
            f"{getattr(space, '__name__', space)}.{name}" for space, kept in zip(NAMESPACES, self._names, strict=True)
            for name in self._replaced(space, kept)
        ]  # fmt: skip
        return found + replaced

    def _replaced(self, space: Any, kept: dict[str, Any]) -> list[str]:
        now = vars(space)
        # in one go where nothing was: this is asked after every call
        if len(now) == len(kept) and all(map(_is_same, now.values(), kept.values())):
            return []
        # what was only loaded since, or counts something, is no function that somebody else calls
        functions = ((name, value) for name, value in kept.items() if callable(value) and not isinstance(value, type))
        replaced = [name for name, value in functions if now.get(name) is not value]
        # a class's own function hides the one that it inherited, as most of a tensor's are
        bases = getattr(space, "__mro__", ())[1:]
        return replaced + [name for name in now.keys() - kept.keys() if any(name in vars(base) for base in bases)]

    def restore(self) -> None:
        """Put all of it back."""
        for name, (read, write) in self._settings.items():
            if read() != self._kept[name]:
                write(self._kept[name])
        if self._numpy is not None:
            np.random.set_state(self._numpy)  # noqa: NPY002 - of plug-ins that use it
        for space, kept in zip(NAMESPACES, self._names, strict=True):
            for name in self._replaced(space, kept):
                if name in kept:
                    setattr(space, name, kept[name])
                else:
                    delattr(space, name)


def _is_same(now: Any, kept: Any) -> bool:
    return now is kept


@contextmanager
def preserved(tell: Callable[[list[str]], None]) -> Iterator[None]:
    """Put the state of the process back at the end of a block, and tell what was changed in it."""
    state = ProcessState({**NUMERIC, **REST})
    try:
        yield
    finally:
        changed = state.changes()
        state.restore()
        if changed:
            tell(changed)
