"""Adaptive augmentation (ADA) for few images: all that D sees is changed, the oftener the surer D is."""

from dataclasses import dataclass, field

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn, optim
from torch.nn.functional import logsigmoid, pad

import ganbench


class MinibatchStd(nn.Module):
    """Adds a channel: how much the samples of a group differ."""

    def __init__(self, group=4):
        super().__init__()
        self.group = group

    def forward(self, x):
        spread = x.unflatten(0, (self.group, -1)).var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3), keepdim=True)
        return torch.cat([x, spread.repeat(self.group, 1, *x.shape[2:])], 1)


def build(z_dim=16, width=24):
    synthesis = nn.Sequential(
        nn.Linear(z_dim, 4 * width), nn.Unflatten(1, (width, 2, 2)), nn.SiLU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, 1, 1), nn.SiLU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, 1, 3, 1, 1),
        nn.Tanh(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.LeakyReLU(0.2),
        MinibatchStd(), nn.Conv2d(2 * width + 1, width, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Linear(4 * width, 1),
    )  # fmt: skip
    return synthesis, critic


@dataclass
class Augment:
    """Flips, moves, darkens and cuts out, each with a probability that follows D's signs on real images."""

    target: float = 0.6
    rate: float = 5e-3
    p: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        picks = torch.rand(4, n, 1, 1, 1) < self.p
        x = torch.where(picks[0], x.flip(3), x)
        across, down = (int(shift) for shift in torch.randint(0, 3, (2,)))
        x = torch.where(picks[1], pad(x, (1, 1, 1, 1), value=-1.0)[:, :, down : down + h, across : across + w], x)
        x = torch.where(picks[2], (x + 1) * (0.6 + 0.4 * torch.rand(n, 1, 1, 1)) - 1, x)
        hole = torch.zeros_like(x)
        hole[:, :, 2:5, 2:5] = 1.0
        return torch.where(picks[3], x * (1 - hole), x)

    def adapt(self, real_logits: Tensor) -> None:
        sign = real_logits.sign().mean().item()
        self.p = min(0.8, max(0.0, self.p + (self.rate if sign > self.target else -self.rate)))


@dataclass
class State:
    g: nn.Module
    d: nn.Module
    opt_g: optim.Optimizer
    opt_d: optim.Optimizer
    augment: Augment = field(default_factory=Augment)
    z_dim: int = 16

    def latents(self, n: int) -> Tensor:
        return torch.randn(n, self.z_dim)


def d_step(state: State, images: Tensor) -> Tensor:
    with torch.no_grad():
        generated = state.g(state.latents(len(images)))
    real_logits, fake_logits = state.d(state.augment(images)), state.d(state.augment(generated))
    loss = -logsigmoid(real_logits).mean() - logsigmoid(-fake_logits).mean()
    state.opt_d.zero_grad()
    loss.backward()
    state.opt_d.step()
    state.augment.adapt(real_logits.detach())
    return loss.detach()


def g_step(state: State, n: int) -> Tensor:
    generated = state.g(state.latents(n))
    loss = -logsigmoid(state.d(state.augment(generated))).mean()
    state.opt_g.zero_grad()
    loss.backward()
    state.opt_g.step()
    return loss.detach()


torch.manual_seed(0)
few = torch.tensor(load_digits().images, dtype=torch.float32)[:, None][:400] / 8 - 1
synthesis, critic = build()
rates = {"lr": 1e-3, "betas": (0.0, 0.99)}
state = State(synthesis, critic, optim.Adam(synthesis.parameters(), **rates), optim.Adam(critic.parameters(), **rates))
monitor = ganbench.Monitor(state.g, state.d, few, state.latents, out="reports/augmented")
for _ in range(30):
    for images in few[torch.randperm(len(few))].split(40):
        losses = {"d_loss": d_step(state, images), "g_loss": g_step(state, len(images))}
        monitor.step(**losses, p=state.augment.p)
monitor.close()
