"""Self-supervision by rotations (SSGAN) in a module with manual optimisation, whose optimizers are toggled."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import ganbench


def up(i, o):
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.ReLU())


class Generator(nn.Module):
    def __init__(self, latent_dim, width=24):
        super().__init__()
        self.width, self.project = width, nn.Linear(latent_dim, width * 4)
        self.ups = nn.Sequential(up(width, width), up(width, width))
        self.to_image = nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, z):
        return torch.tanh(self.to_image(self.ups(self.project(z).view(-1, self.width, 2, 2))))


class Discriminator(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.1), nn.Flatten(),
        )  # fmt: skip
        self.head, self.rotation = nn.Linear(4 * width, 1), nn.Linear(4 * width, 4)

    def forward(self, x):
        return self.head(h := self.trunk(x))[:, 0], self.rotation(h)


def rotated(x):
    """Return images in all four directions [4 n, ...] and which one each has."""
    return torch.cat([x.rot90(k, (2, 3)) for k in range(4)]), torch.arange(4).repeat_interleave(len(x))


class SelfSupervisedGAN(nn.Module):
    """What a Lightning module would hold; `fit` is the part of its trainer that matters."""

    def __init__(self, **hparams):
        super().__init__()
        self.hparams = {"latent_dim": 24, "lr": 5e-4, "weight_g": 0.2, "weight_d": 1.0, **hparams}
        self.generator, self.discriminator = Generator(self.hparams["latent_dim"]), Discriminator()
        self.validation_z = torch.randn(16, self.hparams["latent_dim"])

    def configure_optimizers(self):
        players = (self.generator, self.discriminator)
        return [torch.optim.Adam(player.parameters(), lr=self.hparams["lr"], betas=(0.0, 0.9)) for player in players]

    def toggle(self, wanted):
        for net in (self.generator, self.discriminator):
            net.requires_grad_(net is wanted)

    def training_step(self, batch):
        (imgs,) = batch
        z = torch.randn(imgs.shape[0], self.hparams["latent_dim"])

        self.toggle(self.generator)
        self.opt_g.zero_grad()
        self.generated_imgs = self.generator(z)
        validity, _ = self.discriminator(self.generated_imgs)
        turned, turns = rotated(self.generated_imgs)
        g_rot = functional.cross_entropy(self.discriminator(turned)[1], turns)
        g_loss = -validity.mean() + self.hparams["weight_g"] * g_rot
        g_loss.backward()
        self.opt_g.step()

        self.toggle(self.discriminator)
        self.opt_d.zero_grad()
        real_validity, fake_validity = self.discriminator(imgs)[0], self.discriminator(self.generated_imgs.detach())[0]
        turned, turns = rotated(imgs)
        d_rot = functional.cross_entropy(self.discriminator(turned)[1], turns)
        d_loss = (
            (1 - real_validity).relu().mean() + (1 + fake_validity).relu().mean() + self.hparams["weight_d"] * d_rot
        )
        d_loss.backward()
        self.opt_d.step()
        self.requires_grad_(True)
        return {"g_loss": g_loss, "d_loss": d_loss}

    def on_train_epoch_end(self):
        self.eval()
        with torch.no_grad():
            self.shown = self.generator(self.validation_z)
        self.train()

    def fit(self, dataloader, monitor, max_epochs=6):
        self.opt_g, self.opt_d = self.configure_optimizers()
        for _ in range(max_epochs):
            for batch in dataloader:
                monitor.step(**self.training_step(batch))
            self.on_train_epoch_end()


torch.manual_seed(0)
pictures = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
train = DataLoader(TensorDataset(pictures), batch_size=50, shuffle=True, drop_last=True)
model = SelfSupervisedGAN()
told = {"latent": model.hparams["latent_dim"], "d_forward": lambda d, x: d(x)[0], "out": "reports/rotations"}
monitor = ganbench.Monitor(model.generator, model.discriminator, train, **told)
model.fit(train, monitor)
monitor.close()
