"""DataParallel around both players, a lazy R1 penalty, and an exponential average of the generator beside it."""

import copy

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus

import ganbench

steps, batch_size, latent_dim, lr, decay, gamma, lazy = 500, 64, 16, 1e-3, 0.99, 1.0, 4


class Mapped(nn.Module):
    """A mapping network, then a synthesis network."""

    def __init__(self):
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2))
        self.synthesis = nn.Sequential(nn.Linear(32, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64))

    def forward(self, z):
        z = z / z.square().mean(1, keepdim=True).sqrt()
        return self.synthesis(self.mapping(z)).view(-1, 1, 8, 8)


def update_average(average, model):
    with torch.no_grad():
        for a, b in zip(average.parameters(), model.parameters(), strict=True):
            a.lerp_(b, 1 - decay)


torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
G = nn.DataParallel(Mapped())
D = nn.DataParallel(
    nn.Sequential(
        nn.Conv2d(1, 32, 3, 1, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 32, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(512, 1),
    )
)
G_average = copy.deepcopy(G).requires_grad_(False)
G_opt, D_opt = (
    torch.optim.Adam(G.parameters(), lr=lr, betas=(0.0, 0.99)),
    torch.optim.Adam(D.parameters(), lr=lr, betas=(0.0, 0.99)),
)
monitor = ganbench.Monitor(G, D, images, latent_dim, out="reports/averaged")

for step in range(steps):
    x = images[torch.randint(len(images), (batch_size,))]
    G_opt.zero_grad()
    D.requires_grad_(False)
    loss_g = softplus(-D(G(torch.randn(batch_size, latent_dim)))).mean()
    loss_g.backward()
    G_opt.step()
    update_average(G_average, G)

    D.requires_grad_(True)
    D_opt.zero_grad()
    loss_d = softplus(D(G(torch.randn(batch_size, latent_dim)).detach())).mean() + softplus(-D(x)).mean()
    loss_d.backward()
    if step % lazy == 0:
        x = x.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        (0.5 * gamma * lazy * slope.square().sum([1, 2, 3]).mean()).backward()
    D_opt.step()
    monitor.step(d_loss=loss_d, g_loss=loss_g)
monitor.close()
