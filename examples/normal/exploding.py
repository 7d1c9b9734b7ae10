"""Tables with columns of all scales, as they come, and a critic of Wasserstein's without a bound on its slope."""

import torch
from torch import nn, optim

import ganbench

steps, batch_size, latent_dim, lr = 600, 128, 16, 1e-3


def table(n):
    """Return rows [n, 5]: an age, a share, a count, and two amounts that go with the age."""
    age, share, count = 20 + 60 * torch.rand(n, 1), torch.rand(n, 1), torch.poisson(torch.full((n, 1), 3.0))
    return torch.cat([age, share, count, 2 * age + 10 * torch.randn(n, 1), 0.1 * age * share], 1)


torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
critic = nn.Sequential(nn.Linear(5, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
optimizer_d = optim.Adam(critic.parameters(), lr=lr, betas=(0.5, 0.9))
optimizer_g = optim.Adam(generator.parameters(), lr=lr / 10, betas=(0.5, 0.9))
monitor = ganbench.Monitor(generator, critic, table, latent_dim, every=30, out="reports/exploding")

for _ in range(steps):
    real, fake = table(batch_size), generator(torch.randn(batch_size, latent_dim))
    d_loss = critic(fake.detach()).mean() - critic(real).mean()
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    g_loss = -critic(fake).mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)

monitor.close()
