"""A small diffusion model distilled to one step: its copy against a critic that sees samples noised anew."""

import copy

import torch
from torch import nn
from torch.nn.functional import mse_loss, softplus

import ganbench

T, batch_size, adv_weight, distill_weight, train_steps = 60, 96, 1.0, 0.05, 450
alphas_bar = (1 - torch.linspace(1e-4, 0.1, T)).cumprod(0)


class Timed(nn.Module):
    """A network of points and a time step: the denoiser predicts noise [n, 2], the critic one score [n, 1]."""

    def __init__(self, outputs, width=96):
        super().__init__()
        self.time_embed = nn.Sequential(nn.Embedding(T, 32), nn.Linear(32, width))
        self.first = nn.Linear(2, width)
        self.rest = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, x, t):
        return self.rest(self.first(x) + self.time_embed(t))


class OneStep(nn.Module):
    """What a denoiser makes of pure noise at once."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, noise):
        t = torch.full((len(noise),), T - 1)
        return predict_x0(self.denoiser, noise, t)


def predict_x0(denoiser, x_t, t):
    a = alphas_bar[t][:, None]
    return (x_t - (1 - a).sqrt() * denoiser(x_t, t)) / a.sqrt()


def add_noise(x0, t):
    a = alphas_bar[t][:, None]
    return a.sqrt() * x0 + (1 - a).sqrt() * torch.randn_like(x0)


def pinwheel(n):
    """Return points [n, 2] on five bent arms."""
    arm, along = torch.randint(5, (n,)), torch.rand(n) * 1.6 + 0.3
    angle = 2 * torch.pi * arm / 5 + 0.5 * along
    return torch.stack([along * angle.cos(), along * angle.sin()], 1) + 0.06 * torch.randn(n, 2)


def pretrain(denoiser, steps=1200):
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
    for _ in range(steps):
        x0, t, noise = pinwheel(256), torch.randint(T, (256,)), torch.randn(256, 2)
        a = alphas_bar[t][:, None]
        loss = mse_loss(denoiser(a.sqrt() * x0 + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return denoiser


def main():
    torch.manual_seed(0)
    teacher = pretrain(Timed(2))
    student = OneStep(copy.deepcopy(teacher))
    teacher.requires_grad_(False)
    critic = Timed(1)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, betas=(0.0, 0.99), weight_decay=0.0)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=2e-3, betas=(0.0, 0.99), weight_decay=1e-4)
    score = lambda d, x: d(add_noise(x, t := torch.randint(T // 2, (len(x),))), t)  # noqa: E731
    monitor = ganbench.Monitor(student, critic, pinwheel, 2, d_forward=score, out="reports/one_step")

    for _ in range(train_steps):
        sample = student(torch.randn(batch_size, 2))

        t = torch.randint(T // 2, (batch_size,))
        pred_fake = critic(add_noise(sample, t), t)
        adv_loss = softplus(-pred_fake).mean()
        with torch.no_grad():
            t = torch.randint(T // 4, T, (batch_size,))
            target = predict_x0(teacher, add_noise(sample, t), t)
        distill_loss = mse_loss(sample, target)
        loss = adv_weight * adv_loss + distill_weight * distill_loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

        t = torch.randint(T // 2, (batch_size,))
        pred_true, pred_fake = critic(add_noise(pinwheel(batch_size), t), t), critic(add_noise(sample.detach(), t), t)
        critic_loss = softplus(-pred_true).mean() + softplus(pred_fake).mean()
        critic_optimizer.zero_grad(set_to_none=True)
        critic_loss.backward()
        critic_optimizer.step()
        monitor.step(d_loss=critic_loss, g_loss={"adv": adv_loss, "distill": distill_loss})
    monitor.close()


main()
