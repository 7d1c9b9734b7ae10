"""The DCGAN loop of an ordinary tutorial, on 8 x 8 digits, watched by ganbench: the five marked lines."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import ganbench  # ganbench

epochs, batch_size, latent_dim, lr, beta1 = 20, 64, 32, 2e-4, 0.5


def weights_init(module):
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(latent_dim, 64, 2, 1, 0, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(32, 64, 4, 2, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, 1, 2, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images):
        return self.main(images).view(-1)


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
loader = DataLoader(TensorDataset(digits), batch_size=batch_size, shuffle=True, drop_last=True)
generator, discriminator = Generator().apply(weights_init), Discriminator().apply(weights_init)
criterion = nn.BCELoss()
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(beta1, 0.999))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(beta1, 0.999))
latents = lambda n: torch.randn(n, latent_dim, 1, 1)  # noqa: E731
monitor = ganbench.Monitor(generator, discriminator, loader, latents, out="reports/dcgan")  # ganbench

for _ in range(epochs):
    for (real,) in loader:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))

        fake = generator(latents(len(real)))
        optimizer_d.zero_grad()
        d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)
        d_loss.backward()
        optimizer_d.step()

        optimizer_g.zero_grad()
        g_loss = criterion(discriminator(fake), ones)
        g_loss.backward()
        optimizer_g.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
print(monitor.verdict)  # ganbench
