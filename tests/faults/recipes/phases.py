"""Projected features: heads on a network that stays as it is; phases, each with a module and optimizer, accumulate."""

import torch
from torch import nn
from torch.nn.functional import relu

import ganbench

batch_size, batch_gpu, z_dim, total_iterations, gamma = 64, 32, 12, 350, 0.3


class FeatureNetwork(nn.Module):
    """Random convolutions, as if they had been learnt elsewhere; two resolutions of features."""

    def __init__(self, width=24):
        super().__init__()
        self.layer0 = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.LeakyReLU(0.2))
        self.layer1 = nn.Sequential(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2))

    def forward(self, x):
        first = self.layer0(x)
        return [first, self.layer1(first)]


class ProjectedDiscriminator(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.feature_network = FeatureNetwork(width)
        self.feature_network.requires_grad_(False)
        self.heads = nn.ModuleList([self.head(width), self.head(2 * width)])

    @staticmethod
    def head(i, o=32):
        inner = [nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(o, o, 3, 1, 1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*inner, nn.Conv2d(o, 1, 1))

    def forward(self, x):
        features = self.feature_network(x)
        return torch.cat([head(f).flatten(1) for head, f in zip(self.heads, features, strict=True)], 1)


class ProjectedGANLoss:
    def __init__(self, G, D):
        self.G, self.D = G, D

    def accumulate_gradients(self, phase, real_img, gen_z, gain):
        if phase == "Gmain":
            loss = -self.D(self.G(gen_z)).mean()
            loss.mul(gain).backward()
            return loss.item()
        if phase == "Dreg":
            real_img = real_img.detach().requires_grad_(True)
            (r1_grads,) = torch.autograd.grad(self.D(real_img).mean(1).sum(), real_img, create_graph=True)
            loss = gamma / 2 * r1_grads.square().sum((1, 2, 3)).mean()
            loss.mul(gain).backward()
            return loss.item()
        loss_gen = relu(1 + self.D(self.G(gen_z).detach())).mean()
        loss_gen.mul(gain).backward()
        loss_real = relu(1 - self.D(real_img)).mean()
        loss_real.mul(gain).backward()
        return loss_gen.item() + loss_real.item()


def blots(n):
    """Return images [n, 1, 12, 12] of one or two soft discs."""
    grid, image = torch.arange(12).float(), torch.zeros(n, 12, 12)
    for chance in (1.0, 0.5):
        y, x, r = 2 + 7 * torch.rand(n, 1, 1), 2 + 7 * torch.rand(n, 1, 1), 1 + 1.5 * torch.rand(n, 1, 1)
        disc = torch.sigmoid(4 * (r - ((grid[:, None] - y).square() + (grid - x).square()).sqrt()))
        image = torch.maximum(image, disc * (torch.rand(n, 1, 1) < chance))
    return 2 * image[:, None] - 1


def generator(width=32):
    return nn.Sequential(
        nn.Linear(z_dim, 9 * width), nn.Unflatten(1, (width, 3, 3)), nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


torch.manual_seed(0)
G, D = generator(), ProjectedDiscriminator()
G_opt = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.99))
D_opt = torch.optim.Adam(D.heads.parameters(), lr=1e-3, betas=(0.0, 0.99))
phases = [
    {"name": "Gmain", "module": G, "opt": G_opt, "interval": 1},
    {"name": "Dmain", "module": D, "opt": D_opt, "interval": 1},
    {"name": "Dreg", "module": D, "opt": D_opt, "interval": 8},
]
loss = ProjectedGANLoss(G, D)
monitor = ganbench.Monitor(G, D, blots, z_dim, d_forward=lambda d, x: d(x).mean(1), out="reports/phases")
nn.ModuleList([G, D]).requires_grad_(False)

for batch_idx in range(total_iterations):
    real_parts, stats = blots(batch_size).split(batch_gpu), {}
    for phase in phases:
        if batch_idx % phase["interval"]:
            continue
        phase["opt"].zero_grad(set_to_none=True)
        phase["module"].requires_grad_(True)
        D.feature_network.requires_grad_(False)
        for real_img in real_parts:
            gen_z = torch.randn(batch_gpu, z_dim)
            gain = phase["interval"] * batch_gpu / batch_size
            stats[phase["name"]] = loss.accumulate_gradients(phase["name"], real_img, gen_z, gain)
        phase["module"].requires_grad_(False)
        phase["opt"].step()
    monitor.step(d_loss=stats["Dmain"], g_loss=stats["Gmain"])
monitor.close()
