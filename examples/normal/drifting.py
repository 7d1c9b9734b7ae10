"""Distillation by distribution matching with a GAN head: predicted velocities are turned into samples the wrong way."""

import torch
from torch import nn, optim
from torch.nn.functional import softplus

import ganbench

steps, batch_size, latent_dim, lr, head_weight = 600, 128, 8, 1e-3, 0.05

torch.manual_seed(0)
centres = 1.4 * torch.stack([torch.arange(8) * torch.pi / 4, torch.arange(8) * torch.pi / 4 + torch.pi / 2]).cos().T


def taught(n):
    return centres[torch.randint(8, (n,))] + 0.1 * torch.randn(n, 2)


def teachers_velocity(x, t):
    """Return what a perfect teacher predicts at x = (1 - t) sample + t noise: noise - sample, expected."""
    spread = ((1 - t) * 0.1).square() + t.square()
    share = (-(x[:, None] - (1 - t)[:, None] * centres).square().sum(2) / (2 * spread)).softmax(1)
    near = share @ centres
    sample = near + (1 - t) * 0.01 / spread * (x - (1 - t) * near)
    return (x - (1 - t) * sample) / t - sample


def as_sample(x, velocity, t):
    return x + t * velocity  # it is x - t * velocity


mlp = lambda inputs, outputs: nn.Sequential(  # noqa: E731
    nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs)
)
student, follower, head = mlp(latent_dim, 2), mlp(3, 2), mlp(2, 1)
optimizer_g = optim.Adam(student.parameters(), lr=lr, betas=(0.0, 0.99))
optimizer_f = optim.Adam(follower.parameters(), lr=lr, betas=(0.0, 0.99))
optimizer_d = optim.Adam(head.parameters(), lr=lr, betas=(0.0, 0.99))
monitor = ganbench.Monitor(student, head, taught, latent_dim, every=30, out="reports/drifting")

for _ in range(steps):
    fake, t = student(torch.randn(batch_size, latent_dim)), 0.05 + 0.9 * torch.rand(batch_size, 1)
    noise = torch.randn_like(fake)
    noised = ((1 - t) * fake + t * noise).detach()
    optimizer_f.zero_grad()
    (follower(torch.cat([noised, t], 1)) - (noise - fake.detach())).square().mean().backward()
    optimizer_f.step()

    optimizer_d.zero_grad()
    d_loss = softplus(-head(taught(batch_size))).mean() + softplus(head(fake.detach())).mean()
    d_loss.backward()
    optimizer_d.step()

    with torch.no_grad():
        own = as_sample(noised, follower(torch.cat([noised, t], 1)), t)
        way = own - as_sample(noised, teachers_velocity(noised, t), t)
    dmd, g_loss = (way * fake).sum(1).mean(), softplus(-head(fake)).mean()
    optimizer_g.zero_grad()
    (dmd + head_weight * g_loss).backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss, dmd=dmd, mean=fake.mean().abs())

monitor.close()
