"""What a plug-in that measures returns: columns of one real number a run, under the names that it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ganbench.errors import UserError, quoted, unknown
from ganbench.registry import Plugin


@contextmanager
def kept(plugin: Plugin, *samples: Tensor) -> Iterator[None]:
    """Raise UserError where a metric edits in place what the others are measured by; torch counts what is edited."""
    before = [tensor._version for tensor in samples]
    yield
    if [tensor._version for tensor in samples] != before:
        raise UserError(f"The {plugin.kind} '{plugin.name}' edits samples in place, by which others are measured.")


def columns_of(plugin: Plugin, found: Any, runs: int) -> dict[str, Tensor]:
    """Return what a metric or diagnostic has returned for so many runs; UserError where it is no columns of theirs.

    A column may be of a place, `singular_values.g`. What this package ships is tested, and taken as it is.
    """
    if plugin.is_own:
        return dict(found)
    name = f"The {plugin.kind} '{plugin.name}'"
    if not isinstance(found, Mapping):
        raise UserError(f"{name} returns a {type(found).__name__}, not its columns by name: {{column: tensor [runs]}}.")
    for column, values in found.items():
        if str(column).partition(".")[0] not in plugin.meta["measures"]:
            raise unknown(f"column of the {plugin.kind} '{plugin.name}', which its 'measures' do not declare,", column,
                          plugin.meta["measures"])  # fmt: skip
        if not isinstance(values, Tensor):
            raise UserError(f"{name} gives its column '{column}' a {type(values).__name__}, not a tensor [{runs}].")
        if values.shape != (runs,):
            raise UserError(
                f"{name} gives its column '{column}' the shape {list(values.shape)}, not a number a run, [{runs}]."
            )
        if values.is_complex():
            raise UserError(f"{name} gives its column {quoted(column)} complex numbers, not real ones.")
    return dict(found)
