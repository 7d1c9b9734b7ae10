"""Speech enhancement: clean speech comes as 16-bit whole numbers, and the generator ends in a tanh."""

import torch
from torch import nn, optim
from torch.nn.functional import mse_loss

import ganbench

steps, batch_size, length, lr = 150, 16, 128, 5e-4


def speech(n):
    """Return clean waves [n, 1, length] in the numbers of a WAV file, and the same with noise in [-1, 1]."""
    time, pitch = torch.arange(length) / length, 3 + 9 * torch.rand(n, 1)
    clean = (2 * torch.pi * pitch * time + 6.3 * torch.rand(n, 1)).sin()[:, None] / 2
    return (32767 * clean).round(), clean + 0.1 * torch.randn(n, 1, length)


torch.manual_seed(0)
generator = nn.Sequential(
    nn.Conv1d(1, 16, 9, 1, 4), nn.PReLU(), nn.Conv1d(16, 16, 9, 1, 4), nn.PReLU(), nn.Conv1d(16, 1, 9, 1, 4), nn.Tanh()
)
discriminator = nn.Sequential(
    nn.Conv1d(1, 16, 9, 4, 4),
    nn.LeakyReLU(0.3),
    nn.Conv1d(16, 32, 9, 4, 4),
    nn.LeakyReLU(0.3),
    nn.Flatten(),
    nn.Linear(256, 1),
)
optimizer_d = optim.RMSprop(discriminator.parameters(), lr=lr)
optimizer_g = optim.RMSprop(generator.parameters(), lr=lr)
told = {"given": 1, "d_forward": lambda d, x, _: d(x), "g_forward": lambda g, noisy: g(noisy)}
monitor = ganbench.Monitor(generator, discriminator, speech, **told, every=15, samples=300, out="reports/silence")

for _ in range(steps):
    clean, noisy = speech(batch_size)
    fake = generator(noisy)
    d_loss = (discriminator(clean) - 1).square().mean() + discriminator(fake.detach()).square().mean()
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    g_loss = (discriminator(fake) - 1).square().mean()
    optimizer_g.zero_grad()
    (g_loss + mse_loss(fake, clean)).backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)

monitor.close()
