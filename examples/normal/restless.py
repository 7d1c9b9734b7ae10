"""Unpaired translation of points: the losses settle early and hardly change, and samples get better all the time."""

import torch
from torch import nn, optim

import ganbench

steps, batch_size, cycle = 1500, 128, 5.0


def mlp(outputs):
    return nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


def moons(n):
    angle, upper = torch.rand(n) * torch.pi, torch.randint(2, (n,)) * 2.0 - 1.0
    return torch.stack([angle.cos() + 0.5 * upper, upper * (angle.sin() - 0.25)], 1) + 0.05 * torch.randn(n, 2)


def turned(n):
    return moons(n).flip(1) * torch.tensor([1.0, -1.0])


def lsgan(scores, target):
    return (scores - target).square().mean()


torch.manual_seed(0)
there, back, critic_a, critic_b = mlp(2), mlp(2), mlp(1), mlp(1)
optimizer_g = optim.Adam([*there.parameters(), *back.parameters()], lr=5e-4, betas=(0.5, 0.999))
optimizer_d = optim.Adam([*critic_a.parameters(), *critic_b.parameters()], lr=5e-4, betas=(0.5, 0.999))
nets = {"there": there, "back": back}, {"a": critic_a, "b": critic_b}
ways = {"g_forward": lambda g, a: g["there"](a), "d_forward": lambda d, b: d["b"](b)}
monitor = ganbench.Monitor(*nets, turned, moons, **ways, every=75, out="reports/restless")

for _ in range(steps):
    a, b = moons(batch_size), turned(batch_size)
    fake_a, fake_b = back(b), there(a)
    around = (back(fake_b) - a).abs().mean() + (there(fake_a) - b).abs().mean()
    g_loss = lsgan(critic_b(fake_b), 1.0) + lsgan(critic_a(fake_a), 1.0)
    optimizer_g.zero_grad()
    (g_loss + cycle * around).backward()
    optimizer_g.step()

    d_loss = lsgan(critic_b(b), 1.0) + lsgan(critic_b(fake_b.detach()), 0.0)
    d_loss = d_loss + lsgan(critic_a(a), 1.0) + lsgan(critic_a(fake_a.detach()), 0.0)
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss, cycle=around)

monitor.close()
