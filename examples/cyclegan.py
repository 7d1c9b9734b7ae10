"""Unpaired translation both ways with cycle consistency: two generators and two critics, watched in one direction."""

import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import ganbench  # ganbench

epochs, batch_size, lr, cycle = 20, 32, 2e-4, 10.0


def translator():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 1, 1), nn.InstanceNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(32, 1, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip


def critic():
    return nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 3, 1, 1))


def wants(scores, value):
    return mse_loss(scores, torch.full_like(scores, value))


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
half = len(digits) // 2
pairs = TensorDataset(digits[:half], -digits[half : 2 * half])
loader = DataLoader(pairs, batch_size=batch_size, shuffle=True, drop_last=True)
to, critics = {"b": translator(), "a": translator()}, {"b": critic(), "a": critic()}
optimizer_g = optim.Adam(itertools.chain(*(g.parameters() for g in to.values())), lr=lr, betas=(0.5, 0.999))
optimizer_d = optim.Adam(itertools.chain(*(d.parameters() for d in critics.values())), lr=lr, betas=(0.5, 0.999))
ways = {"g_forward": lambda g, a: g["b"](a), "d_forward": lambda d, b, _: d["b"](b)}  # ganbench
monitor = ganbench.Monitor(to, critics, loader, given=0, **ways, out="reports/cyclegan")  # ganbench

for _ in range(epochs):
    for a, b in loader:
        fake_b, fake_a = to["b"](a), to["a"](b)
        around = (to["a"](fake_b) - a).abs().mean() + (to["b"](fake_a) - b).abs().mean()
        g_loss = wants(critics["b"](fake_b), 1.0) + wants(critics["a"](fake_a), 1.0) + cycle * around
        optimizer_g.zero_grad()
        g_loss.backward()
        optimizer_g.step()

        d_loss = wants(critics["b"](b), 1.0) + wants(critics["b"](fake_b.detach()), 0.0)
        d_loss = d_loss + wants(critics["a"](a), 1.0) + wants(critics["a"](fake_a.detach()), 0.0)
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
