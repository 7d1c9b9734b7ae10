"""Restoration as BasicSR trains ESRGAN: pixels, features of a frozen network, a relativistic average loss."""

from collections import OrderedDict

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench


class Restorer(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, width, 3, 1, 1), nn.Conv2d(width, 1, 3, 1, 1)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.PReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, lq):
        x = self.first(lq)
        return lq + self.last(x + self.body(x))


def pretrained_features(images, labels):
    """Return the convolutions of a small classifier, frozen."""
    net = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(60):
        chosen = torch.randint(len(images), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(net(images[chosen])), labels[chosen]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


class Model:
    def __init__(self, features):
        self.net_g = Restorer().train()
        self.net_d = nn.Sequential(
            nn.Conv2d(1, 24, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 32, 4, 2, 1), nn.BatchNorm2d(32),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(512, 1),
        ).train()  # fmt: skip
        self.features, self.cri_pix, self.cri_gan = features, nn.L1Loss(), nn.BCEWithLogitsLoss()
        self.optimizer_g = torch.optim.Adam(self.net_g.parameters(), lr=1e-3, betas=(0.9, 0.99))
        self.optimizer_d = torch.optim.Adam(self.net_d.parameters(), lr=2e-4, betas=(0.9, 0.99))
        self.log = OrderedDict()

    def gan_loss(self, scores, target_is_real):
        return self.cri_gan(scores, torch.full_like(scores, float(target_is_real)))

    def optimize_parameters(self, gt, lq):
        for p in self.net_d.parameters():
            p.requires_grad = False
        self.optimizer_g.zero_grad()
        output = self.net_g(lq)
        l_g_pix = self.cri_pix(output, gt)
        l_g_percep = self.cri_pix(self.features(output), self.features(gt))
        real_d_pred = self.net_d(gt).detach()
        fake_g_pred = self.net_d(output)
        l_g_real = self.gan_loss(real_d_pred - torch.mean(fake_g_pred), False)
        l_g_fake = self.gan_loss(fake_g_pred - torch.mean(real_d_pred), True)
        l_g_gan = 0.05 * (l_g_real + l_g_fake) / 2
        l_g_total = l_g_pix + 0.1 * l_g_percep + l_g_gan
        l_g_total.backward()
        self.optimizer_g.step()

        for p in self.net_d.parameters():
            p.requires_grad = True
        self.optimizer_d.zero_grad()
        fake_d_pred = self.net_d(output).detach()
        real_d_pred = self.net_d(gt)
        l_d_real = self.gan_loss(real_d_pred - torch.mean(fake_d_pred), True) * 0.5
        l_d_real.backward()
        fake_d_pred = self.net_d(output.detach())
        l_d_fake = self.gan_loss(fake_d_pred - torch.mean(real_d_pred.detach()), False) * 0.5
        l_d_fake.backward()
        self.optimizer_d.step()
        self.log.update(pix=l_g_pix.item(), percep=l_g_percep.item(), gan=l_g_gan.item())
        self.log["d"] = l_d_real.item() + l_d_fake.item()


torch.manual_seed(0)
digits = load_digits()
clean = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
noisy = clean + 0.3 * torch.randn_like(clean)
loader = DataLoader(TensorDataset(clean, noisy), batch_size=32, shuffle=True, drop_last=True)
model = Model(pretrained_features(clean, torch.tensor(digits.target)))
monitor = ganbench.Monitor(
    model.net_g, model.net_d, loader, given=1, d_forward=lambda d, x, lq: d(x), out="reports/restoration"
)
for _ in range(3):
    for gt, lq in loader:
        model.optimize_parameters(gt, lq)
        d_loss, g_loss = model.log["d"], {key: model.log[key] for key in ("pix", "percep", "gan")}
        monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
