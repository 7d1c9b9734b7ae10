"""Image to image: blurred digits to sharp ones, a critic of patches that sees both; the source is what is given."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import avg_pool2d, interpolate, mse_loss
from torch.utils.data import DataLoader, TensorDataset

import ganbench  # ganbench

epochs, batch_size, lr, l1 = 20, 32, 2e-4, 10.0

torch.manual_seed(0)
sharp = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
blurred = interpolate(avg_pool2d(sharp, 2), scale_factor=2.0)
loader = DataLoader(TensorDataset(blurred, sharp), batch_size=batch_size, shuffle=True, drop_last=True)

generator = nn.Sequential(
    nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 1, 3, 1, 1), nn.Tanh(),
)  # fmt: skip
discriminator = nn.Sequential(
    nn.Conv2d(2, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
    nn.Conv2d(32, 1, 3, 1, 1),
)  # fmt: skip
optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.999))
judge = lambda d, x, source: d(torch.cat([source, x], 1))  # noqa: E731
told = {"given": 0, "d_forward": judge, "out": "reports/pix2pix"}  # ganbench
monitor = ganbench.Monitor(generator, discriminator, loader, **told)  # ganbench

for _ in range(epochs):
    for source, target in loader:
        fake = generator(source)
        real_scores = judge(discriminator, target, source)
        fake_scores = judge(discriminator, fake.detach(), source)
        d_loss = mse_loss(real_scores, torch.ones_like(real_scores)) + mse_loss(
            fake_scores, torch.zeros_like(fake_scores)
        )
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()

        fake_scores = judge(discriminator, fake, source)
        adversarial = mse_loss(fake_scores, torch.ones_like(fake_scores))
        g_loss = adversarial + l1 * (fake - target).abs().mean()
        optimizer_g.zero_grad()
        g_loss.backward()
        optimizer_g.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
