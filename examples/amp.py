"""Mixed precision and gradient accumulation: report the unscaled losses once an optimizer step, after the updates."""

import torch
from torch import nn, optim
from torch.nn.functional import softplus

import ganbench
from ganbench.problems.mixtures import ring8

steps, accumulate, batch_size, latent_dim = 400, 2, 128, 8
device = "cuda" if torch.cuda.is_available() else "cpu"
half = torch.float16 if device == "cuda" else torch.bfloat16

torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
discriminator = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2))
discriminator.append(nn.Linear(64, 1))
generator, discriminator = generator.to(device), discriminator.to(device)
optimizer_d = optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
optimizer_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
scaler_d = torch.amp.GradScaler(device, enabled=half is torch.float16)
scaler_g = torch.amp.GradScaler(device, enabled=half is torch.float16)
ring, draws = ring8(), torch.Generator().manual_seed(0)


def update(optimizer, scaler, losses):
    """Add up the gradients of some batches, then take one step; return the mean loss."""
    optimizer.zero_grad()
    total = 0.0
    for loss in losses:
        scaler.scale(loss / accumulate).backward()
        total += loss.detach() / accumulate
    scaler.step(optimizer)
    scaler.update()
    return total


def critic_losses():
    for _ in range(accumulate):
        real = ring.sample(batch_size, draws).to(device)
        with torch.autocast(device, half):
            fake = generator(torch.randn(batch_size, latent_dim, device=device)).detach()
            real_logits, fake_logits = discriminator(real), discriminator(fake)
        yield (softplus(-real_logits.float()) + softplus(fake_logits.float())).mean()


def generator_losses():
    for _ in range(accumulate):
        with torch.autocast(device, half):
            logits = discriminator(generator(torch.randn(batch_size, latent_dim, device=device)))
        yield softplus(-logits.float()).mean()


# an overflow that a scaler skips is no divergence: the parameters stay finite
with ganbench.Monitor(
    generator, discriminator, latent=latent_dim, problem="ring8", loss="nonsaturating", every=100, out="reports/amp",
    stop_on={"diverged", "collapsed"},
) as monitor:  # fmt: skip
    for _ in range(steps):
        d_loss = update(optimizer_d, scaler_d, critic_losses())
        g_loss = update(optimizer_g, scaler_g, generator_losses())
        monitor.step(d_loss=d_loss, g_loss=g_loss)
print(monitor.verdict)
