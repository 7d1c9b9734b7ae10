"""Super-resolution: 4 x 4 digits to 8 x 8, a pixel loss and a relativistic critic (SRGAN, ESRGAN)."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import avg_pool2d
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.data import DataLoader, TensorDataset

import ganbench  # ganbench

epochs, batch_size, lr, weight = 20, 32, 5e-4, 0.05

torch.manual_seed(0)
fine = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
loader = DataLoader(TensorDataset(avg_pool2d(fine, 2), fine), batch_size=batch_size, shuffle=True, drop_last=True)
generator = nn.Sequential(
    nn.Conv2d(1, 64, 3, 1, 1), nn.PReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.PReLU(), nn.Conv2d(64, 128, 3, 1, 1),
    nn.PixelShuffle(2), nn.PReLU(), nn.Conv2d(32, 1, 3, 1, 1),
)  # fmt: skip
discriminator = nn.Sequential(
    nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
    nn.Linear(256, 1),
)  # fmt: skip
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr)
optimizer_g = optim.Adam(generator.parameters(), lr=lr)
told = {"given": 0, "d_forward": lambda d, x, _: d(x), "out": "reports/super_resolution"}  # ganbench
monitor = ganbench.Monitor(generator, discriminator, loader, **told)  # ganbench

for _ in range(epochs):
    for coarse, real in loader:
        fake = generator(coarse)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        optimizer_d.zero_grad()
        r, f = discriminator(real), discriminator(fake.detach())
        d_loss = (bce(r - f.mean(), ones) + bce(f - r.mean(), zeros)) / 2
        d_loss.backward()
        optimizer_d.step()

        optimizer_g.zero_grad()
        r, f = discriminator(real).detach(), discriminator(fake)
        adversarial = (bce(r - f.mean(), zeros) + bce(f - r.mean(), ones)) / 2
        g_loss = (fake - real).abs().mean() + weight * adversarial
        g_loss.backward()
        optimizer_g.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
