"""ganbench: does a GAN fail, how, when, how often over seeds, at what cost, and how sure are we?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganbench.errors import UserError

if TYPE_CHECKING:
    from ganbench import contracts, metrics
    from ganbench.api import Study, load, run
    from ganbench.monitor import Monitor, TrainingStopped
    from ganbench.problems.keeping import write_data
    from ganbench.registry import register

__version__ = "0.1.0"
__all__ = [
    "Monitor", "Study", "TrainingStopped", "UserError", "contracts", "load", "metrics", "register", "run", "write_data",
]  # fmt: skip

_LAZY = {
    "Monitor": "ganbench.monitor",
    "TrainingStopped": "ganbench.monitor",
    "Study": "ganbench.api",
    "load": "ganbench.api",
    "run": "ganbench.api",
    "register": "ganbench.registry",
    "write_data": "ganbench.problems.keeping",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # torch and pandas take seconds to import: only for those who train, measure or read results
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in ("contracts", "metrics"):
        return import_module(f"ganbench.{name}")
    raise AttributeError(f"module 'ganbench' has no attribute '{name}'")
