# ruff: noqa: N816 - named as in the code that it is like
"""MMD-GAN: the critic learns features in which a mixture of kernels tells rows apart; there is no score."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

import ganbench

sigma_list = (0.5, 1.0, 2.0, 4.0)
batch_size, nz, Diters, max_iter, lr, lambda_MMD = 64, 6, 2, 30, 5e-4, 1.0


class Encoder(nn.Module):
    def __init__(self, isize, k=8):
        super().__init__()
        self.main = nn.Sequential(
            spectral_norm(nn.Linear(isize, 64)), nn.LeakyReLU(0.2), spectral_norm(nn.Linear(64, 64)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(64, k)),
        )  # fmt: skip

    def forward(self, rows):
        return 3 * self.main(rows)


class Decoder(nn.Module):
    def __init__(self, isize):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(nz, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Linear(64, isize),
        )  # fmt: skip

    def forward(self, noise):
        return self.main(noise)


def mix_rbf_kernel(X, Y):
    exponent = torch.cdist(X, Y).square()
    return sum(torch.exp(-exponent / (2 * sigma**2)) for sigma in sigma_list) / len(sigma_list)


def mix_rbf_mmd2(X, Y):
    """Return the unbiased estimate of the squared discrepancy of X [m, k] and Y [m, k]."""
    m = len(X)
    K_XX, K_XY, K_YY = mix_rbf_kernel(X, X), mix_rbf_kernel(X, Y), mix_rbf_kernel(Y, Y)
    within = (K_XX.sum() - K_XX.trace() + K_YY.sum() - K_YY.trace()) / (m * (m - 1))
    return within - 2 * K_XY.mean()


def likeness(d, x):
    """Return how like the real rows [n] rows are by the features as they are now."""
    return mix_rbf_kernel(d(x), d(rows[:256])).mean(1)


torch.manual_seed(0)
rows = torch.tensor(load_breast_cancer().data[:, :6], dtype=torch.float32)
rows = (rows - rows.mean(0)) / rows.std(0)
trn_loader = DataLoader(TensorDataset(rows), batch_size=batch_size, shuffle=True, drop_last=True)
netG, netD = Decoder(rows.shape[1]), Encoder(rows.shape[1])
optimizerG = torch.optim.RMSprop(netG.parameters(), lr=lr)
optimizerD = torch.optim.RMSprop(netD.parameters(), lr=lr)
monitor = ganbench.Monitor(netG, netD, rows, nz, d_forward=likeness, out="reports/kernel")

for _ in range(max_iter):
    data_iter, i = iter(trn_loader), 0
    while i < len(trn_loader):
        for p in netD.parameters():
            p.requires_grad = True
        for _ in range(min(Diters, len(trn_loader) - i)):
            (x,) = next(data_iter)
            i += 1
            netD.zero_grad()
            with torch.no_grad():
                y = netG(torch.randn(batch_size, nz))
            errD = -lambda_MMD * mix_rbf_mmd2(netD(x), netD(y))
            errD.backward()
            optimizerD.step()

        for p in netD.parameters():
            p.requires_grad = False
        netG.zero_grad()
        y = netG(torch.randn(batch_size, nz))
        errG = lambda_MMD * mix_rbf_mmd2(netD(x), netD(y))
        errG.backward()
        optimizerG.step()
        monitor.step(d_loss=errD, g_loss=errG)
monitor.close()
