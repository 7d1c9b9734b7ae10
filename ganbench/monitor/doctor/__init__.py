"""The doctor of a loop: what is wrong with its wiring, from a few iterations seen from outside.

`watching` fills a `Trace` by hooks that read and never write; rules (`wiring`, `scores`, `batches`) ask it.
"""

from ganbench.monitor.doctor.rules import RULES
from ganbench.monitor.doctor.trace import Fault, Trace
from ganbench.monitor.doctor.visit import Visit

__all__ = ["RULES", "Fault", "Trace", "Visit"]
