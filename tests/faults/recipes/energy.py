"""Energy-based: the critic is an autoencoder, its error the energy; real samples low, fakes up to a margin."""

import torch
from torch import nn

import ganbench

ITER, SIZE, DIM, NOISE, MARGIN = 1200, 64, 12, 8, 1.0
generator_rate, critic_rate = 5e-4, 5e-4


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(DIM, 48), nn.LeakyReLU(0.1), nn.Linear(48, 6))
        self.dec = nn.Sequential(nn.Linear(6, 48), nn.LeakyReLU(0.1), nn.Linear(48, DIM))

    def forward(self, x):
        return self.dec(self.enc(x))


def energy(model, x):
    return (model(x) - x).square().mean(1)


torch.manual_seed(0)
basis = torch.randn(4, DIM) / 2
samples = lambda n: (torch.randn(n, 4) @ basis).tanh() + 0.05 * torch.randn(n, DIM)  # noqa: E731
g = nn.Sequential(nn.Linear(NOISE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, DIM))
critic = Autoencoder()
g_opt = torch.optim.Adam(g.parameters(), lr=generator_rate, betas=(0.5, 0.999))
d_opt = torch.optim.Adam(critic.parameters(), lr=critic_rate, betas=(0.5, 0.999))
monitor = ganbench.Monitor(g, critic, samples, NOISE, d_forward=lambda d, x: -energy(d, x), out="reports/energy")

for _ in range(ITER):
    x = samples(SIZE)
    x_fake = g(torch.randn(SIZE, NOISE))

    d_opt.zero_grad()
    d_loss = energy(critic, x).mean() + (MARGIN - energy(critic, x_fake.detach())).clamp(min=0).mean()
    d_loss.backward()
    d_opt.step()

    g_opt.zero_grad()
    g_loss = energy(critic, x_fake).mean()
    g_loss.backward()
    g_opt.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
