"""Distillation with a GAN head: a student learns a teacher's samples in one step, judged on the teacher's features."""

import torch
from torch import nn, optim
from torch.nn.functional import softplus

import ganbench  # ganbench

steps, batch_size, latent_dim, lr, weight = 800, 64, 16, 5e-4, 0.3


class Discriminator(nn.Module):
    """A head on features that the teacher had learnt, which stay as they are."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()).requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, x):
        return self.head(self.features(x))


torch.manual_seed(0)
teacher = nn.Sequential(nn.Linear(latent_dim, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))
teacher.requires_grad_(False)
student, discriminator = nn.Sequential(nn.Linear(latent_dim, 48), nn.ReLU(), nn.Linear(48, 8)), Discriminator()
optimizer_d = optim.AdamW(discriminator.head.parameters(), lr=lr, betas=(0.0, 0.99))
optimizer_g = optim.AdamW(student.parameters(), lr=lr, betas=(0.0, 0.99))
taught = lambda n: teacher(torch.randn(n, latent_dim))  # noqa: E731  # ganbench
monitor = ganbench.Monitor(student, discriminator, taught, latent_dim, out="reports/distillation")  # ganbench

for _ in range(steps):
    z = torch.randn(batch_size, latent_dim)
    fake, real = student(z), teacher(torch.randn(batch_size, latent_dim))
    discriminator.head.requires_grad_(True)
    optimizer_d.zero_grad()
    d_loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
    d_loss.backward()
    optimizer_d.step()

    discriminator.head.requires_grad_(False)
    optimizer_g.zero_grad()
    g_loss = (fake - teacher(z)).square().mean() + weight * softplus(-discriminator(fake)).mean()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
