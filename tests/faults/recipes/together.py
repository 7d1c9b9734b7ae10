# ruff: noqa: N812 - named as in the code that it is like
"""Both losses from one state, both backward passes, then both optimizers' steps: simultaneous gradients on a spiral."""

import torch
import torch.nn as nn
import torch.nn.functional as F

import ganbench

N, Z, STEPS = 100, 6, 1500


def spiral(n):
    t = torch.rand(n, 1) * 3 + 0.5
    return torch.cat([t * torch.cos(2 * t), t * torch.sin(2 * t)], 1) / 2 + 0.03 * torch.randn(n, 2)


torch.manual_seed(0)
G = nn.Sequential(nn.Linear(Z, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
D = nn.Sequential(nn.Linear(2, 64), nn.ELU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 1))
opts = {
    "G": torch.optim.Adam(G.parameters(), 1e-3, (0.0, 0.9)),
    "D": torch.optim.Adam(D.parameters(), 1e-3, (0.0, 0.9)),
}
monitor = ganbench.Monitor(
    {"g": G},
    {"d": D},
    spiral,
    Z,
    g_forward=lambda g, z: g["g"](z),
    d_forward=lambda d, x: d["d"](x),
    out="reports/together",
)

for _ in range(STEPS):
    for opt in opts.values():
        opt.zero_grad()
    x, fake = spiral(N), G(torch.randn(N, Z))
    loss_d = F.softplus(-D(x)).mean() + F.softplus(D(fake.detach())).mean()
    loss_g = F.softplus(-D(fake)).mean()
    loss_d.backward(inputs=list(D.parameters()))
    loss_g.backward(inputs=list(G.parameters()))
    opts["D"].step()
    opts["G"].step()
    monitor.step(d_loss=loss_d, g_loss=loss_g)
monitor.close()
