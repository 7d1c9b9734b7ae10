"""A transformer makes short tracks of two channels, another one judges them; gradients are clipped."""

import math

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

import ganbench

STEPS, BATCH, LENGTH, NOISE, WIDTH = 400, 32, 16, 8, 32


def tracks(n):
    t = torch.arange(LENGTH) / LENGTH
    phase, speed = 2 * math.pi * torch.rand(n, 1), 1 + torch.rand(n, 1)
    return torch.stack([(2 * math.pi * speed * t + phase).sin(), (2 * math.pi * speed * t + phase).cos()], 2)


def layers():
    one = nn.TransformerEncoderLayer(WIDTH, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(one, 2, enable_nested_tensor=False)


class TrackGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(0.1 * torch.randn(1, LENGTH, WIDTH))
        self.enter, self.body, self.leave = nn.Linear(NOISE, WIDTH), layers(), nn.Linear(WIDTH, 2)

    def forward(self, noise):
        return self.leave(self.body(self.enter(noise)[:, None] + self.place))


class TrackCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(0.1 * torch.randn(1, LENGTH + 1, WIDTH))
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.enter, self.body, self.leave = nn.Linear(2, WIDTH), layers(), nn.Linear(WIDTH, 1)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), self.enter(x)], 1) + self.place
        return {"logits": self.leave(self.body(x)[:, 0])}


def main():
    torch.manual_seed(0)
    gen, critic = TrackGenerator(), TrackCritic()
    opt_gen = torch.optim.AdamW(gen.parameters(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-3)
    opt_critic = torch.optim.AdamW(critic.parameters(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-3)
    monitor = ganbench.Monitor(gen, critic, tracks, NOISE, out="reports/transformer")
    for _ in range(STEPS):
        real = tracks(BATCH)
        fake = gen(torch.randn(BATCH, NOISE)).detach()
        loss_critic = (1 - critic(real)["logits"]).clamp(min=0).mean() + (1 + critic(fake)["logits"]).clamp(
            min=0
        ).mean()
        opt_critic.zero_grad()
        loss_critic.backward()
        clip_grad_norm_(critic.parameters(), 1.0)
        opt_critic.step()

        loss_gen = -critic(gen(torch.randn(BATCH, NOISE)))["logits"].mean()
        opt_gen.zero_grad()
        loss_gen.backward()
        clip_grad_norm_(gen.parameters(), 1.0)
        opt_gen.step()
        monitor.step(d_loss=loss_critic, g_loss=loss_gen)
    monitor.close()


main()
