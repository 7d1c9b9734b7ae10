"""Tables as CTGAN makes them: a condition names the category that G should make; packs of rows, a penalty."""

import torch
from torch import nn
from torch.nn import functional

import ganbench

CATEGORIES, NUMBERS, PAC = 4, 3, 4


class Generator(nn.Module):
    def __init__(self, embedding_dim, width=48):
        super().__init__()
        self.seq = nn.Sequential(
            nn.Linear(embedding_dim + CATEGORIES, width), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, CATEGORIES + NUMBERS),
        )  # fmt: skip

    def forward(self, z, cond):
        return self.seq(torch.cat([z, cond], 1))


class Discriminator(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.pacdim = (2 * CATEGORIES + NUMBERS) * PAC
        self.seq = nn.Sequential(
            nn.Linear(self.pacdim, width), nn.LeakyReLU(0.2), nn.Dropout(0.25),
            nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Dropout(0.25), nn.Linear(width, 1),
        )  # fmt: skip

    def calc_gradient_penalty(self, real_data, fake_data, lambda_=10.0):
        alpha = torch.rand(len(real_data) // PAC, 1).repeat_interleave(PAC, 0)
        interpolates = (alpha * real_data + (1 - alpha) * fake_data).requires_grad_(True)
        scores = self(interpolates)
        gradients = torch.autograd.grad(scores, interpolates, torch.ones_like(scores), create_graph=True)[0]
        return (gradients.reshape(-1, self.pacdim).norm(2, dim=1) - 1).square().mean() * lambda_

    def forward(self, input_):
        return self.seq(input_.reshape(-1, self.pacdim))


def activate(data):
    hard = functional.gumbel_softmax(data[:, :CATEGORIES], tau=0.2)
    return torch.cat([hard, torch.tanh(data[:, CATEGORIES:])], dim=1)


class DataSampler:
    def __init__(self, n=4000):
        kind = torch.multinomial(torch.tensor([0.6, 0.25, 0.1, 0.05]), n, replacement=True)
        numbers = torch.tanh((kind[:, None] - 1.5) * torch.tensor([0.5, -0.3, 0.8]) + 0.15 * torch.randn(n, NUMBERS))
        self.rows = torch.cat([functional.one_hot(kind, CATEGORIES), numbers], 1)
        self.members = [torch.nonzero(kind == k)[:, 0] for k in range(CATEGORIES)]
        self.log_frequency = torch.tensor([float(len(m)) for m in self.members]).log1p()

    def sample_condvec(self, batch):
        picked = torch.multinomial(self.log_frequency, batch, replacement=True)
        return functional.one_hot(picked, CATEGORIES).float(), picked

    def sample_data(self, picked):
        chosen = [self.members[k][torch.randint(len(self.members[k]), ())] for k in picked.tolist()]
        return self.rows[torch.stack(chosen)]


class CTGAN:
    def __init__(self, embedding_dim=16, batch_size=100, steps=400):
        self._embedding_dim, self._batch_size, self._steps = embedding_dim, batch_size, steps
        self._generator, self._discriminator = Generator(embedding_dim), Discriminator()

    def fit(self, sampler, monitor):
        generator, discriminator = self._generator, self._discriminator
        optimizerG = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.9), weight_decay=1e-6)
        optimizerD = torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.9), weight_decay=1e-6)
        mean, std = torch.zeros(self._batch_size, self._embedding_dim), 1.0
        for _ in range(self._steps):
            fakez = torch.normal(mean=mean, std=std)
            c1, picked = sampler.sample_condvec(self._batch_size)
            perm = torch.randperm(self._batch_size)
            real, c2 = sampler.sample_data(picked[perm]), c1[perm]
            fakeact = activate(generator(fakez, c1))
            fake_cat, real_cat = torch.cat([fakeact, c1], dim=1), torch.cat([real, c2], dim=1)
            y_fake, y_real = discriminator(fake_cat.detach()), discriminator(real_cat)
            pen = discriminator.calc_gradient_penalty(real_cat, fake_cat.detach())
            loss_d = -(torch.mean(y_real) - torch.mean(y_fake))
            optimizerD.zero_grad(set_to_none=False)
            pen.backward(retain_graph=True)
            loss_d.backward()
            optimizerD.step()

            fakez = torch.normal(mean=mean, std=std)
            c1, _ = sampler.sample_condvec(self._batch_size)
            fake = generator(fakez, c1)
            y_fake = discriminator(torch.cat([activate(fake), c1], dim=1))
            loss_g = -torch.mean(y_fake) + functional.cross_entropy(fake[:, :CATEGORIES], c1.argmax(dim=1))
            optimizerG.zero_grad(set_to_none=False)
            loss_g.backward()
            optimizerG.step()
            monitor.step(d_loss={"critic": loss_d, "penalty": pen}, g_loss=loss_g)


torch.manual_seed(0)
sampler, model = DataSampler(), CTGAN()
conditioned = torch.utils.data.TensorDataset(sampler.rows, sampler.rows[:, :CATEGORIES])
rows = torch.utils.data.DataLoader(conditioned, batch_size=100, shuffle=True)
forwards = {"g_forward": lambda g, z, c: activate(g(z, c)), "d_forward": lambda d, x, c: d(torch.cat([x, c], 1))}
told = {"given": 1, **forwards, "out": "reports/conditions"}
monitor = ganbench.Monitor(model._generator, model._discriminator, rows, model._embedding_dim, **told)
model.fit(sampler, monitor)
monitor.close()
