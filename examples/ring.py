"""The smallest GAN: eight Gaussians on a ring, two small networks; with the logits' loss of the first paper."""

import torch
from torch import nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import ganbench  # ganbench

steps, batch_size, latent_dim, lr = 2000, 128, 8, 1e-3


def mlp(inputs, outputs):
    inner = [nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2)]
    return nn.Sequential(*inner, nn.Linear(64, outputs))


def ring(n):
    angle = torch.randint(8, (n,)) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) * 1.4 + 0.05 * torch.randn(n, 2)


torch.manual_seed(0)
generator, discriminator = mlp(latent_dim, 2), mlp(2, 1)
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.99))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.99))
monitor = ganbench.Monitor(generator, discriminator, ring, latent_dim, out="reports/ring")  # ganbench

for _ in range(steps):
    real = ring(batch_size)
    z = torch.randn(batch_size, latent_dim)
    ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)

    fake = generator(z)
    optimizer_d.zero_grad()
    d_loss = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
    d_loss.backward()
    optimizer_d.step()

    optimizer_g.zero_grad()
    g_loss = bce(discriminator(fake), ones)
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
