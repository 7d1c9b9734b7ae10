"""A conditional GAN on 8 x 8 digits: both players are told the label, which `given` names in a batch of the loader."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import relu
from torch.utils.data import DataLoader, TensorDataset

import ganbench  # ganbench

epochs, batch_size, latent_dim, lr = 30, 64, 32, 2e-4


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.label = nn.Embedding(10, 16)
        self.body = nn.Sequential(
            nn.Linear(latent_dim + 16, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 128), nn.BatchNorm1d(128),
            nn.ReLU(), nn.Linear(128, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)),
        )  # fmt: skip

    def forward(self, z, labels):
        return self.body(torch.cat([z, self.label(labels)], 1))


class Discriminator(nn.Module):
    """A projection discriminator (Miyato and Koyama 2018)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64), nn.LeakyReLU(0.2)
        )
        self.end, self.label = nn.Linear(64, 1), nn.Embedding(10, 64)

    def forward(self, images, labels):
        features = self.body(images)
        return self.end(features).squeeze(1) + (features * self.label(labels)).sum(1)


torch.manual_seed(0)
data = load_digits()
images, labels = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(data.target)
loader = DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True, drop_last=True)
generator, discriminator = Generator(), Discriminator()
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(0.0, 0.9))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(0.0, 0.9))
told = {"given": 1, "loss": "hinge", "out": "reports/conditional"}  # ganbench
monitor = ganbench.Monitor(generator, discriminator, loader, latent_dim, **told)  # ganbench

for _ in range(epochs):
    for real, label in loader:
        fake = generator(torch.randn(len(real), latent_dim), label)
        d_loss = relu(1 - discriminator(real, label)).mean() + relu(1 + discriminator(fake.detach(), label)).mean()
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()

        g_loss = -discriminator(fake, label).mean()
        optimizer_g.zero_grad()
        g_loss.backward()
        optimizer_g.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
