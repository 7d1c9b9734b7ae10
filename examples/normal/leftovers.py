"""An audio codec in small: D's gradients are cleared after its step, so that G's backward pass leaves some in D."""

import torch
from torch import nn, optim
from torch.nn.functional import leaky_relu

import ganbench

steps, batch_size, length, lr = 300, 16, 128, 5e-4


def tones(n):
    time, pitch = torch.arange(length) / length, 3 + 9 * torch.rand(n, 1)
    return sum((2 * torch.pi * pitch * time * k + 6.3 * torch.rand(n, 1)).sin() / k for k in (1, 2))[:, None] / 2


class Critic(nn.Module):
    """Returns its inner maps, the scores last."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(1, 16, 9, 4, 4), nn.Conv1d(16, 32, 9, 4, 4), nn.Conv1d(32, 1, 3, 1, 1)])

    def forward(self, x):
        maps = []
        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), 0.1)
            maps.append(x)
        return [[*maps, self.layers[-1](x)]]


torch.manual_seed(0)
codec = nn.Sequential(
    nn.Conv1d(1, 16, 8, 4, 2), nn.ELU(), nn.Conv1d(16, 4, 3, 1, 1), nn.Tanh(),
    nn.Conv1d(4, 16, 3, 1, 1), nn.ELU(), nn.ConvTranspose1d(16, 16, 8, 4, 2), nn.ELU(), nn.Conv1d(16, 1, 7, 1, 3),
)  # fmt: skip
critic = Critic()
optim_d = optim.Adam(critic.parameters(), lr=lr, betas=(0.8, 0.99))
optim_g = optim.Adam(codec.parameters(), lr=lr, betas=(0.8, 0.99))
monitor = ganbench.Monitor(codec, critic, tones, tones, every=30, samples=300, out="reports/leftovers")

for _ in range(steps):
    real = tones(batch_size)
    fake = codec(real)
    (*_, on_real), (*_, on_fake) = critic(real)[0], critic(fake.detach())[0]
    loss_disc = (1 - on_real).square().mean() + on_fake.square().mean()
    loss_disc.backward()
    optim_d.step()
    optim_d.zero_grad()

    (*inner_real, _), (*inner_fake, on_fake) = critic(real)[0], critic(fake)[0]
    feature = sum((a.detach() - b).abs().mean() for a, b in zip(inner_real, inner_fake, strict=True))
    spectra = (torch.fft.rfft(fake).abs() - torch.fft.rfft(real).abs()).abs().mean()
    adversarial = (1 - on_fake).square().mean()
    loss_gen = adversarial + 2 * feature + spectra
    optim_g.zero_grad()
    loss_gen.backward()
    optim_g.step()
    monitor.step(d_loss=loss_disc, g_loss=adversarial, feature_match=feature, mel=spectra)

monitor.close()
