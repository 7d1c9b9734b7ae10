"""BiGAN: the discriminator tells pairs (sample, code) apart, generator and encoder are one player against it."""

import itertools

import torch
from sklearn.datasets import make_swiss_roll
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import ganbench

CODE, WIDTH, BATCH, ITERATIONS = 2, 64, 128, 200


def mlp(*sizes, norm=False):
    layers = []
    for i, o in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(i, o), *([nn.BatchNorm1d(o)] if norm else []), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


class PairDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(3 + CODE, WIDTH, WIDTH, 1)

    def forward(self, x, z):
        return self.net(torch.cat([x, z], dim=1)).squeeze(1)


torch.manual_seed(0)
points = torch.tensor(make_swiss_roll(4000, noise=0.3, random_state=0)[0], dtype=torch.float32)
points = (points - points.mean(0)) / points.std(0)
G, E, D = mlp(CODE, WIDTH, WIDTH, 3, norm=True), mlp(3, WIDTH, WIDTH, CODE), PairDiscriminator()
opt_ge = torch.optim.Adam(itertools.chain(G.parameters(), E.parameters()), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
monitor = ganbench.Monitor(
    nn.ModuleDict({"decoder": G, "encoder": E}),
    D,
    points,
    CODE,
    g_forward=lambda g, z: g["decoder"](z),
    d_forward=lambda d, x: d(x, E(x)),
    out="reports/joint_pairs",
)

for _ in range(ITERATIONS):
    x = points[torch.randint(len(points), (BATCH,))]
    z = torch.randn(BATCH, CODE)
    x_fake, z_real = G(z), E(x)
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)

    d_loss = bce(D(x, z_real.detach()), ones) + bce(D(x_fake.detach(), z), zeros)
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()

    ge_loss = bce(D(x, z_real), zeros) + bce(D(x_fake, z), ones)
    opt_ge.zero_grad()
    ge_loss.backward()
    opt_ge.step()
    monitor.step(d_loss=d_loss.item(), g_loss=ge_loss.item())
monitor.close()
