# ruff: noqa: N802, N816 - named as in the paper
"""GAIN: missing entries are imputed, the discriminator says of each entry how likely it is to have been observed."""

import torch
from torch import nn

import ganbench

mb_size, p_miss, p_hint, alpha, Dim, H, turns = 128, 0.3, 0.9, 10.0, 8, 48, 200


def complete(n):
    """Return rows in [0, 1] whose entries depend on two factors, [n, 8]."""
    factors = torch.rand(n, 2)
    angles = torch.linspace(0, torch.pi / 2, Dim)
    mixed = factors[:, :1] * angles.cos() + factors[:, 1:] * angles.sin()
    return (mixed / 1.5 + 0.03 * torch.randn(n, Dim)).clamp(0, 1)


def sample_M(n, p):
    return (torch.rand(n, Dim) < p).float()


def dense(inputs):
    return nn.Sequential(
        nn.Linear(inputs, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, Dim), nn.Sigmoid()
    )  # fmt: skip


def incomplete(n):
    """Return rows with noise where entries miss, and the masks beside them, [n, 16]."""
    X, M = trainX[torch.randint(len(trainX), (n,))], sample_M(n, 1 - p_miss)
    return torch.cat([M * X + (1 - M) * 0.01 * torch.rand(n, Dim), M], 1)


def impute(net, inputs):
    New_X, M = inputs.chunk(2, 1)
    return M * New_X + (1 - M) * net(inputs)


def hinted(net, Hat_X, Hint):
    return net(torch.cat([Hat_X, Hint], 1))


torch.manual_seed(0)
trainX = complete(2000)
G, D = dense(2 * Dim), dense(2 * Dim)
G_solver = torch.optim.Adam(params=G.parameters(), lr=2e-3)
D_solver = torch.optim.Adam(params=D.parameters(), lr=1e-3)
monitor = ganbench.Monitor(
    G,
    D,
    trainX,
    incomplete,
    g_forward=impute,
    d_forward=lambda d, x: hinted(d, x, torch.full_like(x, 0.5)),
    out="reports/imputation",
)

for _ in range(turns):
    inputs = incomplete(mb_size)
    New_X, M = inputs.chunk(2, 1)
    B = sample_M(mb_size, p_hint)
    Hint = B * M + 0.5 * (1 - B)

    D_solver.zero_grad()
    Hat_X = impute(G, inputs).detach()
    D_prob = hinted(D, Hat_X, Hint)
    D_loss = -torch.mean(M * torch.log(D_prob + 1e-8) + (1 - M) * torch.log(1 - D_prob + 1e-8))
    D_loss.backward()
    D_solver.step()

    G_solver.zero_grad()
    G_sample = G(inputs)
    Hat_X = M * New_X + (1 - M) * G_sample
    D_prob = hinted(D, Hat_X, Hint)
    G_adv = -torch.mean((1 - M) * torch.log(D_prob + 1e-8))
    MSE = torch.mean((M * New_X - M * G_sample) ** 2) / torch.mean(M)
    (G_adv + alpha * MSE).backward()
    G_solver.step()
    monitor.step(d_loss=D_loss.item(), g_loss={"adv": G_adv.item(), "mse": alpha * MSE.item()})
monitor.close()
