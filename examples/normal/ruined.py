"""A tokenizer that reconstructs well until its discriminator starts, with a fixed weight that is far too large."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import relu

import ganbench

steps, batch_size, disc_start, disc_weight, lr = 800, 64, 400, 20.0, 1e-3

torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
coder = nn.Sequential(
    nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 4, 1), nn.Tanh(),
    nn.Conv2d(4, 16, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
    nn.Conv2d(16, 1, 3, 1, 1),
)  # fmt: skip
discriminator = nn.Sequential(
    nn.Conv2d(1, 16, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 1)
)
optimizer_g = optim.Adam(coder.parameters(), lr=lr, betas=(0.5, 0.9))
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.9))
monitor = ganbench.Monitor(coder, discriminator, digits, lambda n: digits[:n], every=40, out="reports/ruined")

for step in range(steps):
    real = digits[torch.randint(len(digits), (batch_size,))]
    fake = coder(real)
    rec = (fake - real).abs().mean()
    adversarial = -discriminator(fake).mean() if step >= disc_start else torch.zeros(())
    optimizer_g.zero_grad()
    (rec + disc_weight * adversarial).backward()
    optimizer_g.step()

    d_loss = None
    if step >= disc_start:
        d_loss = relu(1 - discriminator(real)).mean() + relu(1 + discriminator(fake.detach())).mean()
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()
    monitor.step(d_loss=d_loss, g_loss=adversarial, rec=rec)

monitor.close()
