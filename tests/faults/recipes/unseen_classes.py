# ruff: noqa: N816 - named as in the code that it is like
"""Features for classes without examples (f-CLSWGAN): tensors filled in place, a critic of five steps, a classifier."""

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import ganbench

nclass, attSize, resSize, nz, ngh, ndh = 12, 6, 24, 6, 96, 96
batch_size, critic_iter, niter, cls_weight, lambda1, lr = 64, 5, 90, 0.1, 10.0, 1e-3


class MLP_G(nn.Module):  # noqa: N801
    def __init__(self):
        super().__init__()
        self.fc1, self.lrelu, self.fc2 = nn.Linear(attSize + nz, ngh), nn.LeakyReLU(0.2), nn.Linear(ngh, resSize)

    def forward(self, noise, att):
        return torch.relu(self.fc2(self.lrelu(self.fc1(torch.cat((noise, att), 1)))))


class MLP_CRITIC(nn.Module):  # noqa: N801
    def __init__(self):
        super().__init__()
        self.fc1, self.lrelu, self.fc2 = nn.Linear(resSize + attSize, ndh), nn.LeakyReLU(0.2), nn.Linear(ndh, 1)

    def forward(self, x, att):
        return self.fc2(self.lrelu(self.fc1(torch.cat((x, att), 1))))


class Features:
    """Features of seen classes, each a rectified linear image of its attributes and of what varies in it."""

    def __init__(self, n=3000):
        self.attribute = torch.rand(nclass, attSize)
        self.label = torch.randint(nclass, (n,))
        varied = torch.randn(n, 4) @ (0.3 * torch.randn(4, resSize))
        self.feature = torch.relu((self.attribute[self.label] - 0.4) @ torch.randn(attSize, resSize) + varied)

    def next_batch(self, n):
        idx = torch.randperm(len(self.feature))[:n]
        return self.feature[idx], self.label[idx], self.attribute[self.label[idx]]


def pretrain_classifier(data):
    model = nn.Linear(resSize, nclass)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        feature, label, _ = data.next_batch(batch_size)
        cls_criterion(model(feature), label).backward()
        optimizer.step()
    return model.requires_grad_(False)


def calc_gradient_penalty(netD, real_data, fake_data, input_att):
    alpha = torch.rand(len(real_data), 1)
    interpolates = (alpha * real_data + (1 - alpha) * fake_data).requires_grad_(True)
    disc = netD(interpolates, input_att)
    gradients = torch.autograd.grad(disc, interpolates, torch.ones_like(disc), create_graph=True, retain_graph=True)[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * lambda1


torch.manual_seed(0)
data, cls_criterion = Features(), nn.CrossEntropyLoss()
classifier = pretrain_classifier(data)
netG, netD = MLP_G(), MLP_CRITIC()
input_res, input_att = torch.empty(batch_size, resSize), torch.empty(batch_size, attSize)
noise, input_label = torch.empty(batch_size, nz), torch.empty(batch_size, dtype=torch.long)
one, mone = torch.tensor(1.0), torch.tensor(-1.0)
optimizerD = optim.Adam(netD.parameters(), lr=lr, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=lr, betas=(0.5, 0.999))
seen = DataLoader(TensorDataset(data.feature, data.attribute[data.label]), batch_size, shuffle=True, drop_last=True)
monitor = ganbench.Monitor(netG, netD, seen, nz, given=1, out="reports/unseen_classes")


def sample():
    batch_feature, batch_label, batch_att = data.next_batch(batch_size)
    input_res.copy_(batch_feature), input_att.copy_(batch_att), input_label.copy_(batch_label)


for _ in range(niter):
    netD.requires_grad_(True)
    for _ in range(critic_iter):
        sample()
        netD.zero_grad()
        criticD_real = netD(input_res, input_att).mean()
        criticD_real.backward(mone)
        noise.normal_(0, 1)
        fake = netG(noise, input_att)
        criticD_fake = netD(fake.detach(), input_att).mean()
        criticD_fake.backward(one)
        gradient_penalty = calc_gradient_penalty(netD, input_res, fake.detach(), input_att)
        gradient_penalty.backward()
        optimizerD.step()

    netD.requires_grad_(False)
    netG.zero_grad()
    noise.normal_(0, 1)
    fake = netG(noise, input_att)
    G_cost = -netD(fake, input_att).mean()
    c_errG = cls_criterion(classifier(fake), input_label)
    errG = G_cost + cls_weight * c_errG
    errG.backward()
    optimizerG.step()
    monitor.step(
        d_loss=criticD_fake - criticD_real + gradient_penalty, g_loss={"critic": G_cost, "classes": cls_weight * c_errG}
    )
monitor.close()
