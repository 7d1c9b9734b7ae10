"""An adversarial autoencoder: the encoder is the generator, its codes are to look like draws of a prior."""

from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench

EPOCHS, BATCH, CODE = 15, 50, 4


def mlp(*sizes, norm=False):
    parts = []
    for a, b in pairwise(sizes[:-1]):
        parts += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(*sizes[-2:]))


torch.manual_seed(0)
x = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
loader = DataLoader(TensorDataset(x), BATCH, shuffle=True, drop_last=True)
encoder, decoder, discriminator = mlp(64, 96, 96, CODE, norm=True), mlp(CODE, 96, 64), mlp(CODE, 64, 64, 1)
learn = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
regularise = torch.optim.Adam(encoder.parameters(), lr=2e-4)
discriminate = torch.optim.Adam(discriminator.parameters(), lr=4e-4)
loss = nn.BCEWithLogitsLoss()
monitor = ganbench.Monitor(
    encoder,
    discriminator,
    torch.randn(2000, CODE),
    lambda n: x[torch.randint(len(x), (n,))],
    out="reports/latent_codes",
)

for _ in range(EPOCHS):
    for (images,) in loader:
        yes, no = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
        learn.zero_grad()
        error = (decoder(encoder(images)) - images).square().mean()
        error.backward()
        learn.step()

        discriminate.zero_grad()
        drawn, codes = torch.randn(BATCH, CODE), encoder(images)
        d_loss = loss(discriminator(drawn), yes) + loss(discriminator(codes.detach()), no)
        d_loss.backward()
        discriminate.step()

        regularise.zero_grad()
        g_loss = loss(discriminator(encoder(images)), yes)
        g_loss.backward()
        regularise.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss, mse=error)
monitor.close()
