"""Paths of pedestrians: D ends in a rectifier, which is off from the start, and both losses stay at log 4 and log 2."""

import torch
from torch import nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import ganbench

steps, batch_size, latent_dim, lr = 200, 64, 8, 1e-3


def paths(n):
    """Return the way of walkers over eight moments [n, 16]: a direction, and small turns."""
    turns = 6.3 * torch.rand(n, 1) + 0.2 * torch.randn(n, 8).cumsum(1)
    return torch.stack([turns.cos(), turns.sin()], 2).cumsum(1).flatten(1) / 4


torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
discriminator = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1), nn.ReLU())
nn.init.constant_(discriminator[2].bias, -1.0)
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr)
optimizer_g = optim.Adam(generator.parameters(), lr=lr)
monitor = ganbench.Monitor(generator, discriminator, paths, latent_dim, every=20, samples=300, out="reports/stuck")

for _ in range(steps):
    real, fake = paths(batch_size), generator(torch.randn(batch_size, latent_dim))
    ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
    d_loss = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    g_loss = bce(discriminator(fake), ones)
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)

monitor.close()
