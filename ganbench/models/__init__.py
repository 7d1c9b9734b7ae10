"""Models: what trains, GANs and what they are compared with.

A model is `(runs, problem, device, *, hypers) -> Learner` (training.learner), of runs that share their structure.
"""

from ganbench.models import gan, vae

__all__ = ["gan", "vae"]
