"""What a result depends on, as one hash: the code that a plug-in reaches, the data it reads, this package, the machine.

A result is reused only where all of it is the same. What cannot be covered has a reason, and is never reused.
"""

from ganbench.identity.environment import code_digest, differences, environment, rules_digest
from ganbench.identity.plugins import Identity, identify, loaded_code, sources_of

__all__ = [
    "Identity",
    "code_digest",
    "differences",
    "environment",
    "identify",
    "loaded_code",
    "rules_digest",
    "sources_of",
]
