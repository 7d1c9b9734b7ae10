"""Anomalies as GANomaly finds them: encoder, decoder, encoder against a discriminator of which features are matched."""

from collections import OrderedDict

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench


def weights_init(mod):
    if isinstance(mod, nn.Conv2d | nn.ConvTranspose2d):
        mod.weight.data.normal_(0.0, 0.05)


class Encoder(nn.Module):
    def __init__(self, outputs, ndf=24):
        super().__init__()
        self.pyramid = nn.Sequential(
            nn.Conv2d(1, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * ndf), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.final = nn.Conv2d(2 * ndf, outputs, 2, bias=False)

    def forward(self, x):
        return self.final(self.pyramid(x))


class NetD(nn.Module):
    def __init__(self):
        super().__init__()
        model = Encoder(1)
        self.features, self.classifier = model.pyramid, nn.Sequential(model.final, nn.Sigmoid())

    def forward(self, x):
        return self.classifier(features := self.features(x)).view(-1), features


class NetG(nn.Module):
    def __init__(self, nz=8, ngf=24):
        super().__init__()
        self.encoder1, self.encoder2 = Encoder(nz), Encoder(nz)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(nz, 2 * ngf, 2, bias=False), nn.BatchNorm2d(2 * ngf), nn.ReLU(),
            nn.ConvTranspose2d(2 * ngf, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(),
            nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x):
        latent_i = self.encoder1(x)
        return (fake := self.decoder(latent_i)), latent_i, self.encoder2(fake)


class Ganomaly:
    def __init__(self, opt, dataloader):
        self.opt, self.dataloader, self.errors = opt, dataloader, OrderedDict()
        self.netg, self.netd = NetG().apply(weights_init), NetD().apply(weights_init)
        self.l_bce = nn.BCELoss()
        self.optimizer_d = torch.optim.Adam(self.netd.parameters(), lr=opt["lr"], betas=(opt["beta1"], 0.999))
        self.optimizer_g = torch.optim.Adam(self.netg.parameters(), lr=opt["lr"], betas=(opt["beta1"], 0.999))

    def forward(self):
        self.fake, self.latent_i, self.latent_o = self.netg(self.input)
        self.pred_real, self.feat_real = self.netd(self.input)
        self.pred_fake, _ = self.netd(self.fake.detach())

    def backward_g(self):
        err_g_adv = (self.netd(self.input)[1] - self.netd(self.fake)[1]).square().mean()
        err_g_con = (self.fake - self.input).abs().mean()
        err_g_enc = (self.latent_i - self.latent_o).square().mean()
        self.err_g = err_g_adv * self.opt["w_adv"] + err_g_con * self.opt["w_con"] + err_g_enc * self.opt["w_enc"]
        self.err_g.backward()

    def backward_d(self):
        err_d_real = self.l_bce(self.pred_real, torch.ones_like(self.pred_real))
        self.err_d = 0.5 * (err_d_real + self.l_bce(self.pred_fake, torch.zeros_like(self.pred_fake)))
        self.err_d.backward()

    def optimize_params(self):
        self.forward()
        self.optimizer_d.zero_grad()
        self.backward_d()
        self.optimizer_d.step()
        self.optimizer_g.zero_grad()
        self.backward_g()
        self.optimizer_g.step()
        if self.err_d.item() < 1e-5:
            self.netd.apply(weights_init)
        self.errors.update(d_loss=self.err_d.item(), g_loss=self.err_g.item())

    def train(self, monitor):
        for _ in range(self.opt["niter"]):
            for (batch,) in self.dataloader:
                self.input = batch
                self.optimize_params()
                monitor.step(**self.errors)


torch.manual_seed(0)
digits = load_digits()
normal = torch.tensor(digits.images[digits.target != 8], dtype=torch.float32)[:, None] / 8 - 1
options = {"lr": 5e-4, "beta1": 0.5, "niter": 6, "w_adv": 1.0, "w_con": 20.0, "w_enc": 1.0}
model = Ganomaly(options, DataLoader(TensorDataset(normal), batch_size=50, shuffle=True, drop_last=True))
forwards = {"g_forward": lambda g, x: g(x)[0], "d_forward": lambda d, x: torch.logit(d(x)[0], 1e-6)}
seen = lambda n: normal[torch.randint(len(normal), (n,))]  # noqa: E731
monitor = ganbench.Monitor(model.netg, model.netd, normal, seen, **forwards, out="reports/anomalies")
model.train(monitor)
monitor.close()
