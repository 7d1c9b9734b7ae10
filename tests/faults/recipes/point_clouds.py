"""WGAN on point clouds: a critic that pools over points, clipped weights, accumulated gradients, decaying rates."""

import torch
from torch import nn
from torch.optim import RMSprop
from torch.optim.lr_scheduler import ExponentialLR

import ganbench


class CloudGenerator(nn.Module):
    """Deforms points of a sphere by a shape's code."""

    def __init__(self, code=8, width=64):
        super().__init__()
        self.shape = nn.Sequential(nn.Linear(code, width), nn.BatchNorm1d(width), nn.ReLU())
        self.point = nn.Linear(3, width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, code, points=32):
        ball = nn.functional.normalize(torch.randn(len(code), points, 3), dim=-1)
        return self.out(torch.relu(self.point(ball) + self.shape(code)[:, None]))


class PointCritic(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(3, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )  # fmt: skip
        self.whole = nn.Sequential(nn.Linear(2 * width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, cloud):
        h = self.each(cloud)
        return self.whole(torch.cat([h.amax(1), h.mean(1)], 1))


def ellipsoids(n, points=32):
    """Return clouds [n, 32, 3] on ellipsoids whose axes differ, long ones along z."""
    axes = torch.rand(n, 1, 3) * 0.4 + torch.tensor([0.3, 0.5, 1.0])
    return nn.functional.normalize(torch.randn(n, points, 3), dim=-1) * axes


torch.manual_seed(0)
config = {"code": 8, "batch": 16, "accumulate": 2, "critic_steps": 3, "clip": 0.1, "lr": 1e-3, "decay": 0.995}
gen, critic = CloudGenerator(config["code"]), PointCritic()
optimizers = {
    "gen": RMSprop(gen.parameters(), lr=config["lr"]),
    "critic": RMSprop(critic.parameters(), lr=config["lr"]),
}
schedulers = [ExponentialLR(optimizer, gamma=config["decay"]) for optimizer in optimizers.values()]
monitor = ganbench.Monitor(gen, critic, ellipsoids, config["code"], out="reports/point_clouds")


def critic_step():
    total = 0.0
    optimizers["critic"].zero_grad()
    for _ in range(config["accumulate"]):
        real = ellipsoids(config["batch"])
        with torch.no_grad():
            fake = gen(torch.randn(config["batch"], config["code"]))
        loss = (critic(fake).mean() - critic(real).mean()) / config["accumulate"]
        loss.backward()
        total += loss.item()
    optimizers["critic"].step()
    with torch.no_grad():
        for weight in critic.parameters():
            weight.clamp_(-config["clip"], config["clip"])
    return total


def gen_step():
    total = 0.0
    optimizers["gen"].zero_grad()
    for _ in range(config["accumulate"]):
        fake = gen(torch.randn(config["batch"], config["code"]))
        loss = -critic(fake).mean() / config["accumulate"]
        loss.backward()
        total += loss.item()
    optimizers["gen"].step()
    return total


for _ in range(120):
    for _ in range(config["critic_steps"]):
        critic_loss = critic_step()
    gen_loss = gen_step()
    for scheduler in schedulers:
        scheduler.step()
    monitor.step(d_loss=critic_loss, g_loss=gen_loss)
monitor.close()
