"""The two players: perceptrons of plain torch."""

from torch import nn


class Generator(nn.Module):
    """Latents [n, latent_dim] to samples [n, size]."""

    def __init__(self, latent_dim, size, width=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.last = nn.Linear(width, size)

    def forward(self, z):
        return self.last(self.body(z))


class Discriminator(nn.Module):
    """Samples [n, size] to logits [n, 1]."""

    def __init__(self, size, width=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2))
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        return self.last(self.body(x))
