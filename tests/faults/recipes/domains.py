"""Translation between several domains as StarGAN has it: a solver class that clears both optimizers each time."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F  # noqa: N812 - as in the code that it is like
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench


class Generator(nn.Module):
    def __init__(self, conv_dim=24, c_dim=3):
        super().__init__()
        self.c_dim = c_dim
        self.main = nn.Sequential(
            nn.Conv2d(1 + c_dim, conv_dim, 3, 1, 1), nn.InstanceNorm2d(conv_dim, affine=True), nn.ReLU(),
            nn.Conv2d(conv_dim, conv_dim, 4, 2, 1), nn.InstanceNorm2d(conv_dim, affine=True), nn.ReLU(),
            nn.ConvTranspose2d(conv_dim, conv_dim, 4, 2, 1), nn.InstanceNorm2d(conv_dim, affine=True), nn.ReLU(),
            nn.Conv2d(conv_dim, 1, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x, label):
        c = F.one_hot(label, self.c_dim).float()[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.main(torch.cat([x, c], 1))


class Discriminator(nn.Module):
    def __init__(self, conv_dim=24, c_dim=3):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, conv_dim, 4, 2, 1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(conv_dim, conv_dim, 3, 1, 1),
            nn.LeakyReLU(0.01),
        )
        self.conv1 = nn.Conv2d(conv_dim, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(conv_dim, c_dim, 4, bias=False)

    def forward(self, x):
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)


class Solver:
    def __init__(self, config, loader):
        self.config, self.loader = config, loader
        self.G, self.D = Generator(c_dim=config.c_dim), Discriminator(c_dim=config.c_dim)
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), config.g_lr, [0.5, 0.999])
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), config.d_lr, [0.5, 0.999])

    def reset_grad(self):
        self.g_optimizer.zero_grad()
        self.d_optimizer.zero_grad()

    def gradient_penalty(self, y, x):
        dydx = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True, create_graph=True)[0]
        return (dydx.flatten(1).norm(dim=1) - 1).square().mean()

    def train(self, monitor):
        c, iterator = self.config, iter(self.loader)
        for i in range(c.num_iters):
            try:
                x_real, label_org = next(iterator)
            except StopIteration:
                iterator = iter(self.loader)
                x_real, label_org = next(iterator)
            label_trg = label_org[torch.randperm(len(label_org))]

            out_src, out_cls = self.D(x_real)
            d_loss_real, d_loss_cls = -out_src.mean(), F.cross_entropy(out_cls, label_org)
            x_fake = self.G(x_real, label_trg)
            out_src, _ = self.D(x_fake.detach())
            d_loss_fake = out_src.mean()
            alpha = torch.rand(len(x_real), 1, 1, 1)
            x_hat = (alpha * x_real + (1 - alpha) * x_fake.detach()).requires_grad_(True)
            d_loss_gp = self.gradient_penalty(self.D(x_hat)[0], x_hat)
            d_loss = d_loss_real + d_loss_fake + d_loss_cls + c.lambda_gp * d_loss_gp
            self.reset_grad()
            d_loss.backward()
            self.d_optimizer.step()

            if (i + 1) % c.n_critic == 0:
                x_fake = self.G(x_real, label_trg)
                out_src, out_cls = self.D(x_fake)
                g_loss_fake, g_loss_cls = -out_src.mean(), F.cross_entropy(out_cls, label_trg)
                g_loss_rec = (x_real - self.G(x_fake, label_org)).abs().mean()
                g_loss = g_loss_fake + c.lambda_rec * g_loss_rec + g_loss_cls
                self.reset_grad()
                g_loss.backward()
                self.g_optimizer.step()
                monitor.step(d_loss=d_loss.item(), g_loss=g_loss.item())


torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
domains = torch.arange(len(images)) % 3
images = torch.stack([images, -images, 0.5 * images.flip(3) - 0.5])[domains, torch.arange(len(images))]
config = SimpleNamespace(c_dim=3, num_iters=450, n_critic=3, g_lr=1e-3, d_lr=1e-3, lambda_gp=10.0, lambda_rec=10.0)
solver = Solver(config, DataLoader(TensorDataset(images, domains), batch_size=24, shuffle=True, drop_last=True))
sources = lambda n: images[torch.randint(len(images), (n,))]  # noqa: E731
told = {"given": 1, "d_forward": lambda d, x, label: d(x)[0], "out": "reports/domains"}
monitor = ganbench.Monitor(solver.G, solver.D, solver.loader, sources, **told)
solver.train(monitor)
monitor.close()
