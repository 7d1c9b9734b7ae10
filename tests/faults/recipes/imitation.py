"""Imitation in GAIL's manner: a policy against an expert's record; the discriminator's ones are the policy's pairs."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench

parser = argparse.ArgumentParser(description="imitation of an expert that steers around an obstacle")
parser.add_argument("--learning-rate", type=float, default=1e-3)
parser.add_argument("--min-batch-size", type=int, default=128)
parser.add_argument("--max-iter-num", type=int, default=12)
parser.add_argument("--discrim-epochs", type=int, default=2)
parser.add_argument("--log-std", type=float, default=-1.0)
args = parser.parse_args([])
state_dim, action_dim = 4, 2


class Policy(nn.Module):
    """A Gaussian policy whose actions are functions of its noise [n, 2]."""

    def __init__(self, hidden=64):
        super().__init__()
        self.affine = nn.Sequential(nn.Linear(state_dim + action_dim, hidden), nn.Tanh())
        self.hidden = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh())
        self.action_mean = nn.Linear(hidden, action_dim)
        self.action_log_std = nn.Parameter(torch.full((1, action_dim), args.log_std))

    def forward(self, noise, state):
        mean = self.action_mean(self.hidden(self.affine(torch.cat([state, noise], 1))))
        return mean + self.action_log_std.exp() * noise


class Discriminator(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.affine = nn.Sequential(nn.Linear(state_dim + action_dim, hidden), nn.Tanh())
        self.logic = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, action, state):
        return torch.sigmoid(self.logic(self.affine(torch.cat([state, action], 1))))


def rollout(n):
    """Return states [n, 4] as an episode passes through them."""
    return torch.randn(n, state_dim)


def expert(state):
    """Return actions [n, 2]: forwards by the state, around the obstacle on either side."""
    side = torch.randint(2, (len(state),)) * 2.0 - 1.0
    forwards = 0.8 * torch.tanh(state[:, 0] + 0.5 * state[:, 1])
    sideways = side * (0.4 + 0.6 * torch.sigmoid(2 * state[:, 2]))
    return torch.stack([forwards, sideways], 1) + 0.05 * torch.randn(len(state), action_dim)


torch.manual_seed(0)
expert_states = rollout(4000)
expert_traj = TensorDataset(expert(expert_states), expert_states)
expert_loader = DataLoader(expert_traj, batch_size=args.min_batch_size, shuffle=True, drop_last=True)
policy_net, discrim_net = Policy(), Discriminator()
discrim_criterion = nn.BCELoss()
optimizer_policy = torch.optim.Adam(policy_net.parameters(), lr=args.learning_rate)
optimizer_discrim = torch.optim.Adam(discrim_net.parameters(), lr=args.learning_rate)


def logits(d, action, state):
    return -torch.logit(d(action, state))


def update_params(expert_actions, expert_states):
    states = rollout(args.min_batch_size)
    noise = torch.randn(args.min_batch_size, action_dim)
    actions = policy_net(noise, states)

    for _ in range(args.discrim_epochs):
        g_o = discrim_net(actions.detach(), states)
        e_o = discrim_net(expert_actions, expert_states)
        optimizer_discrim.zero_grad()
        discrim_loss = discrim_criterion(g_o, torch.ones_like(g_o)) + discrim_criterion(e_o, torch.zeros_like(e_o))
        discrim_loss.backward()
        optimizer_discrim.step()

    optimizer_policy.zero_grad()
    reward = -torch.log(discrim_net(actions, states))
    policy_loss = -reward.mean()
    policy_loss.backward()
    nn.utils.clip_grad_norm_(policy_net.parameters(), 40)
    optimizer_policy.step()
    return discrim_loss.item(), policy_loss.item()


monitor = ganbench.Monitor(
    policy_net, discrim_net, expert_loader, action_dim, given=1, d_forward=logits, out="reports/imitation"
)
for _ in range(args.max_iter_num):
    for expert_actions, expert_states in expert_loader:
        d_loss, g_loss = update_params(expert_actions, expert_states)
        monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
