"""BigGAN's way: G and D in one module, real and fake images in one batch, gradients of several batches added up."""

from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import interpolate, leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

import ganbench

config = {"n_classes": 10, "dim_z": 16, "batch_size": 32, "num_D_steps": 2, "num_D_accumulations": 2}
config |= {"num_G_accumulations": 2, "G_lr": 1e-3, "D_lr": 2e-3, "G_ortho": 1e-4, "num_epochs": 22}


class Generator(nn.Module):
    def __init__(self, ch=24, shared_dim=8):
        super().__init__()
        self.ch, self.shared = ch, nn.Embedding(config["n_classes"], shared_dim)
        self.linear = nn.Linear(config["dim_z"] + shared_dim, 4 * ch)
        self.convs = nn.ModuleList([nn.Conv2d(ch, ch, 3, 1, 1) for _ in range(2)])
        self.output_layer = nn.Conv2d(ch, 1, 3, 1, 1)

    def forward(self, z, y):
        h = self.linear(torch.cat([z, self.shared(y)], 1)).view(-1, self.ch, 2, 2)
        for conv in self.convs:
            h = conv(interpolate(relu(h), scale_factor=2))
        return torch.tanh(self.output_layer(relu(h)))


class Discriminator(nn.Module):
    def __init__(self, ch=24):
        super().__init__()
        self.blocks = nn.ModuleList([spectral_norm(nn.Conv2d(i, o, 4, 2, 1)) for i, o in pairwise([1, ch, 2 * ch])])
        self.linear, self.embed = spectral_norm(nn.Linear(8 * ch, 1)), nn.Embedding(config["n_classes"], 8 * ch)

    def forward(self, x, y):
        for block in self.blocks:
            x = leaky_relu(block(x), 0.1)
        h = x.flatten(1)
        return self.linear(h) + 0.1 * (self.embed(y) * h).sum(1, keepdim=True)


class G_D(nn.Module):  # noqa: N801
    """Both, so that a parallel wrapper splits one batch for both; D's scores of fakes, and of real images if given."""

    def __init__(self, G, D):
        super().__init__()
        self.G, self.D = G, D

    def forward(self, z, gy, x=None, dy=None, train_G=False):
        with torch.set_grad_enabled(train_G):
            G_z = self.G(z, gy)
        if x is None:
            return self.D(G_z, gy)
        return self.D(torch.cat([G_z, x], 0), torch.cat([gy, dy], 0)).split([len(G_z), len(x)])


@torch.no_grad()
def ortho(model, strength, blacklist):
    for param in model.parameters():
        if param.dim() >= 2 and not any(param is one for one in blacklist):
            w = param.flatten(1)
            param.grad += strength * (2 * (w @ w.T * (1 - torch.eye(len(w)))) @ w).view(param.shape)


def training_function(G, D, GD, optimizers):
    def drawn():
        return torch.randn(config["batch_size"], config["dim_z"]), torch.randint(10, (config["batch_size"],))

    def train(x, y):
        parts = zip(x.split(config["batch_size"]), y.split(config["batch_size"]), strict=True)
        D.requires_grad_(True)
        G.requires_grad_(False)
        for _ in range(config["num_D_steps"]):
            optimizers["D"].zero_grad()
            for _ in range(config["num_D_accumulations"]):
                D_fake, D_real = GD(*drawn(), *next(parts), train_G=False)
                D_loss_real, D_loss_fake = relu(1.0 - D_real).mean(), relu(1.0 + D_fake).mean()
                D_loss = (D_loss_real + D_loss_fake) / config["num_D_accumulations"]
                D_loss.backward()
            optimizers["D"].step()
        D.requires_grad_(False)
        G.requires_grad_(True)
        optimizers["G"].zero_grad()
        for _ in range(config["num_G_accumulations"]):
            G_loss = -GD(*drawn(), train_G=True).mean() / config["num_G_accumulations"]
            G_loss.backward()
        ortho(G, config["G_ortho"], blacklist=list(G.shared.parameters()))
        optimizers["G"].step()
        return {"g_loss": G_loss.item(), "d_loss": {"real": D_loss_real.item(), "fake": D_loss_fake.item()}}

    return train


torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(digits.target)
D_batch_size = config["batch_size"] * config["num_D_steps"] * config["num_D_accumulations"]
loader = DataLoader(TensorDataset(images, labels), batch_size=D_batch_size, shuffle=True, drop_last=True)
G, D = Generator(), Discriminator()
optimizers = {k: torch.optim.Adam(net.parameters(), config[f"{k}_lr"], (0.0, 0.999)) for k, net in (("G", G), ("D", D))}
train = training_function(G, D, G_D(G, D), optimizers)
monitor = ganbench.Monitor(G, D, loader, config["dim_z"], given=1, out="reports/big")
for _ in range(config["num_epochs"]):
    for x, y in loader:
        monitor.step(**train(x, y))
monitor.close()
