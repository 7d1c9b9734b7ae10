"""A vocoder in small: waveforms from frames, critics of several periods and scales, feature matching (HiFi-GAN)."""

import torch
from torch import nn, optim
from torch.nn.functional import avg_pool1d, leaky_relu, mse_loss

import ganbench  # ganbench

steps, batch_size, length, frame, lr = 400, 16, 256, 16, 5e-4


def waves(n):
    """Return tones with overtones [n, 1, length], and their energy a frame in four bands."""
    time, pitch = torch.arange(length) / length, 4 + 12 * torch.rand(n, 1)
    wave = sum((2 * torch.pi * pitch * time * k + 6.3 * torch.rand(n, 1)).sin() / k for k in (1, 2, 3)) / 3
    spectrum = wave.unfold(1, frame, frame).to(torch.float32)
    return wave[:, None], torch.fft.rfft(spectrum).abs()[..., :4].log1p().transpose(1, 2)


class Critic(nn.Module):
    """Judges a wave folded at a period, or thinned out; returns its inner maps, the scores last."""

    def __init__(self, period=1, pool=1):
        super().__init__()
        self.period, self.pool = period, pool
        inner = [nn.Conv1d(period, 16, 5, 2, 2), nn.Conv1d(16, 32, 5, 2, 2)]
        self.layers = nn.ModuleList([*inner, nn.Conv1d(32, 1, 3, 1, 1)])

    def forward(self, x):
        x = avg_pool1d(x, self.pool)
        x = x[..., : x.shape[-1] // self.period * self.period].unflatten(-1, (-1, self.period))[:, 0].transpose(1, 2)
        maps = []
        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), 0.1)
            maps.append(x)
        return [*maps, self.layers[-1](x)]


class Critics(nn.Module):
    def __init__(self):
        super().__init__()
        self.all = nn.ModuleList([Critic(period=2), Critic(period=3), Critic(pool=1), Critic(pool=2)])

    def forward(self, x):
        return [critic(x) for critic in self.all]


torch.manual_seed(0)
generator = nn.Sequential(
    nn.Conv1d(4, 32, 3, 1, 1), nn.LeakyReLU(0.1), nn.ConvTranspose1d(32, 16, 8, 4, 2), nn.LeakyReLU(0.1),
    nn.ConvTranspose1d(16, 16, 8, 4, 2), nn.LeakyReLU(0.1), nn.Conv1d(16, 1, 7, 1, 3), nn.Tanh(),
)  # fmt: skip
critics = Critics()
optimizer_d = optim.AdamW(critics.parameters(), lr=lr, betas=(0.8, 0.99))
optimizer_g = optim.AdamW(generator.parameters(), lr=lr, betas=(0.8, 0.99))
told = {"given": 1, "d_forward": lambda d, x, _: d(x), "out": "reports/vocoder"}  # ganbench
monitor = ganbench.Monitor(generator, critics, waves, **told)  # ganbench

for _ in range(steps):
    real, frames = waves(batch_size)
    fake = generator(frames)
    pairs = list(zip(critics(real), critics(fake.detach()), strict=True))
    d_loss = sum(mse_loss(r[-1], torch.ones_like(r[-1])) + mse_loss(f[-1], torch.zeros_like(f[-1])) for r, f in pairs)
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    pairs = list(zip(critics(real), critics(fake), strict=True))
    adversarial = sum(mse_loss(f[-1], torch.ones_like(f[-1])) for _, f in pairs)
    matching = sum((a.detach() - b).abs().mean() for r, f in pairs for a, b in zip(r[:-1], f[:-1], strict=True))
    g_loss = adversarial + 2 * matching + 45 * (fake - real).abs().mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
