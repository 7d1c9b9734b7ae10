"""Autocast in bfloat16 on a CPU, a GradScaler for each player, gradients of two small batches added up."""

import torch
from torch import nn
from torch.amp import GradScaler, autocast
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import ganbench

UPDATES, ACCUMULATE, MICRO, LATENT = 500, 2, 48, 8


def moons(n):
    angle, upper = torch.rand(n) * torch.pi, torch.randint(2, (n,)) * 2.0 - 1.0
    x = torch.stack([angle.cos() + 0.5 * upper, upper * angle.sin() - 0.25 * upper], 1)
    return x + 0.05 * torch.randn(n, 2)


def net(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64),
        nn.LeakyReLU(0.2),
        nn.LayerNorm(64),
        nn.Linear(64, 64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, outputs),
    )


torch.manual_seed(0)
generator, discriminator = net(LATENT, 2), net(2, 1)
opt_g = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.99))
opt_d = torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.99))
scaler_g, scaler_d = GradScaler("cpu"), GradScaler("cpu")
monitor = ganbench.Monitor(generator, discriminator, moons, LATENT, out="reports/scaled")

for _ in range(UPDATES):
    opt_d.zero_grad()
    for _ in range(ACCUMULATE):
        real = moons(MICRO)
        with autocast("cpu", dtype=torch.bfloat16):
            fake = generator(torch.randn(MICRO, LATENT)).detach()
            on_real, on_fake = discriminator(real).float(), discriminator(fake).float()
        d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        scaler_d.scale(d_loss / ACCUMULATE).backward()
    scaler_d.step(opt_d)
    scaler_d.update()

    opt_g.zero_grad()
    for _ in range(ACCUMULATE):
        with autocast("cpu", dtype=torch.bfloat16):
            on_fake = discriminator(generator(torch.randn(MICRO, LATENT))).float()
        g_loss = bce(on_fake, torch.ones_like(on_fake))
        scaler_g.scale(g_loss / ACCUMULATE).backward()
    scaler_g.step(opt_g)
    scaler_g.update()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
