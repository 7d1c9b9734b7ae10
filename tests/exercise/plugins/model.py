"""A model of one's own that plays no game: a Gaussian with the running moments of what it has seen."""

import math
from contextlib import nullcontext

import torch

from ganbench import register
from ganbench.training.cost import StepCost
from ganbench.training.noise import Stream

IGNORED = (
    "network", "loss", "normalization", "g_normalization", "regularizer", "g_regularizer", "update", "trick", "term",
    "optimizer",
)  # fmt: skip


class Gaussians:
    """The Gaussians of all runs: first and second moments [runs, size] and [runs, size, size]."""

    looped = ()

    def __init__(self, runs, problem, device):
        self.runs, self.problem, self.device, self.variant = list(runs), problem, device, runs[0].variant
        seeds, size = [run.seed for run in runs], math.prod(problem.shape)
        self.batches = Stream("data", seeds, self.variant.batch_size, problem.sample, device, torch.float32)
        self.mean, self.square = (torch.zeros(len(seeds), *shape, device=device) for shape in ((size,), (size, size)))
        self.alive = torch.ones(len(seeds), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(seeds),), -1, device=device)
        self.step = 0

    def advance(self):
        x = self.batches.at(self.step).flatten(2)
        weight = self.alive.float() / (self.step + 1)
        self.mean.lerp_(x.mean(1), weight[:, None])
        self.square.lerp_(x.mT @ x / x.shape[1], weight[:, None, None])
        self.step += 1

    def generate(self, latents, given=None):
        values, vectors = torch.linalg.eigh(self.square - self.mean[:, :, None] * self.mean[:, None, :])
        axes = (vectors * values.clamp(min=0).sqrt()[:, None, :])[..., -latents.shape[-1] :]
        x = self.mean[:, None] + latents[..., : axes.shape[-1]] @ axes.mT
        return x.unflatten(2, self.problem.shape)

    def generate_average(self, latents, given=None):
        return None

    def game(self, given=None):
        return None

    def whole(self, samples):
        return samples

    def measuring(self):
        return nullcontext()

    def costs(self):
        size = self.mean.shape[1]
        return StepCost((2.0 * self.variant.batch_size * size**2,) * len(self.runs), 4 * self.square.numel())

    def state_dict(self):
        return {key: getattr(self, key) for key in ("step", "mean", "square", "alive", "diverged_step")}

    def load_state_dict(self, state):
        self.step = state["step"]
        for key in ("mean", "square", "alive", "diverged_step"):
            getattr(self, key).copy_(state[key])


@register("model", ignores=IGNORED, needs={"nothing_given": "it takes no label"})
def gaussian(runs, problem, device):
    """A Gaussian with the moments of the data: what every generator should beat."""
    return Gaussians(runs, problem, device)
