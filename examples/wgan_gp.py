"""Wasserstein GAN with gradient penalty on 8 x 8 digits: five critic steps for one of the generator."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim

import ganbench  # ganbench

steps, batch_size, latent_dim, lr, critic_steps, penalty = 1000, 64, 32, 1e-4, 5, 10.0


def penalised(critic, real, fake):
    share = torch.rand(len(real), 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
generator = nn.Sequential(
    nn.Linear(latent_dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64), nn.Tanh(),
    nn.Unflatten(1, (1, 8, 8)),
)  # fmt: skip
critic = nn.Sequential(
    nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
    nn.Linear(256, 1),
)  # fmt: skip
optimizer_d = optim.Adam(critic.parameters(), lr=lr, betas=(0.0, 0.9))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(0.0, 0.9))
monitor = ganbench.Monitor(generator, critic, digits, latent_dim, loss="wasserstein", out="reports/wgan_gp")  # ganbench

for _ in range(steps):
    for _ in range(critic_steps):
        real = digits[torch.randint(len(digits), (batch_size,))]
        with torch.no_grad():
            fake = generator(torch.randn(batch_size, latent_dim))
        d_loss = critic(fake).mean() - critic(real).mean() + penalty * penalised(critic, real, fake)
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()

    g_loss = -critic(generator(torch.randn(batch_size, latent_dim))).mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
