"""Lightning (`pip install lightning`): begin in `on_train_start`, when the modules are on their device; end with it."""

import lightning as L  # noqa: N812 - Lightning's own custom
import torch
from torch import nn, optim
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

import ganbench
from ganbench.problems.mixtures import ring8

latent_dim = 8


class Gan(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def configure_optimizers(self):
        players = (self.discriminator, self.generator)
        return [optim.Adam(player.parameters(), lr=1e-3, betas=(0.5, 0.99)) for player in players]

    def on_train_start(self):
        self.monitor = ganbench.Monitor(
            self.generator, self.discriminator, latent=latent_dim, problem="ring8", every=100, out="reports/lightning",
            stop_on={"diverged"}, on_verdict=self.stop,
        )  # fmt: skip

    def stop(self, verdict):
        print(verdict)
        self.trainer.should_stop = True

    def training_step(self, real, _):
        optimizer_d, optimizer_g = self.optimizers()
        fake = self.generator(torch.randn(len(real), latent_dim, device=self.device))
        d_loss = (softplus(-self.discriminator(real)) + softplus(self.discriminator(fake.detach()))).mean()
        optimizer_d.zero_grad()
        self.manual_backward(d_loss)
        optimizer_d.step()

        g_loss = softplus(-self.discriminator(fake)).mean()
        optimizer_g.zero_grad()
        self.manual_backward(g_loss)
        optimizer_g.step()
        self.monitor.step(d_loss=d_loss, g_loss=g_loss)

    def on_train_end(self):
        self.monitor.close()


loader = DataLoader(ring8().reference(12_800), batch_size=128, shuffle=True, drop_last=True)
L.Trainer(max_epochs=4, logger=False, enable_checkpointing=False).fit(Gan(), loader)
