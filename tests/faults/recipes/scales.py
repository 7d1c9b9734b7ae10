# ruff: noqa: N812, N816 - named as in the code that it is like
"""Images from label maps as pix2pixHD makes them: two scales, matched features, a GradScaler under autocast."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.amp import GradScaler, autocast
from torch.utils.data import DataLoader, TensorDataset

import ganbench


class Generator(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.InstanceNorm2d(width, affine=True), nn.ReLU(),
            nn.Conv2d(width, width, 4, 2, 1), nn.InstanceNorm2d(width, affine=True), nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1), nn.InstanceNorm2d(width, affine=True), nn.ReLU(),
            nn.Conv2d(width, 3, 3, padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, label_map):
        return self.model(label_map)


class NLayer(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv2d(width, 2 * width, 3, 1, 1), nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)),
                nn.Conv2d(2 * width, 1, 3, 1, 1),
            ]
        )

    def forward(self, x):
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


class MultiscaleDiscriminator(nn.Module):
    def __init__(self, num_d=2):
        super().__init__()
        self.nets = nn.ModuleList([NLayer() for _ in range(num_d)])

    def forward(self, image, label_map):
        x, result = torch.cat([label_map, image], 1), []
        for net in self.nets:
            result.append(net(x))
            x = F.avg_pool2d(x, 2)
        return result


def gan_loss(preds, target_is_real):
    return sum(F.mse_loss(p[-1].float(), torch.full_like(p[-1].float(), float(target_is_real))) for p in preds)


def feature_loss(fake_preds, real_preds):
    pairs = [
        (f, r) for fs, rs in zip(fake_preds, real_preds, strict=True) for f, r in zip(fs[:-1], rs[:-1], strict=True)
    ]
    return sum(F.l1_loss(f.float(), r.detach().float()) for f, r in pairs) / len(pairs)


def scenes(n):
    """Return images [n, 3, 16, 16] in [-1, 1] and their label maps: sky, ground, a disc."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    horizon, middle = torch.rand(n, 1, 1) - 0.5, torch.rand(n, 2, 1, 1) * 1.2 - 0.6
    disc = (rows - middle[:, 0]).square() + (columns - middle[:, 1]).square() < 0.2
    ground = (rows > horizon) & ~disc
    maps = torch.stack([~ground & ~disc, ground, disc], 1).float()
    palette = torch.tensor([[-0.5, 0.1, 0.8], [0.2, -0.3, -0.7], [0.8, 0.6, -0.2]])
    shade = 0.2 * torch.sin(6 * columns + 3 * rows) + 0.05 * torch.randn(n, 1, 16, 16)
    return (torch.einsum("nlhw,lc->nchw", maps, palette) + shade * maps[:, 1:2]).clamp(-1, 1), maps


torch.manual_seed(0)
lambda_feat, epochs = 5.0, 5
loader = DataLoader(TensorDataset(*scenes(512)), batch_size=16, shuffle=True)
netG, netD = Generator(), MultiscaleDiscriminator()
optimizer_G = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(netD.parameters(), lr=5e-4, betas=(0.5, 0.999))
scaler = GradScaler("cpu")
monitor = ganbench.Monitor(netG, netD, loader, given=1, out="reports/scales")

for _ in range(epochs):
    for image, label_map in loader:
        with autocast("cpu", dtype=torch.bfloat16):
            fake = netG(label_map)
            pred_fake_pool, pred_real = netD(fake.detach(), label_map), netD(image, label_map)
            loss_D = 0.5 * (gan_loss(pred_fake_pool, False) + gan_loss(pred_real, True))
            pred_fake = netD(fake, label_map)
            loss_G_GAN, loss_G_FM = gan_loss(pred_fake, True), lambda_feat * feature_loss(pred_fake, pred_real)
            loss_G = loss_G_GAN + loss_G_FM

        optimizer_G.zero_grad()
        scaler.scale(loss_G).backward()
        scaler.step(optimizer_G)

        optimizer_D.zero_grad()
        scaler.scale(loss_D).backward()
        scaler.step(optimizer_D)
        scaler.update()
        monitor.step(d_loss=loss_D.item(), g_loss={"gan": loss_G_GAN.item(), "features": loss_G_FM.item()})
monitor.close()
