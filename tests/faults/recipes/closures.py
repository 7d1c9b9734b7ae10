"""A loop in closures: `optimizer.step(closure)`, hinge losses, two bells on a line."""

import torch
from torch import nn, optim
from torch.nn.functional import relu

import ganbench

rounds, batch_size, noise = 1500, 64, 4


def bells(n):
    return 0.3 * torch.randn(n, 1) + torch.randint(2, (n, 1)) * 2.0 - 1.0


def dense(inputs, outputs, width=32):
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )


def make(g, d, opt_g, opt_d):
    def turn_of_d():
        opt_d.zero_grad()
        real, fake = bells(batch_size), g(torch.randn(batch_size, noise))
        loss = relu(1 - d(real)).mean() + relu(1 + d(fake.detach())).mean()
        loss.backward()
        return loss

    def turn_of_g():
        opt_g.zero_grad()
        loss = -d(g(torch.randn(batch_size, noise))).mean()
        loss.backward()
        return loss

    def play():
        return opt_d.step(turn_of_d), opt_g.step(turn_of_g)

    return play


torch.manual_seed(0)
g, d = dense(noise, 1), dense(1, 1)
opt_g = optim.Adam(g.parameters(), lr=5e-4, betas=(0.5, 0.9))
opt_d = optim.Adam(d.parameters(), lr=5e-4, betas=(0.5, 0.9))
monitor = ganbench.Monitor(g, d, bells, noise, out="reports/closures")
play = make(g, d, opt_g, opt_d)
for _ in range(rounds):
    d_loss, g_loss = play()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
