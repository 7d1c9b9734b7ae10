"""Federated averaging: two clients with data of their own train copies of both players, a server averages them."""

import copy

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

import ganbench

ROUNDS, LOCAL_STEPS, BATCH, Z, LR, DECAY = 40, 16, 64, 6, 1e-3, 0.99


class Node:
    """A client: its data, its players, and optimizers that live as long as it does."""

    def __init__(self, generator, discriminator, data):
        self.G, self.D = copy.deepcopy(generator), copy.deepcopy(discriminator)
        self.loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
        self.batches = iter(())
        self.opt_g = torch.optim.Adam(self.G.parameters(), lr=LR, betas=(0.0, 0.9))
        self.opt_d = torch.optim.Adam(self.D.parameters(), lr=3 * LR, betas=(0.0, 0.9))
        self.decays = [torch.optim.lr_scheduler.ExponentialLR(opt, DECAY) for opt in (self.opt_g, self.opt_d)]
        self.weight = len(data)

    def next_batch(self):
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)

    def receive(self, generator, discriminator):
        self.G.load_state_dict(generator.state_dict())
        self.D.load_state_dict(discriminator.state_dict())

    def local_step(self):
        real, z = self.next_batch(), torch.randn(BATCH, Z)
        fake = self.G(z)
        loss_d = softplus(-self.D(real)).mean() + softplus(self.D(fake.detach())).mean()
        self.opt_d.zero_grad()
        loss_d.backward()
        self.opt_d.step()

        loss_g = softplus(-self.D(fake)).mean()
        self.opt_g.zero_grad()
        loss_g.backward()
        self.opt_g.step()
        return {"d_loss": loss_d.item(), "g_loss": loss_g.item()}

    def end_round(self):
        for decay in self.decays:
            decay.step()


def fed_avg(server, nets, weights):
    """Give the server the clients' parameters, averaged by how much data they have."""
    total = sum(weights)
    states = [net.state_dict() for net in nets]
    average = {key: sum(s[key] * w for s, w in zip(states, weights, strict=True)) / total for key in states[0]}
    server.load_state_dict(average)


def mlp(inputs, outputs, act, width=64):
    return nn.Sequential(nn.Linear(inputs, width), act, nn.Linear(width, width), act, nn.Linear(width, outputs))


def petals(n, which):
    """Return points [n, 2] on those petals of six that a client has seen."""
    angle = which[torch.randint(len(which), (n,))] * torch.pi / 3
    along, across = 0.6 + 0.5 * torch.rand(n), 0.08 * torch.randn(n)
    return torch.stack(
        [along * angle.cos() - across * angle.sin(), along * angle.sin() + across * angle.cos()], 1
    )  # fmt: skip


torch.manual_seed(0)
server_g, server_d = mlp(Z, 2, nn.ReLU()), mlp(2, 1, nn.LeakyReLU(0.2))
shares = [petals(1600, torch.tensor([0.0, 1, 2, 3])), petals(1200, torch.tensor([3.0, 4, 5, 0]))]
clients = [Node(server_g, server_d, share) for share in shares]
watched = clients[0]
monitor = ganbench.Monitor(watched.G, watched.D, torch.cat(shares), Z, out="reports/federated")

for _ in range(ROUNDS):
    for client in clients:
        client.receive(server_g, server_d)
        for _ in range(LOCAL_STEPS):
            losses = client.local_step()
            if client is watched:
                monitor.step(**losses)
        client.end_round()
    weights = [client.weight for client in clients]
    fed_avg(server_g, [client.G for client in clients], weights)
    fed_avg(server_d, [client.D for client in clients], weights)
monitor.close()
