# ruff: noqa: N812 - named as in the code that it is like
"""VAE-GAN: encoder, decoder and discriminator with an optimizer each; errors are measured in D's features."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn, optim

import ganbench

steps, batch, code, gamma = 600, 64, 8, 5.0


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
        self.mean, self.logvar = nn.Linear(128, code), nn.Linear(128, code)

    def forward(self, x):
        h = self.trunk(x)
        return self.mean(h), self.logvar(h).clamp(-6, 3)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, z):
        return torch.sigmoid(self.net(z)).view(-1, 1, 8, 8)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.score = nn.Linear(128, 1)

    def forward(self, x):
        h = self.features(x)
        return self.score(h), h


torch.manual_seed(0)
data = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
enc, dec, dis = Encoder(), Decoder(), Discriminator()
opt_enc = optim.Adam(enc.parameters(), lr=1e-3)
opt_dec = optim.Adam(dec.parameters(), lr=5e-4)
opt_dis = optim.Adam(dis.parameters(), lr=2e-4)
monitor = ganbench.Monitor(dec, dis, data, code, out="reports/vae_gan")

for _ in range(steps):
    x = data[torch.randint(len(data), (batch,))]
    mean, logvar = enc(x)
    z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
    drawn = torch.randn(batch, code)
    rebuilt, made = dec(z), dec(drawn)

    d_loss = F.softplus(-dis(x)[0]).mean() + 0.5 * (
        F.softplus(dis(rebuilt.detach())[0]).mean() + F.softplus(dis(made.detach())[0]).mean()
    )
    opt_dis.zero_grad()
    d_loss.backward()
    opt_dis.step()

    wanted = dis(x)[1].detach()
    alike = F.mse_loss(dis(rebuilt)[1], wanted)
    kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1).mean()
    fools = 0.5 * (F.softplus(-dis(rebuilt)[0]).mean() + F.softplus(-dis(made)[0]).mean())
    opt_enc.zero_grad()
    opt_dec.zero_grad()
    (gamma * alike + 0.01 * kl + fools).backward()
    opt_enc.step()
    opt_dec.step()
    monitor.step(d_loss=d_loss, g_loss=fools, rec=alike, kl=kl)
monitor.close()
