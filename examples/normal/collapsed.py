"""No window to look at pictures in: the loop is to stop by itself when the generator collapses."""

import torch
from torch import nn, optim
from torch.nn.functional import softplus

import ganbench

steps, batch_size, latent_dim, g_steps = 1500, 128, 8, 5


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


def ring(n):
    angle = torch.randint(8, (n,)) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) * 1.4 + 0.05 * torch.randn(n, 2)


torch.manual_seed(0)
generator, discriminator = mlp(latent_dim, 2), mlp(2, 1)
optimizer_d = optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.99))
optimizer_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
stop = {"stop_on": {"collapsed", "rotating"}, "on_verdict": lambda verdict: print(f"stop here: {verdict.verdict}")}
monitor = ganbench.Monitor(
    generator, discriminator, latent=latent_dim, problem="ring8", every=75, out="reports/collapsed", **stop
)

for _ in range(steps):
    real, fake = ring(batch_size), generator(torch.randn(batch_size, latent_dim))
    d_loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    for _ in range(g_steps):
        g_loss = softplus(-discriminator(generator(torch.randn(batch_size, latent_dim)))).mean()
        optimizer_g.zero_grad()
        g_loss.backward()
        optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)

monitor.close()
