"""D's loss goes to 1.39 and stays there: logits near 0 of a discriminator with R1, whose generator has learned."""

import torch
from torch import nn, optim
from torch.nn.functional import softplus

import ganbench

steps, batch_size, latent_dim, gamma = 1500, 128, 8, 1.0


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


def bells(n):
    return torch.randint(2, (n, 1)) * 2.0 - 1.0 + 0.4 * torch.randn(n, 1)


torch.manual_seed(0)
generator, discriminator = mlp(latent_dim, 1), mlp(1, 1)
optimizer_d = optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99))
optimizer_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.99))
monitor = ganbench.Monitor(generator, discriminator, bells, latent_dim, every=75, out="reports/log_four")

for _ in range(steps):
    real, fake = bells(batch_size).requires_grad_(), generator(torch.randn(batch_size, latent_dim))
    on_real = discriminator(real)
    d_loss = softplus(-on_real).mean() + softplus(discriminator(fake.detach())).mean()
    (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    optimizer_d.zero_grad()
    (d_loss + gamma / 2 * slope.square().sum(1).mean()).backward()
    optimizer_d.step()

    g_loss = softplus(-discriminator(fake)).mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)

monitor.close()
