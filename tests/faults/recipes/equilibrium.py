"""BEGAN: an autoencoder as discriminator, and a weight k of the fakes that keeps both players in balance."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

import ganbench

parser = argparse.ArgumentParser()
parser.add_argument("--n_epochs", type=int, default=7)
parser.add_argument("--batch_size", type=int, default=64)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--latent_dim", type=int, default=16)
parser.add_argument("--hidden", type=int, default=32)
parser.add_argument("--gamma", type=float, default=0.6)
parser.add_argument("--lambda_k", type=float, default=0.1)
args = parser.parse_args([])


class Decoder(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.l1 = nn.Linear(inputs, 32 * 2 * 2)
        self.net = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1), nn.ELU(), nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1),
            nn.ELU(), nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1), nn.ELU(),
            nn.Conv2d(16, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, h):
        return self.net(self.l1(h).view(-1, 32, 2, 2))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ELU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ELU(), nn.Conv2d(32, 32, 3, 2, 1),
            nn.ELU(), nn.Flatten(), nn.Linear(128, args.hidden),
        )  # fmt: skip
        self.decoder = Decoder(args.hidden)

    def forward(self, img):
        return self.decoder(self.encoder(img))


def energies(d, x):
    return (d(x) - x).abs().flatten(1).mean(1)


torch.manual_seed(0)
data = np.float32(load_digits().images)[:, None] / 8 - 1
dataloader = DataLoader(torch.from_numpy(data), batch_size=args.batch_size, shuffle=True, drop_last=True)
generator, discriminator = Decoder(args.latent_dim), Autoencoder()
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
    for real_imgs in dataloader:
        optimizer_G.zero_grad()
        z = torch.from_numpy(np.float32(np.random.normal(0, 1, (len(real_imgs), args.latent_dim))))  # noqa: NPY002
        gen_imgs = generator(z)
        g_loss = torch.mean(torch.abs(discriminator(gen_imgs) - gen_imgs))
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        gen_imgs = gen_imgs.detach()
        d_loss_real = torch.mean(torch.abs(discriminator(real_imgs) - real_imgs))
        d_loss_fake = torch.mean(torch.abs(discriminator(gen_imgs) - gen_imgs))
        d_loss = d_loss_real - k * d_loss_fake
        d_loss.backward()
        optimizer_D.step()

        diff = (args.gamma * d_loss_real - d_loss_fake).item()
        k = min(max(k + args.lambda_k * diff, 0), 1)
        monitor.step(d_loss=d_loss, g_loss=g_loss, k=k)
monitor.close()
