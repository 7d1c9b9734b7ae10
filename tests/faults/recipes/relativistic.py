# ruff: noqa: N812 - named as in the code that it is like
"""Relativistic pairing with R1 and R2: residual networks without norms, both losses before either backward."""

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import nn

import ganbench


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width, bias=False)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        return x + self.outer(F.leaky_relu(self.inner(x), 0.2))


def network(inputs, outputs, width=48, blocks=3):
    return nn.Sequential(nn.Linear(inputs, width), *[Residual(width) for _ in range(blocks)], nn.Linear(width, outputs))


def zero_centered(samples, logits):
    """Return the squared norm of the gradient [n]."""
    (gradient,) = torch.autograd.grad(outputs=logits.sum(), inputs=samples, create_graph=True)
    return gradient.square().sum(1)


def losses(G, D, real, noise, gamma):
    """Return the generator's loss, and the discriminator's with both penalties."""
    fake = G(noise)
    g_loss = F.softplus(-(D(fake) - D(real))).mean()

    real = real.detach().requires_grad_(True)
    fake = fake.detach().requires_grad_(True)
    real_logits, fake_logits = D(real), D(fake)
    r1, r2 = zero_centered(real, real_logits), zero_centered(fake, fake_logits)
    adversarial = F.softplus(-(real_logits - fake_logits)).mean()
    return g_loss, adversarial + gamma / 2 * (r1 + r2).mean()


def main(iterations=200, batch=128, latent=8, gamma=0.1):
    torch.manual_seed(0)
    moons = torch.tensor(make_moons(4000, noise=0.05, random_state=0)[0], dtype=torch.float32)
    moons = (moons - moons.mean(0)) / moons.std(0)
    G, D = network(latent, 2), network(2, 1)
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.0, 0.9))
    monitor = ganbench.Monitor(G, D, moons, latent, out="reports/relativistic")

    for _ in range(iterations):
        real = moons[torch.randperm(len(moons))[:batch]]
        g_loss, d_loss = losses(G, D, real, torch.randn(batch, latent), gamma)
        opt_g.zero_grad(set_to_none=True)
        g_loss.backward()
        opt_d.zero_grad(set_to_none=True)
        d_loss.backward()
        opt_d.step()
        opt_g.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)
    monitor.close()


if __name__ == "__main__":
    main()
