# ruff: noqa: N816 - named as in the code that it is like
"""Sequences by recurrent networks, in the tutorial's style: BCELoss, smoothed labels, D backward twice."""

import torch
import torch.nn as nn
import torch.optim as optim

import ganbench

num_iters, bs, seq, nz, real_label, fake_label = 400, 40, 12, 4, 0.9, 0.0


def walks(n):
    drift = torch.where(torch.rand(n, 1, 1) < 0.5, 0.15, -0.15)
    return (drift + 0.05 * torch.randn(n, seq, 1)).cumsum(1)


class NetG(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(nz, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, z):
        h, _ = self.rnn(z)
        return self.out(h)


class NetD(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(1, 32, batch_first=True), nn.Sequential(nn.Linear(32, 1), nn.Sigmoid())

    def forward(self, x):
        _, h = self.rnn(x)
        return self.out(h[-1]).view(-1)


torch.manual_seed(0)
netG, netD = NetG(), NetD()
criterion = nn.BCELoss()
optimizerD = optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
monitor = ganbench.Monitor(netG, netD, walks, lambda n: torch.randn(n, seq, nz), out="reports/recurrent")

for _ in range(num_iters):
    netD.zero_grad()
    label = torch.full((bs,), real_label)
    errD_real = criterion(netD(walks(bs)), label)
    errD_real.backward()
    noise = torch.randn(bs, seq, nz)
    fake = netG(noise)
    label.fill_(fake_label)
    errD_fake = criterion(netD(fake.detach()), label)
    errD_fake.backward()
    optimizerD.step()

    netG.zero_grad()
    label.fill_(1.0)
    errG = criterion(netD(fake), label)
    errG.backward()
    optimizerG.step()
    monitor.step(d_loss=errD_real + errD_fake, g_loss=errG)
monitor.close()
