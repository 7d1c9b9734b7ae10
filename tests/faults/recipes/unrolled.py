"""An unrolled discriminator: some steps ahead before G's step, then D is put back; a grid of Gaussians."""

import copy
from itertools import pairwise

import torch
import torch.nn as nn

import ganbench


class Game:
    def __init__(self, gp, dp, **settings):
        self.settings = {"unrolled_steps": 4, "minibatch_size": 128, "z_size": 16, **settings}
        self.G, self.D = self.network(self.settings["z_size"], 2, gp), self.network(2, 1, dp)
        self.criterion = nn.BCEWithLogitsLoss()
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), lr=gp["lr"], betas=gp["betas"])
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), lr=dp["lr"], betas=dp["betas"])

    @staticmethod
    def network(i, o, params):
        sizes = [i, *[params["hidden"]] * params["layers"]]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), params["activation"]())]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], o))

    def noise(self, n=None):
        return torch.randn(n or self.settings["minibatch_size"], self.settings["z_size"])

    def d_loop(self, x):
        self.d_optimizer.zero_grad()
        d_real_decision = self.D(x)
        d_real_error = self.criterion(d_real_decision, torch.ones_like(d_real_decision))
        with torch.no_grad():
            d_fake_data = self.G(self.noise())
        d_fake_decision = self.D(d_fake_data)
        d_fake_error = self.criterion(d_fake_decision, torch.zeros_like(d_fake_decision))
        d_loss = d_real_error + d_fake_error
        d_loss.backward()
        self.d_optimizer.step()
        return d_real_error.item(), d_fake_error.item()

    def g_loop(self, sample):
        backup = copy.deepcopy(self.D.state_dict()), copy.deepcopy(self.d_optimizer.state_dict())
        for _ in range(self.settings["unrolled_steps"]):
            self.d_loop(sample(self.settings["minibatch_size"]))

        self.g_optimizer.zero_grad()
        dg_fake_decision = self.D(self.G(self.noise()))
        g_error = self.criterion(dg_fake_decision, torch.ones_like(dg_fake_decision))
        g_error.backward()
        self.g_optimizer.step()

        self.D.load_state_dict(backup[0])
        self.d_optimizer.load_state_dict(backup[1])
        return g_error.item()


def grid(n):
    """Return points [n, 2] around nine places."""
    return (torch.randint(3, (n, 2)) - 1.0) + 0.06 * torch.randn(n, 2)


torch.manual_seed(0)
game = Game(
    gp={"hidden": 96, "layers": 2, "activation": nn.Tanh, "lr": 1e-3, "betas": (0.5, 0.999)},
    dp={"hidden": 96, "layers": 2, "activation": nn.ReLU, "lr": 5e-4, "betas": (0.5, 0.999)},
)
monitor = ganbench.Monitor(game.G, game.D, grid, game.noise, out="reports/unrolled")
for _ in range(500):
    d_real_error, d_fake_error = game.d_loop(grid(game.settings["minibatch_size"]))
    g_error = game.g_loop(grid)
    monitor.step(d_loss=d_real_error + d_fake_error, g_loss=g_error)
monitor.close()
