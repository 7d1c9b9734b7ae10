# ruff: noqa: N816, NPY002 - named as in the code that it is like
"""BEGAN: an autoencoder as discriminator, and a weight k of the fakes that keeps both players in balance."""

import argparse
import itertools

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import ganbench

parser = argparse.ArgumentParser()
parser.add_argument("--n_epochs", type=int, default=7)
parser.add_argument("--batch_size", type=int, default=64)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--latent_dim", type=int, default=16)
parser.add_argument("--hidden", type=int, default=6)
parser.add_argument("--gamma", type=float, default=0.8)
parser.add_argument("--lambda_k", type=float, default=5.0)
args = parser.parse_args([])


def dense(*sizes):
    layers = []
    for i, o in itertools.pairwise(sizes):
        layers += [nn.Linear(i, o), nn.ELU()]
    return nn.Sequential(*layers[:-1])


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.decode = dense(args.latent_dim, 64, 64, 24)

    def forward(self, z):
        return self.decode(z)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = dense(24, 64, args.hidden), dense(args.hidden, 64, 24)

    def forward(self, curve):
        return self.up(self.down(curve))


def curves(n):
    """Return sine curves around 1 [n, 24], of one period to two, whose phase and height differ."""
    t = np.linspace(0, 2 * np.pi, 24)
    rate, phase, height = (np.random.uniform(low, high, (n, 1)) for low, high in ((1, 2), (0, 2), (0.5, 1)))
    return torch.from_numpy(np.float32(1 + height * np.sin(rate * t + phase)))


def energies(d, x):
    return (d(x) - x).abs().flatten(1).mean(1)


torch.manual_seed(0)
np.random.seed(0)
dataloader = DataLoader(curves(2048), batch_size=args.batch_size, shuffle=True, drop_last=True)
generator, discriminator = Generator(), Autoencoder()
optimizer_G = torch.optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))
monitor = ganbench.Monitor(
    generator,
    discriminator,
    dataloader,
    args.latent_dim,
    d_forward=lambda d, x: -energies(d, x),
    out="reports/equilibrium",
)

k = 0.0
for _epoch in range(args.n_epochs):
    for real in dataloader:
        optimizer_G.zero_grad()
        z = torch.from_numpy(np.float32(np.random.normal(0, 1, (len(real), args.latent_dim))))
        gen = generator(z)
        g_loss = torch.mean(torch.abs(discriminator(gen) - gen))
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        gen = gen.detach()
        d_loss_real = torch.mean(torch.abs(discriminator(real) - real))
        d_loss_fake = torch.mean(torch.abs(discriminator(gen) - gen))
        d_loss = d_loss_real - k * d_loss_fake
        d_loss.backward()
        optimizer_D.step()

        diff = (args.gamma * d_loss_real - d_loss_fake).item()
        k = min(max(k + args.lambda_k * diff, 0), 1)
        monitor.step(d_loss=d_loss, g_loss=g_loss, k=k)
monitor.close()
