"""Transfer from few images (FreezeD): both players begin as a source has trained them, D's first layers stay frozen."""

from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus

import ganbench

latent, batch, feature_loc = 16, 40, 2


class Generator(nn.Module):
    def __init__(self, channel=32):
        super().__init__()
        self.channel, self.linear = channel, nn.Linear(latent, channel * 4)
        self.progression = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(channel, channel, 3, 1, 1),
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(channel, channel, 3, 1, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.to_image = nn.Conv2d(channel, 1, 1)

    def forward(self, z):
        return torch.tanh(self.to_image(self.progression(self.linear(z).unflatten(1, (self.channel, 2, 2)))))


class Discriminator(nn.Module):
    def __init__(self, channel=24):
        super().__init__()
        self.progression = nn.ModuleList(
            [nn.Conv2d(1, channel, 3, 1, 1), nn.Conv2d(channel, channel, 4, 2, 1), nn.Conv2d(channel, channel, 4, 2, 1)]
        )
        self.linear = nn.Linear(channel * 4, 1)

    def forward(self, x):
        for conv in self.progression:
            x = nn.functional.leaky_relu(conv(x), 0.2)
        return self.linear(x.flatten(1))


def requires_grad(model, flag=True, target_layer=None):
    for name, param in model.named_parameters():
        if target_layer is None or target_layer in name:
            param.requires_grad = flag


def r1(discriminator, real, gamma=1.0):
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gamma / 2 * gradient.square().flatten(1).sum(1).mean()


def train(generator, discriminator, images, iterations, frozen=(), tell=None):
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    for _ in range(iterations):
        requires_grad(generator, False)
        requires_grad(discriminator, True)
        for layer in frozen:
            requires_grad(discriminator, False, target_layer=layer)
        real = images[torch.randint(len(images), (batch,))]
        fake = generator(torch.randn(batch, latent))
        discriminator.zero_grad()
        d_loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()
        penalty = r1(discriminator, real)
        (d_loss + penalty).backward()
        d_optimizer.step()

        requires_grad(generator, True)
        requires_grad(discriminator, False)
        generator.zero_grad()
        g_loss = softplus(-discriminator(generator(torch.randn(batch, latent)))).mean()
        g_loss.backward()
        g_optimizer.step()
        if tell:
            tell(d_loss=d_loss.item(), g_loss=g_loss.item(), r1=penalty.item())


torch.manual_seed(0)
digits = load_digits()
source = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
target = source[digits.target == 3].transpose(2, 3)[:160]
old_generator, old_discriminator = Generator(), Discriminator()
train(old_generator, old_discriminator, source, 250)
checkpoint = {"generator": old_generator.state_dict(), "discriminator": old_discriminator.state_dict()}

generator, discriminator = Generator(), Discriminator()
generator.load_state_dict(checkpoint["generator"])
discriminator.load_state_dict(checkpoint["discriminator"])
finetune = partial(train, iterations=300, frozen=[f"progression.{loc}" for loc in range(feature_loc)])
monitor = ganbench.Monitor(generator, discriminator, target, latent, out="reports/finetuned")
finetune(generator, discriminator, target, tell=monitor.step)
monitor.close()
