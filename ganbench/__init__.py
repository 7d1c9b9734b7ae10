"""ganbench: does a GAN fail, how, when, how often over seeds, at what cost, and how sure are we?"""

from typing import TYPE_CHECKING, Any

from ganbench.errors import UserError
from ganbench.registry import register

if TYPE_CHECKING:
    from ganbench.api import Study, load, run

__version__ = "0.1.0"
__all__ = ["Study", "UserError", "load", "register", "run"]


def __getattr__(name: str) -> Any:
    # torch and pandas take seconds to import: only for those who train or read results
    if name in ("Study", "load", "run"):
        from ganbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'ganbench' has no attribute '{name}'")
