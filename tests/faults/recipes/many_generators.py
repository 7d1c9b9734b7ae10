"""Several generators against one discriminator that also says which of them made a sample (as in MAD-GAN)."""

import torch
from torch import nn
from torch.optim import Adam

import ganbench

n_generators, n_iters, batch, nz, lr = 3, 400, 96, 8, 5e-4
share = batch // n_generators
real_class = n_generators


def checkers(n):
    """Return points [n, 2] on the black fields of a board of 4 x 4."""
    column = torch.randint(4, (n,))
    row = 2 * torch.randint(2, (n,)) + column % 2
    return (torch.stack([column, row], 1) + torch.rand(n, 2)) / 2 - 1


class Stem(nn.Module):
    """The layers that all generators share."""

    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(nz, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

    def forward(self, z):
        return self.layers(z)


def make_head(width=64):
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


def make_discriminator(width=96):
    return nn.Sequential(
        nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, n_generators + 1),
    )  # fmt: skip


def mixture(model, z):
    """Return as many samples of each generator as of the others."""
    return torch.cat([head(model["stem"](part)) for head, part in zip(model["heads"], z.chunk(n_generators))])  # noqa: B905


def real_logit(d, x):
    scores = d(x)
    return scores[:, real_class] - scores[:, :real_class].logsumexp(1)


torch.manual_seed(0)
generators = nn.ModuleDict({"stem": Stem(), "heads": nn.ModuleList([make_head() for _ in range(n_generators)])})
discriminator = make_discriminator()
optim_stem = Adam(generators["stem"].parameters(), lr=lr / n_generators, betas=(0.5, 0.999))
optim_heads = [Adam(head.parameters(), lr=lr, betas=(0.5, 0.999)) for head in generators["heads"]]
optim_d = Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
criterion = nn.CrossEntropyLoss()
monitor = ganbench.Monitor(
    generators, discriminator, checkers, nz, g_forward=mixture, d_forward=real_logit, out="reports/many_generators"
)

for _ in range(n_iters):
    real = checkers(share)
    optim_d.zero_grad()
    d_loss = criterion(discriminator(real), torch.full((share,), real_class))
    for index, head in enumerate(generators["heads"]):
        fake = head(generators["stem"](torch.randn(share, nz)))
        d_loss = d_loss + criterion(discriminator(fake.detach()), torch.full((share,), index)) / n_generators
    d_loss.backward()
    optim_d.step()

    g_losses = []
    optim_stem.zero_grad()
    for head, optim_head in zip(generators["heads"], optim_heads, strict=True):
        optim_head.zero_grad()
        fake = head(generators["stem"](torch.randn(share, nz)))
        g_loss = criterion(discriminator(fake), torch.full((share,), real_class))
        g_loss.backward()
        optim_head.step()
        g_losses.append(g_loss.item())
    optim_stem.step()
    monitor.step(d_loss=d_loss, g_loss=sum(g_losses) / n_generators)
monitor.close()
