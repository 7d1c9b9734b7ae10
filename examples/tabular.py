"""Tables with numbers and a category, judged in packs of eight rows (PacGAN; CTGAN takes ten), with a penalty."""

import torch
from torch import nn, optim

import ganbench  # ganbench

steps, batch_size, latent_dim, pack, lr, penalty = 800, 128, 16, 8, 2e-4, 10.0


def table(n):
    """Return rows [n, 5]: a category of three as one-hot, and two numbers that depend on it."""
    kind = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), n, replacement=True)
    numbers = torch.stack([kind - 1.0, (kind - 1.0).square()], 1) + 0.2 * torch.randn(n, 2)
    return torch.cat([nn.functional.one_hot(kind, 3).float(), numbers], 1)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        first = [nn.Linear(latent_dim, 64), nn.BatchNorm1d(64), nn.ReLU()]
        self.body = nn.Sequential(*first, nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))

    def forward(self, z):
        out = self.body(z)
        return torch.cat([nn.functional.gumbel_softmax(out[:, :3], tau=0.2), out[:, 3:]], 1)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        inner = [nn.Linear(5 * pack, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*inner, nn.Linear(64, 1))

    def forward(self, rows):
        return self.body(rows.reshape(-1, 5 * pack))


def penalised(critic, real, fake):
    share = torch.rand(len(real) // pack, 1).repeat_interleave(pack, 0)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.reshape(-1, 5 * pack).norm(dim=1) - 1).square().mean()


torch.manual_seed(0)
generator, critic = Generator(), Critic()
optimizer_d = optim.Adam(critic.parameters(), lr=lr, betas=(0.5, 0.9))
optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.9))
monitor = ganbench.Monitor(generator, critic, table, latent_dim, loss="wasserstein", out="reports/tabular")  # ganbench

for _ in range(steps):
    real, fake = table(batch_size), generator(torch.randn(batch_size, latent_dim))
    d_loss = critic(fake.detach()).mean() - critic(real).mean() + penalty * penalised(critic, real, fake.detach())
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    g_loss = -critic(generator(torch.randn(batch_size, latent_dim))).mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
