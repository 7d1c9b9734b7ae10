# ruff: noqa: N816 - named as in the code that it is like
"""A pyramid over crops of one texture, as SinGAN trains it: scale after scale, the coarse ones kept as they are."""

import torch
from torch import nn
from torch.nn.functional import interpolate, mse_loss

import ganbench

niter, Dsteps, Gsteps, nfc, lr, lambda_grad, alpha, noise_amp = (60, 90), 3, 2, 16, 1e-3, 0.1, 5.0, 0.5
crop, batch = 16, 12


class ConvBlock(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.LeakyReLU(0.2))


class WDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.body, self.tail = ConvBlock(1, nfc), ConvBlock(nfc, nfc), nn.Conv2d(nfc, 1, 3, 1, 1)

    def forward(self, x):
        return self.tail(self.body(self.head(x)))


class GeneratorConcatSkip(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.body = ConvBlock(1, nfc), ConvBlock(nfc, nfc)
        self.tail = nn.Sequential(nn.Conv2d(nfc, 1, 3, 1, 1), nn.Tanh())

    def forward(self, x, y):
        return self.tail(self.body(self.head(x))) + y


def calc_gradient_penalty(netD, real_data, fake_data):
    weight = torch.rand(len(real_data), 1, 1, 1)
    interpolates = (weight * real_data + (1 - weight) * fake_data).requires_grad_(True)
    scores = netD(interpolates)
    gradients = torch.autograd.grad(scores, interpolates, torch.ones_like(scores), create_graph=True)[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * lambda_grad


def paint(size=96):
    rows, columns = torch.meshgrid(torch.arange(size) / 5, torch.arange(size) / 5, indexing="ij")
    weave = torch.sin(rows + 0.8 * torch.sin(columns)) * torch.cos(1.3 * columns)
    return (0.7 * weave + 0.1 * torch.randn(size, size)).clamp(-1, 1)


def crops(n, size):
    """Return crops [n, 1, 16, 16] of the texture, made smaller if size is."""
    tops, lefts = torch.randint(texture.shape[0] - crop, (n,)), torch.randint(texture.shape[1] - crop, (n,))
    cut = torch.stack([texture[t : t + crop, s : s + crop] for t, s in zip(tops, lefts, strict=True)])[:, None]
    return cut if size == crop else interpolate(cut, size=size, mode="area")


def draw_concat(Gs, n, size):
    """Return what the scales before this one paint [n, 1, size, size], zeros if there are none."""
    prev = torch.zeros(n, 1, size // 2, size // 2)
    with torch.no_grad():
        for G in Gs:
            prev = G(noise_amp * torch.randn_like(prev) + prev, prev)
    return interpolate(prev, size=size)


def train_single_scale(netD, netG, Gs, size, monitor=None):
    optimizerD = torch.optim.Adam(netD.parameters(), lr=lr, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=lr, betas=(0.5, 0.999))
    z_opt, known = torch.randn(batch, 1, size, size), crops(batch, size)
    for _ in range(niter[len(Gs)]):
        for _ in range(Dsteps):
            netD.zero_grad()
            real = crops(batch, size)
            errD_real = -netD(real).mean()
            errD_real.backward()
            prev = draw_concat(Gs, batch, size)
            fake = netG(noise_amp * torch.randn_like(prev) + prev, prev)
            errD_fake = netD(fake.detach()).mean()
            errD_fake.backward()
            gradient_penalty = calc_gradient_penalty(netD, real, fake.detach())
            gradient_penalty.backward()
            optimizerD.step()

        for _ in range(Gsteps):
            netG.zero_grad()
            prev = draw_concat(Gs, batch, size)
            fake = netG(noise_amp * torch.randn_like(prev) + prev, prev)
            errG = -netD(fake).mean()
            errG.backward()
            coarse = interpolate(interpolate(known, size=size // 2, mode="area"), size=size)
            rec_loss = alpha * mse_loss(netG(noise_amp * z_opt + coarse, coarse), known)
            rec_loss.backward()
            optimizerG.step()
        if monitor:
            monitor.step(d_loss=errD_real + errD_fake + gradient_penalty, g_loss={"adv": errG, "rec": rec_loss})


torch.manual_seed(0)
texture = paint()
coarse_G, netG, netD = GeneratorConcatSkip(), GeneratorConcatSkip(), WDiscriminator()
train_single_scale(WDiscriminator(), coarse_G, [], crop // 2)
coarse_G.requires_grad_(False).eval()
real, latent = lambda n: crops(n, crop), lambda n: draw_concat([coarse_G], n, crop)
told = {"g_forward": lambda g, prev: g(noise_amp * torch.randn_like(prev) + prev, prev), "out": "reports/texture"}
monitor = ganbench.Monitor(netG, netD, real, latent, **told)
train_single_scale(netD, netG, [coarse_G], crop, monitor)
monitor.close()
