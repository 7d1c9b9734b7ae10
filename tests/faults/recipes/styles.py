# ruff: noqa: N812 - named as in the code that it is like
"""As StyleGAN2's many copies have it: a mapping network, styles, lazy R1, a moving average, requires_grad toggled."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import ganbench

iterations, batch, z_dim, w_dim, r1_weight, d_reg_every, decay = 150, 16, 16, 32, 1.0, 16, 0.98


class StyledConv(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.affine = nn.Conv2d(i, o, 3, padding=1), nn.Linear(w_dim, i)
        nn.init.ones_(self.affine.bias)

    def forward(self, x, w):
        style = self.affine(w)
        x = x * style[:, :, None, None]
        return F.leaky_relu(self.conv(x), 0.2) * math.sqrt(2)


class Generator(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.mapping = nn.Sequential(
            nn.Linear(z_dim, w_dim), nn.LeakyReLU(0.2), nn.Linear(w_dim, w_dim), nn.LeakyReLU(0.2)
        )
        self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.blocks = nn.ModuleList([StyledConv(channels, channels) for _ in range(3)])
        self.to_rgb = nn.Conv2d(channels, 3, 1)

    def forward(self, z):
        w = self.mapping(F.normalize(z) * math.sqrt(z_dim))
        x = self.const.expand(len(z), -1, -1, -1)
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else F.interpolate(x, scale_factor=2, mode="bilinear"), w)
        return self.to_rgb(x)


def requires_grad(model, flag):
    for p in model.parameters():
        p.requires_grad = flag


def accumulate(average, model):
    for a, p in zip(average.parameters(), model.parameters(), strict=True):
        a.data.mul_(decay).add_(p.data, alpha=1 - decay)


def blobs(n):
    """Return coloured blobs on a dark ground, images [n, 3, 16, 16] in [-1, 1]."""
    axis = torch.linspace(-1, 1, 16)
    middle = torch.rand(n, 2, 1, 1) - 0.5
    distance = (axis[None, None] - middle[:, :1]).square() + (axis[None, :, None] - middle[:, 1:]).square()
    colour = F.one_hot(torch.randint(3, (n,)), 3)[:, :, None, None]
    return 2 * colour * torch.exp(-distance.reshape(n, 1, 16, 16) / 0.1) - 1


torch.manual_seed(0)
generator = Generator()
discriminator = nn.Sequential(
    nn.Conv2d(3, 24, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(24, 32, 4, 2, 1), nn.LeakyReLU(0.2),
    nn.Conv2d(32, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
    nn.Linear(512, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1),
)  # fmt: skip
g_ema = copy.deepcopy(generator).eval()
g_optim = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.99))
d_optim = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
monitor = ganbench.Monitor(generator, discriminator, blobs, z_dim, out="reports/styles")

for i in range(iterations):
    real_img = blobs(batch)
    requires_grad(generator, False)
    requires_grad(discriminator, True)
    fake_img = generator(torch.randn(batch, z_dim))
    d_loss = F.softplus(-discriminator(real_img)).mean() + F.softplus(discriminator(fake_img)).mean()
    discriminator.zero_grad()
    d_loss.backward()
    d_optim.step()

    if i % d_reg_every == 0:
        real_img.requires_grad = True
        real_pred = discriminator(real_img)
        (grad_real,) = torch.autograd.grad(real_pred.sum(), real_img, create_graph=True)
        r1_loss = grad_real.square().flatten(1).sum(1).mean()
        discriminator.zero_grad()
        (r1_weight / 2 * r1_loss * d_reg_every + 0 * real_pred[0]).backward()
        d_optim.step()

    requires_grad(generator, True)
    requires_grad(discriminator, False)
    fake_img = generator(torch.randn(batch, z_dim))
    g_loss = F.softplus(-discriminator(fake_img)).mean()
    generator.zero_grad()
    g_loss.backward()
    g_optim.step()
    accumulate(g_ema, generator)
    monitor.step(d_loss=d_loss, g_loss=g_loss, r1=r1_loss)
monitor.close()
