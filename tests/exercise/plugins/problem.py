"""A problem of one's own."""

import torch

from ganbench import register
from ganbench.problems.mixtures import Mixture


@register("problem", provides={"modes"})
def cross(*, arm: float = 2.0, std: float = 0.1):
    """Five equal Gaussians on a cross, one of them in the middle."""
    centres = arm * torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return Mixture("cross", centres, std)
