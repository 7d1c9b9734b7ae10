# ruff: noqa: N816 - named as in the code that it is like
"""Evolution of generators (E-GAN): the parent is mutated under three losses, the fittest child goes on."""

import copy

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import binary_cross_entropy, mse_loss

import ganbench

iterations, batchSize, evalSize, nz, ngf, lrd, lrg, lambda_f = 160, 50, 128, 12, 24, 2e-3, 1e-3, 0.05
loss_type = ["lsgan", "nsgan", "minimax"]


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.begin = nn.Linear(nz, ngf * 4)
        self.main = nn.Sequential(
            nn.BatchNorm2d(ngf), nn.ReLU(), nn.ConvTranspose2d(ngf, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf), nn.ReLU(), nn.ConvTranspose2d(ngf, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise):
        return self.main(self.begin(noise).view(-1, ngf, 2, 2))


class Discriminator(nn.Module):
    def __init__(self, ndf=24):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, ndf, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(ndf, 2 * ndf, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(8 * ndf, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        return self.main(x).view(-1)


def criterion_d(predict_real, predict_fake):
    real_label, fake_label = torch.ones_like(predict_real), torch.zeros_like(predict_fake)
    return binary_cross_entropy(predict_real, real_label), binary_cross_entropy(predict_fake, fake_label)


def criterion_g(predict_fake, kind):
    if kind == "nsgan":
        return binary_cross_entropy(predict_fake, torch.ones_like(predict_fake))
    if kind == "lsgan":
        return mse_loss(predict_fake, torch.ones_like(predict_fake))
    return -binary_cross_entropy(predict_fake, torch.zeros_like(predict_fake))


def fitness_score(real, fake):
    """Return quality plus diversity: how real D finds them, how small its gradients would be."""
    predict_fake = netD(fake)
    loss = sum(criterion_d(netD(real), predict_fake))
    gradients = torch.autograd.grad(loss, netD.parameters())
    allgrad = torch.cat([gradient.view(-1) for gradient in gradients])
    return predict_fake.mean().item() - lambda_f * allgrad.norm().log().item()


def draw(n):
    return digits[torch.randint(len(digits), (n,))]


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
netG, netD = Generator(), Discriminator()
optimizerD = optim.Adam(netD.parameters(), lr=lrd, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=lrg, betas=(0.5, 0.999))
monitor = ganbench.Monitor(netG, netD, digits, nz, out="reports/evolution")

for _ in range(iterations):
    parent, parent_opt = copy.deepcopy(netG.state_dict()), copy.deepcopy(optimizerG.state_dict())
    best, best_F = None, -float("inf")
    for kind in loss_type:
        netG.load_state_dict(parent)
        optimizerG.load_state_dict(parent_opt)
        netG.zero_grad()
        gen_imgs = netG(torch.randn(batchSize, nz))
        g_loss = criterion_g(netD(gen_imgs), kind)
        g_loss.backward()
        optimizerG.step()
        with torch.no_grad():
            eval_fake = netG(torch.randn(evalSize, nz))
        fitness = fitness_score(draw(evalSize), eval_fake)
        if fitness > best_F:
            best = copy.deepcopy(netG.state_dict()), copy.deepcopy(optimizerG.state_dict()), g_loss.item()
            best_F = fitness
    netG.load_state_dict(best[0])
    optimizerG.load_state_dict(best[1])

    netD.zero_grad()
    with torch.no_grad():
        gen_imgs = netG(torch.randn(batchSize, nz))
    D_real, D_fake = criterion_d(netD(draw(batchSize)), netD(gen_imgs))
    D_loss = D_real + D_fake
    D_loss.backward()
    optimizerD.step()
    monitor.step(d_loss=D_loss, g_loss=best[2], fitness=best_F)
monitor.close()
