"""Which variant is to blame for what its plug-ins raise while it is built."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganbench.errors import UserError, told
from ganbench.interrupts import is_raised_by_code
from ganbench.plan import Variant

ENGINE = Path(__file__).parent


@contextmanager
def building(variant: Variant) -> Iterator[None]:
    """Turn what a plug-in raises on a value that it cannot take into a UserError that names the variant."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:  # a plug-in may raise anything
        if not is_raised_by_code(error):
            raise
        raise UserError(f"Cannot train '{variant.id}': {told(error).rstrip('.')}{_where(error)}.") from error


def _where(error: BaseException) -> str:
    """Return the line that raised; nothing where the engine did, which saw what a plug-in had done."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(place.filename)
    return "" if ENGINE in file.parents else f" ({file.name}, line {place.lineno})"
