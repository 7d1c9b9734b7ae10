"""Several processes: build the Monitor on every rank, it works on rank 0 alone.

    torchrun --nproc-per-node=2 examples/ddp.py

A verdict that stops training is raised on rank 0; torchrun then ends the other ranks.
"""

import torch
import torch.distributed as dist
from torch import nn, optim
from torch.nn.functional import softplus
from torch.nn.parallel import DistributedDataParallel

import ganbench
from ganbench.problems.mixtures import ring8

steps, batch_size, latent_dim = 400, 128, 8

dist.init_process_group("gloo")
torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
discriminator = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2))
discriminator.append(nn.Linear(64, 1))
generator, discriminator = DistributedDataParallel(generator), DistributedDataParallel(discriminator)
optimizer_d = optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
optimizer_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
ring, draws = ring8(), torch.Generator().manual_seed(dist.get_rank())
torch.manual_seed(dist.get_rank())

monitor = ganbench.Monitor(
    generator, discriminator, latent=latent_dim, problem="ring8", every=100, out="reports/ddp", stop_on={"diverged"}
)
for _ in range(steps):
    fake = generator(torch.randn(batch_size, latent_dim))
    logits = discriminator(torch.cat([ring.sample(batch_size, draws), fake.detach()]))
    d_loss = softplus(-logits[:batch_size]).mean() + softplus(logits[batch_size:]).mean()
    optimizer_d.zero_grad()
    d_loss.backward()
    optimizer_d.step()

    g_loss = softplus(-discriminator(fake)).mean()
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
if dist.get_rank() == 0:
    print(monitor.verdict)
dist.destroy_process_group()
