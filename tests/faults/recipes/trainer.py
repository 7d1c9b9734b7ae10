"""A trainer class with a configuration: least squares on small images, batch norm in both players."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench


@dataclass
class Config:
    epochs: int = 15
    batch: int = 60
    z: int = 20
    rate_g: float = 2e-4
    rate_d: float = 2e-4
    channels: int = 24


class Maker(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.start = nn.Linear(c.z, c.channels * 4)
        self.up = nn.Sequential(
            nn.BatchNorm2d(c.channels), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.Conv2d(c.channels, c.channels, 3, 1, 1),
            nn.BatchNorm2d(c.channels), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.Conv2d(c.channels, 1, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z):
        return self.up(self.start(z).unflatten(1, (-1, 2, 2)))


class Judge(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, c.channels, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(c.channels, 2 * c.channels, 4, 2, 1),
            nn.BatchNorm2d(2 * c.channels), nn.LeakyReLU(0.2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(8 * c.channels, 1)

    def forward(self, x):
        return self.head(self.down(x))


class Trainer:
    def __init__(self, c, data):
        self.c = c
        self.net_g, self.net_d = Maker(c), Judge(c)
        self.opt_g = torch.optim.Adam(self.net_g.parameters(), lr=c.rate_g, betas=(0.5, 0.999))
        self.opt_d = torch.optim.Adam(self.net_d.parameters(), lr=c.rate_d, betas=(0.5, 0.999))
        self.loader = DataLoader(TensorDataset(data), batch_size=c.batch, shuffle=True, drop_last=True)
        self.criterion = nn.MSELoss()

    def gan_loss(self, scores, is_real):
        return self.criterion(scores, torch.tensor(1.0 if is_real else 0.0).expand_as(scores))

    def sample(self, n):
        return torch.randn(n, self.c.z)

    def train_d(self, real):
        self.net_g.train()
        self.net_d.train()
        with torch.no_grad():
            fake = self.net_g(self.sample(len(real)))
        loss = 0.5 * (self.gan_loss(self.net_d(real), True) + self.gan_loss(self.net_d(fake), False))
        self.opt_d.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_d.step()
        return loss.item()

    def train_g(self, n):
        fake = self.net_g(self.sample(n))
        loss = self.gan_loss(self.net_d(fake), True)
        self.opt_g.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_g.step()
        return loss.item()

    def fit(self, monitor):
        for _ in range(self.c.epochs):
            for (real,) in self.loader:
                d_loss = self.train_d(real)
                g_loss = self.train_g(len(real))
                monitor.step(d_loss=d_loss, g_loss=g_loss)


torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
trainer = Trainer(Config(), images / 8 - 1)
watch = ganbench.Monitor(trainer.net_g, trainer.net_d, trainer.loader, Config.z, out="reports/trainer")
trainer.fit(watch)
watch.close()
