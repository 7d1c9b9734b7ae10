# ruff: noqa: N816 - named as in the code that it is like
"""WGAN as its first code has it: an inner loop of the critic, clipped weights, RMSprop, requires_grad to and fro."""

import torch
from torch import nn
from torch.optim import RMSprop
from torch.utils.data import DataLoader, TensorDataset

import ganbench

turns, n_critic, batch_size, nz, lr, clip = 300, 5, 64, 10, 5e-4, 0.05
torch.manual_seed(0)

mix = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.8, 0.5, 0.0, 0.0], [0.0, 0.4, 0.9, 0.0], [-0.5, 0.0, 0.3, 0.6]])
rows = torch.randn(4000, 4) @ mix.T
rows[:, 1] = rows[:, 1].abs()
loader = DataLoader(TensorDataset(rows), batch_size=batch_size, shuffle=True, drop_last=True)


def forever(batches):
    while True:
        for (x,) in batches:
            yield x


netG = nn.Sequential(
    nn.Linear(nz, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4)
)
netD = nn.Sequential(nn.Linear(4, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
optimizerG, optimizerD = RMSprop(netG.parameters(), lr=lr), RMSprop(netD.parameters(), lr=lr)
monitor = ganbench.Monitor(netG, netD, rows, nz, out="reports/critic_loop")
data = forever(loader)

for _ in range(turns):
    for p in netD.parameters():
        p.requires_grad = True
    for _ in range(n_critic):
        real = next(data)
        netD.zero_grad()
        with torch.no_grad():
            fake = netG(torch.randn(batch_size, nz))
        errD = netD(fake).mean() - netD(real).mean()
        errD.backward()
        optimizerD.step()
        for p in netD.parameters():
            p.data.clamp_(-clip, clip)

    for p in netD.parameters():
        p.requires_grad = False
    netG.zero_grad()
    errG = -netD(netG(torch.randn(batch_size, nz))).mean()
    errG.backward()
    optimizerG.step()
    monitor.step(d_loss=errD, g_loss=errG)
monitor.close()
