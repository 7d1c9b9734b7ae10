# ruff: noqa: N812, N816 - named as in the code that it is like
"""InfoGAN: a recognition head on the discriminator's trunk, which learns with the generator's optimizer."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench

n_noise, n_class, n_cont, batch_size, epochs = 16, 10, 2, 64, 7


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.tconv1 = nn.ConvTranspose2d(n_noise + n_class + n_cont, 64, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.tconv2 = nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.tconv3 = nn.ConvTranspose2d(32, 1, 4, 2, 1)

    def forward(self, z):
        x = F.relu(self.bn1(self.tconv1(z[:, :, None, None])))
        x = F.relu(self.bn2(self.tconv2(x)))
        return torch.tanh(self.tconv3(x))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64),
            nn.LeakyReLU(0.1), nn.Flatten(),
        )  # fmt: skip
        self.score = nn.Linear(256, 1)
        self.code = nn.Linear(256, n_class + n_cont)

    def forward(self, x):
        h = self.trunk(x)
        return self.score(h), self.code(h)


def noise_sample(n):
    """Return latents [n, 28], and the parts of them that are to be recognised."""
    labels, cont = torch.randint(0, n_class, (n,)), torch.rand(n, n_cont) * 2 - 1
    return torch.cat([torch.randn(n, n_noise), F.one_hot(labels, n_class), cont], 1), labels, cont


def information(code, labels, cont):
    return F.cross_entropy(code[:, :n_class], labels) + 0.1 * F.mse_loss(code[:, n_class:], cont)


torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
loader = DataLoader(TensorDataset(images), batch_size, shuffle=True, drop_last=True)
netG, netD = Generator(), Discriminator()
optimD = torch.optim.Adam([*netD.trunk.parameters(), *netD.score.parameters()], lr=2e-4, betas=(0.5, 0.999))
optimG = torch.optim.Adam([*netG.parameters(), *netD.code.parameters()], lr=1e-3, betas=(0.5, 0.999))
criterion = nn.BCEWithLogitsLoss()
monitor = ganbench.Monitor(netG, netD, loader, lambda n: noise_sample(n)[0], out="reports/mutual_information")

for _ in range(epochs):
    for (real,) in loader:
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        optimD.zero_grad()
        loss_real = criterion(netD(real)[0], ones)
        loss_real.backward()
        z, labels, cont = noise_sample(len(real))
        fake = netG(z)
        loss_fake = criterion(netD(fake.detach())[0], zeros)
        loss_fake.backward()
        optimD.step()

        optimG.zero_grad()
        score, code = netD(fake)
        gen_loss, info_loss = criterion(score, ones), information(code, labels, cont)
        (gen_loss + info_loss).backward()
        optimG.step()
        monitor.step(d_loss=loss_real + loss_fake, g_loss={"adv": gen_loss, "info": info_loss})
monitor.close()
