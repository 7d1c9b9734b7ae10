# ruff: noqa: N812 - named as in the code that it is like
"""Domain adaptation through a gradient reversal: one backward, one optimizer, features of a source to be matched."""

import copy
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import ganbench


class GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return -ctx.alpha * grad_output, None


class DomainClassifier(nn.Module):
    def __init__(self, features=4):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )

    def forward(self, h):
        return self.net(h).view(-1)


def fit_source(images, labels):
    """Return an encoder and a classifier of the source domain, which stay as they are from here on."""
    encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    classifier = nn.Sequential(nn.ReLU(), nn.Linear(4, 10))
    optimizer = torch.optim.Adam([*encoder.parameters(), *classifier.parameters()], lr=3e-3)
    for _ in range(150):
        chosen = torch.randint(len(images), (64,))
        loss = F.cross_entropy(classifier(encoder(images[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.requires_grad_(False), classifier.requires_grad_(False)


torch.manual_seed(0)
n_epoch, len_dataloader, batch_size, lr = 15, 20, 64, 5e-4
digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
source_img, source_label, target_img = images[:900], labels[:900], 1 - 0.6 * images[900:]
source_encoder, label_classifier = fit_source(source_img, source_label)
source_feature = source_encoder(source_img)

encoder, domain_classifier = copy.deepcopy(source_encoder).requires_grad_(True), DomainClassifier()
optimizer = torch.optim.Adam([*encoder.parameters(), *domain_classifier.parameters()], lr=lr, betas=(0.5, 0.999))
loss_domain = nn.BCEWithLogitsLoss()


def target_batch(n):
    return target_img[torch.randint(len(target_img), (n,))]


monitor = ganbench.Monitor(encoder, domain_classifier, source_feature, target_batch, out="reports/reversal")

for epoch in range(n_epoch):
    for i in range(len_dataloader):
        p = (i + epoch * len_dataloader) / n_epoch / len_dataloader
        alpha = 2.0 / (1.0 + math.exp(-10 * p)) - 1

        s_feature = source_feature[torch.randint(len(source_feature), (batch_size,))]
        err_s_domain = loss_domain(domain_classifier(s_feature), torch.ones(batch_size))

        t_feature = encoder(target_batch(batch_size))
        reverse_feature = GradReverse.apply(t_feature, alpha)
        err_t_domain = loss_domain(domain_classifier(reverse_feature), torch.zeros(batch_size))

        err = err_s_domain + err_t_domain
        optimizer.zero_grad()
        err.backward()
        optimizer.step()
        monitor.step(d_loss={"source": err_s_domain, "target": err_t_domain}, g_loss=-err_t_domain)
monitor.close()
