"""Super-resolution: D says 0 to every upscaled image and 1 to every real one, and G hardly hears of it."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import avg_pool2d, mse_loss
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import ganbench

steps, batch_size, lr, adversarial_weight = 500, 64, 1e-3, 1e-3

torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
upscaler = nn.Sequential(
    nn.Conv2d(1, 32, 3, 1, 1), nn.PReLU(), nn.Conv2d(32, 64, 3, 1, 1), nn.PReLU(), nn.PixelShuffle(2),
    nn.Conv2d(16, 1, 3, 1, 1), nn.Tanh(),
)  # fmt: skip
discriminator = nn.Sequential(
    nn.Conv2d(1, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
    nn.Linear(512, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1),
)  # fmt: skip
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr)
optimizer_g = optim.Adam(upscaler.parameters(), lr=lr)
low = lambda n: avg_pool2d(images[:n], 2)  # noqa: E731
monitor = ganbench.Monitor(upscaler, discriminator, images, low, every=25, out="reports/certain")

for _ in range(steps):
    real = images[torch.randint(len(images), (batch_size,))]
    fake = upscaler(avg_pool2d(real, 2))
    on_real, on_fake = discriminator(real), discriminator(fake.detach())
    d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    on_fake = discriminator(fake)
    content, g_loss = mse_loss(fake, real), bce(on_fake, torch.ones_like(on_fake))
    optimizer_g.zero_grad()
    (content + adversarial_weight * g_loss).backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss, mse=content)

monitor.close()
