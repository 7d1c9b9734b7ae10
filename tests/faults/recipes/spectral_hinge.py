"""SNGAN with a projection: spectral norms, a hinge, five steps of the discriminator for one, a loader in a cycle."""

import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

import ganbench

Z, CLASSES, BATCH, N_CRITIC, STEPS = 24, 10, 32, 5, 80


class ConditionalNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(CLASSES, channels), nn.Embedding(CLASSES, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x, y):
        return self.norm(x) * self.gain(y)[:, :, None, None] + self.bias(y)[:, :, None, None]


class Generator(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.start = nn.Linear(Z, channels * 2 * 2)
        self.norms = nn.ModuleList([ConditionalNorm(channels) for _ in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)])
        self.end = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, z, y):
        x = self.start(z).unflatten(1, (-1, 2, 2))
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = conv(nn.functional.interpolate(norm(x, y).relu(), scale_factor=2))
        return self.end(self.norms[-1](x, y).relu()).tanh()


class Discriminator(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.body = nn.Sequential(
            spectral_norm(nn.Conv2d(1, channels, 3, padding=1)), nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(channels, channels, 4, 2, 1)), nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(channels, 2 * channels, 3, padding=1)), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.linear = spectral_norm(nn.Linear(2 * channels, 1))
        self.embed = spectral_norm(nn.Embedding(CLASSES, 2 * channels))

    def forward(self, x, y):
        h = self.body(x).sum((2, 3))
        return self.linear(h)[:, 0] + (self.embed(y) * h).sum(1)


torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), BATCH, shuffle=True, drop_last=True)
gen, dis = Generator(), Discriminator()
opt_gen = torch.optim.Adam(gen.parameters(), lr=1e-3, betas=(0.0, 0.9))
opt_dis = torch.optim.Adam(dis.parameters(), lr=1e-3, betas=(0.0, 0.9))
monitor = ganbench.Monitor(gen, dis, loader, Z, given=1, out="reports/spectral_hinge")
batches = itertools.cycle(loader)

for _ in range(STEPS):
    for _ in range(N_CRITIC):
        x_real, y_real = next(batches)
        with torch.no_grad():
            y_fake = torch.randint(CLASSES, (BATCH,))
            x_fake = gen(torch.randn(BATCH, Z), y_fake)
        dis_real, dis_fake = dis(x_real, y_real), dis(x_fake, y_fake)
        loss_dis = torch.relu(1 - dis_real).mean() + torch.relu(1 + dis_fake).mean()
        opt_dis.zero_grad()
        loss_dis.backward()
        opt_dis.step()

    y_fake = torch.randint(CLASSES, (BATCH,))
    x_fake = gen(torch.randn(BATCH, Z), y_fake)
    loss_gen = -dis(x_fake, y_fake).mean()
    opt_gen.zero_grad()
    loss_gen.backward()
    opt_gen.step()
    monitor.step(d_loss=loss_dis, g_loss=loss_gen)
monitor.close()
