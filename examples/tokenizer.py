"""An image tokenizer: vector-quantised autoencoder whose critic starts late, with VQGAN's adaptive weight."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import mse_loss, relu

import ganbench  # ganbench

steps, batch_size, codes, lr, critic_start = 1500, 64, 64, 1e-3, 500


class Tokenizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 8, 3, 1, 1))
        self.book = nn.Embedding(codes, 8)
        self.decoder = nn.Sequential(
            nn.Conv2d(8, 32, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU()
        )
        self.last = nn.Conv2d(32, 1, 3, 1, 1)

    def forward(self, images):
        found = self.encoder(images)
        flat = found.permute(0, 2, 3, 1).flatten(0, 2)
        nearest = self.book(torch.cdist(flat, self.book.weight).argmin(1))
        told = mse_loss(nearest, flat.detach()) + 0.25 * mse_loss(flat, nearest.detach())
        # the gradient passes straight through
        tokens = (flat + (nearest - flat).detach()).unflatten(0, (len(images), *found.shape[2:])).permute(0, 3, 1, 2)
        return self.last(self.decoder(tokens)), told


torch.manual_seed(0)
digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
tokenizer = Tokenizer()
inner = [nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, 1, 1), nn.LeakyReLU(0.2)]
critic = nn.Sequential(*inner, nn.Conv2d(32, 1, 3, 1, 1))
optimizer_d = optim.Adam(critic.parameters(), lr=lr, betas=(0.5, 0.9))
optimizer_g = optim.Adam(tokenizer.parameters(), lr=lr, betas=(0.5, 0.9))
monitor = ganbench.Monitor(tokenizer, critic, digits, lambda n: digits[:n], out="reports/tokenizer")  # ganbench

for step in range(steps):
    real = digits[torch.randint(len(digits), (batch_size,))]
    fake, told = tokenizer(real)
    g_loss, d_loss = (fake - real).abs().mean() + told, None
    if step >= critic_start:
        adversarial = -critic(fake).mean()
        parts = g_loss, adversarial
        norms = [torch.autograd.grad(part, tokenizer.last.weight, retain_graph=True)[0].norm() for part in parts]
        g_loss = g_loss + 0.5 * (norms[0] / (norms[1] + 1e-4)).clamp(0, 1e4).detach() * adversarial
    optimizer_g.zero_grad()
    g_loss.backward()
    optimizer_g.step()

    if step >= critic_start:
        d_loss = relu(1 - critic(real)).mean() + relu(1 + critic(fake.detach())).mean()
        optimizer_d.zero_grad()
        d_loss.backward()
        optimizer_d.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)  # ganbench

monitor.close()  # ganbench
