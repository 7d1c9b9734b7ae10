"""Completion of images: G fills holes, first by squares alone, then against a judge of the whole and the hole."""

import itertools

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench

config = {"batch": 32, "steps_1": 60, "steps_2": 30, "steps_3": 350, "alpha": 0.05, "hole": 6, "size": 16}
bce, mse_loss = nn.BCEWithLogitsLoss(), nn.MSELoss()


class CompletionNetwork(nn.Module):
    """Images with their hole set to the mean, and the mask as a second channel [n, 2, 16, 16] -> images."""

    def __init__(self, cn=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2, cn, 3, 1, 1), nn.ReLU(), nn.Conv2d(cn, cn, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(cn, cn, 3, 1, 2, dilation=2), nn.ReLU(), nn.Conv2d(cn, cn, 3, 1, 4, dilation=4), nn.ReLU(),
            nn.ConvTranspose2d(cn, cn, 4, 2, 1), nn.ReLU(), nn.Conv2d(cn, 1, 3, 1, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, masked):
        mask = masked[:, 1:]
        return self.net(masked) * mask + masked[:, :1] * (1 - mask)


def branch(cd, flat):
    convs = [nn.Conv2d(1, cd, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(cd, 2 * cd, 3, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(2 * cd * flat, 32))


class ContextDiscriminator(nn.Module):
    def __init__(self, cd=16):
        super().__init__()
        self.global_d, self.local_d = branch(cd, 16), branch(cd, 4)
        self.concat = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, whole, local):
        return self.concat(torch.cat([self.local_d(local), self.global_d(whole)], 1))


def crop(image, mask):
    return image[mask.bool().expand_as(image)].view(len(image), 1, config["hole"], config["hole"])


def waves(n):
    """Return images [n, 1, 16, 16] in [0, 1] of stripes whose phase is noisy."""
    place = torch.linspace(-3, 3, config["size"])
    angle, phase = torch.rand(2, n, 1, 1) * torch.pi * 2
    stripes = torch.sin(2.5 * (angle.cos() * place + angle.sin() * place[:, None]) + phase)
    return (0.5 + 0.45 * stripes + 0.02 * torch.randn(n, 16, 16))[:, None].clamp(0, 1)


def punch(images):
    """Return images whose hole, anywhere, is set to the mean, beside their masks [n, 2, 16, 16]."""
    n, hole, size = len(images), config["hole"], config["size"]
    (rows, columns), at = torch.randint(1, size - hole, (2, n, 1, 1)), torch.arange(size)
    inside = (at[:, None] >= rows) & (at[:, None] < rows + hole) & (at >= columns) & (at < columns + hole)
    mask = inside[:, None].float()
    return torch.cat([images * (1 - mask) + images.mean() * mask, mask], 1)


torch.manual_seed(0)
images = waves(1024)
loader = DataLoader(TensorDataset(images, punch(images)), batch_size=config["batch"], shuffle=True, drop_last=True)
data = itertools.chain.from_iterable(iter(lambda: loader, None))
model_cn, model_cd = CompletionNetwork(), ContextDiscriminator()
opt_cn = torch.optim.Adam(model_cn.parameters(), lr=1e-3)
opt_cd = torch.optim.Adam(model_cd.parameters(), lr=1e-3)


def discriminate(x, masked):
    """Return D's loss on real images and on completed ones."""
    with torch.no_grad():
        output = model_cn(masked)
    real, fake = model_cd(x, crop(x, masked[:, 1:])), model_cd(output, crop(output, masked[:, 1:]))
    return (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2


for step in range(config["steps_1"] + config["steps_2"]):
    x, masked = next(data)
    (mse_loss(model_cn(masked), x) if step < config["steps_1"] else discriminate(x, masked)).backward()
    for opt in (opt_cn, opt_cd):
        opt.step()
        opt.zero_grad()

told = {"given": 1, "d_forward": lambda d, x, masked: d(x, crop(x, masked[:, 1:])), "out": "reports/completion"}
monitor = ganbench.Monitor(model_cn, model_cd, loader, **told)
for _ in range(config["steps_3"]):
    x, masked = next(data)
    loss_cd = discriminate(x, masked) * config["alpha"]
    loss_cd.backward()
    opt_cd.step()
    opt_cd.zero_grad()

    output = model_cn(masked)
    loss_cn_1 = mse_loss(output, x)
    fake = model_cd(output, crop(output, masked[:, 1:]))
    loss_cn_2 = bce(fake, torch.ones_like(fake))
    loss_cn = (loss_cn_1 + config["alpha"] * loss_cn_2) / 2
    loss_cn.backward()
    opt_cn.step()
    opt_cn.zero_grad()
    opt_cd.zero_grad()
    monitor.step(d_loss=loss_cd.item(), g_loss={"mse": loss_cn_1.item(), "gan": loss_cn_2.item()})
monitor.close()
