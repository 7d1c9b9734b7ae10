"""Unpaired translation one way with two discriminators, of images and of their edges, and a pool of earlier fakes."""

import random

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import ganbench

iterations, batch, identity_weight = 500, 32, 2.0


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(4, width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, x):
        return x + self.body(x)


class Translator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1), nn.ReLU(), Block(width), Block(width), nn.Conv2d(width, 1, 3, 1, 1)
        )

    def forward(self, x):
        return torch.tanh(x + self.net(x))


class Pool:
    """Half of what D is shown are fakes of earlier iterations."""

    def __init__(self, size=64):
        self.size, self.kept = size, []

    def query(self, images):
        shown = []
        for image in images:
            if len(self.kept) < self.size:
                self.kept.append(image)
                shown.append(image)
            elif random.random() < 0.5:
                place = random.randrange(self.size)
                shown.append(self.kept[place].clone())
                self.kept[place] = image
            else:
                shown.append(image)
        return torch.stack(shown)


def patch_critic():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 1)
    )


def edges(x):
    return x[..., 1:] - x[..., :-1]


def lsgan(scores, target):
    return (scores - target).pow(2).mean()


torch.manual_seed(0)
random.seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
bright, dark = digits[:900], (0.6 * digits[900:] - 0.3).clamp(-1, 1)
translator, critics = Translator(), nn.ModuleDict({"whole": patch_critic(), "edges": patch_critic()})
optimizer_g = torch.optim.Adam(translator.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizer_d = torch.optim.Adam(critics.parameters(), lr=2e-4, betas=(0.5, 0.999))
decays = [LambdaLR(own, lambda at: 1.0 - max(0, at - 300) / 300) for own in (optimizer_g, optimizer_d)]
pool = Pool()
forwards = {"d_forward": lambda d, x: d["whole"](x)}
monitor = ganbench.Monitor(
    translator, critics, dark, lambda n: bright[torch.randint(900, (n,))], **forwards, out="reports/image_pool"
)

for _ in range(iterations):
    source, target = bright[torch.randint(len(bright), (batch,))], dark[torch.randint(len(dark), (batch,))]
    made = translator(source)
    optimizer_g.zero_grad()
    loss_g = lsgan(critics["whole"](made), 1.0) + lsgan(critics["edges"](edges(made)), 1.0)
    loss_g = loss_g + identity_weight * (translator(target) - target).abs().mean()
    loss_g.backward()
    optimizer_g.step()

    old = pool.query(made.detach())
    optimizer_d.zero_grad()
    loss_d = lsgan(critics["whole"](target), 1.0) + lsgan(critics["whole"](old), 0.0)
    loss_d = loss_d + lsgan(critics["edges"](edges(target)), 1.0) + lsgan(critics["edges"](edges(old)), 0.0)
    loss_d.backward()
    optimizer_d.step()
    for decay in decays:
        decay.step()
    monitor.step(d_loss=loss_d, g_loss=loss_g)
monitor.close()
