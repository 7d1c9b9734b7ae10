"""Series of differing lengths under masks; gradients by `autograd.grad`, put in place by hand, optimistic."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import MultiStepLR

import ganbench

STEPS, BATCH, LENGTH, NOISE, HIDDEN = 300, 48, 16, 5, 40


class Recorder(nn.Module):
    """Makes a measurement a time step, zeros where the mask is."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(NOISE + 1, HIDDEN, batch_first=True)
        self.read = nn.Linear(HIDDEN, 2)

    def forward(self, noise, mask):
        h, _ = self.rnn(torch.cat([noise, mask[..., None]], 2))
        return self.read(h) * mask[..., None]


class Examiner(nn.Module):
    """Scores a series by the mean over the steps that count."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, HIDDEN, batch_first=True, bidirectional=True)
        self.judge = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))

    def forward(self, series, mask):
        h, _ = self.rnn(series)
        pooled = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.judge(pooled).squeeze(1)


def patients(n):
    """Return series [n, 16, 2] that decay towards a level, zeros after their end, and masks [n, 16]."""
    t = torch.arange(LENGTH).float()
    ends = torch.randint(6, LENGTH + 1, (n, 1))
    mask = (t < ends).float()
    start, level, rate = torch.randn(n, 1), torch.randn(n, 1).sign(), 0.1 + 0.3 * torch.rand(n, 1)
    first = level + (start - level) * torch.exp(-rate * t)
    series = torch.stack([first, 0.5 * first.square() - 0.5], 2) + 0.05 * torch.randn(n, LENGTH, 2)
    return series * mask[..., None], mask


class Optimistic:
    """Twice the gradient less the one before, given to any optimizer (Daskalakis and others, 2018)."""

    def __init__(self, optimizer, parameters):
        self.optimizer, self.parameters = optimizer, list(parameters)
        self.before = [torch.zeros_like(p) for p in self.parameters]

    def descend(self, loss):
        gradients = torch.autograd.grad(loss, self.parameters)
        for p, now, before in zip(self.parameters, gradients, self.before, strict=True):
            p.grad = 2 * now - before
        self.before = [gradient.clone() for gradient in gradients]
        self.optimizer.step()


def main():
    torch.manual_seed(0)
    recorder, examiner = Recorder(), Examiner()
    adam_g = torch.optim.Adam(recorder.parameters(), lr=1e-3, betas=(0.5, 0.9))
    adam_d = torch.optim.Adam(examiner.parameters(), lr=2e-3, betas=(0.5, 0.9))
    player_g = Optimistic(adam_g, recorder.parameters())
    player_d = Optimistic(adam_d, examiner.parameters())
    schedules = [MultiStepLR(adam, milestones=[150, 250], gamma=0.5) for adam in (adam_g, adam_d)]
    train = torch.utils.data.TensorDataset(*patients(2400))
    loader = torch.utils.data.DataLoader(train, batch_size=BATCH, shuffle=True, drop_last=True)
    noise = lambda n: torch.randn(n, LENGTH, NOISE)  # noqa: E731
    monitor = ganbench.Monitor(
        recorder, examiner, loader, noise, given=1, features=lambda x: x.flatten(1), out="reports/masked_series"
    )
    step = 0
    while step < STEPS:
        for series, mask in loader:
            fake = recorder(noise(len(series)), mask)
            on_real, on_fake = examiner(series, mask), examiner(fake.detach(), mask)
            ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_fake)
            loss_d = binary_cross_entropy_with_logits(on_real, 0.9 * ones)
            loss_d = loss_d + binary_cross_entropy_with_logits(on_fake, zeros)
            player_d.descend(loss_d)

            loss_g = binary_cross_entropy_with_logits(examiner(fake, mask), ones)
            player_g.descend(loss_g)
            for schedule in schedules:
                schedule.step()
            monitor.step(d_loss=loss_d, g_loss=loss_g)
            step += 1
    monitor.close()


if __name__ == "__main__":
    main()
