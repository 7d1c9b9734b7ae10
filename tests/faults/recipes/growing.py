"""Progressive growing: rows of weights scaled as they are used, a new resolution faded in, an averaged generator."""

import copy
import math

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

import ganbench

code_size, channel, batch_size, n_iters, fade_start, fade_length = 24, 24, 48, 240, 60, 60


class EqualConv(nn.Module):
    """A convolution whose weights are scaled at runtime."""

    def __init__(self, i, o, kernel, padding=0, gain=2.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(o, i, kernel, kernel)), nn.Parameter(torch.zeros(o))
        self.scale, self.padding = math.sqrt(gain / (i * kernel**2)), padding

    def forward(self, x):
        return nn.functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def pixel_norm(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = EqualConv(code_size, channel, 4, padding=3)
        self.progression = nn.ModuleList([EqualConv(channel, channel, 3, 1) for _ in range(2)])
        self.to_gray = nn.ModuleList([EqualConv(channel, 1, 1, gain=1.0) for _ in range(2)])

    def forward(self, code, step, alpha):
        x = leaky_relu(self.start(pixel_norm(code)[:, :, None, None]), 0.2)
        x = pixel_norm(leaky_relu(self.progression[0](x), 0.2))
        if step == 0:
            return self.to_gray[0](x)
        x = interpolate(x, scale_factor=2)
        out = self.to_gray[1](pixel_norm(leaky_relu(self.progression[1](x), 0.2)))
        return (1 - alpha) * self.to_gray[0](x) + alpha * out


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.from_gray = nn.ModuleList([EqualConv(1, channel, 1) for _ in range(2)])
        self.progression = nn.ModuleList([EqualConv(channel, channel, 3, 1) for _ in range(2)])
        self.linear = EqualConv(channel, 1, 4, gain=1.0)

    def forward(self, image, step, alpha):
        if step == 0:
            x = leaky_relu(self.from_gray[0](image), 0.2)
        else:
            x = leaky_relu(self.progression[1](leaky_relu(self.from_gray[1](image), 0.2)), 0.2)
            skip = leaky_relu(self.from_gray[0](avg_pool2d(image, 2)), 0.2)
            x = (1 - alpha) * skip + alpha * avg_pool2d(x, 2)
        return self.linear(leaky_relu(self.progression[0](x), 0.2)).flatten(1)


def accumulate(running, model, decay=0.99):
    for mine, other in zip(running.parameters(), model.parameters(), strict=True):
        mine.data.mul_(decay).add_(other.data, alpha=1 - decay)


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
generator, discriminator = Generator(), Discriminator()
g_running = copy.deepcopy(generator).requires_grad_(False)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=5e-3, betas=(0.0, 0.99))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-3, betas=(0.0, 0.99))
stage = {"step": 0, "alpha": 0.0}
forwards = {
    "g_forward": lambda g, code: interpolate(g(code, **stage), size=8),
    "d_forward": lambda d, x: d(x if stage["step"] else avg_pool2d(x, 2), **stage),
}
monitor = ganbench.Monitor(generator, discriminator, digits, code_size, **forwards, out="reports/growing")

for i in range(n_iters):
    stage = {"step": int(i >= fade_start), "alpha": min(1.0, max(0.0, (i - fade_start) / fade_length))}
    real_image = digits[torch.randint(len(digits), (batch_size,))]
    if stage["step"] == 0:
        real_image = avg_pool2d(real_image, 2)

    discriminator.zero_grad()
    real_predict = discriminator(real_image, **stage)
    (-real_predict.mean() + 0.001 * real_predict.square().mean()).backward()
    fake_image = generator(torch.randn(batch_size, code_size), **stage)
    fake_predict = discriminator(fake_image.detach(), **stage)
    fake_predict.mean().backward()
    eps = torch.rand(batch_size, 1, 1, 1)
    x_hat = (eps * real_image + (1 - eps) * fake_image.detach()).requires_grad_(True)
    grad_x_hat = torch.autograd.grad(discriminator(x_hat, **stage).sum(), x_hat, create_graph=True)[0]
    grad_penalty = 10 * (grad_x_hat.flatten(1).norm(2, dim=1) - 1).square().mean()
    grad_penalty.backward()
    d_optimizer.step()

    generator.zero_grad()
    loss = -discriminator(fake_image, **stage).mean()
    loss.backward()
    g_optimizer.step()
    accumulate(g_running, generator)
    monitor.step(d_loss=(fake_predict - real_predict).mean() + grad_penalty, g_loss=loss)
monitor.close()
