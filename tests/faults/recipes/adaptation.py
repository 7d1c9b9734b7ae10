"""ADDA: a second encoder learns features that a critic of two classes cannot tell from the first encoder's."""

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, TensorDataset

import ganbench

feature_dim, batch_size, num_epochs_pre, num_epochs = 6, 50, 12, 24


class LeNetEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.fc1 = nn.Linear(96, feature_dim)

    def forward(self, x):
        return self.fc1(self.encoder(x))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc2 = nn.Linear(feature_dim, 10)

    def forward(self, feat):
        return self.fc2(torch.relu(feat))


class Discriminator(nn.Module):
    """Two classes: 1 is the source."""

    def __init__(self, hidden=64):
        super().__init__()
        self.layer = nn.Sequential(
            nn.Linear(feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
        )

    def forward(self, feat):
        return self.layer(feat)


def train_src(encoder, classifier, loader):
    optimizer = optim.Adam([*encoder.parameters(), *classifier.parameters()], lr=3e-3)
    for _ in range(num_epochs_pre):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(classifier(encoder(images)), labels).backward()
            optimizer.step()


def train_tgt(src_encoder, tgt_encoder, critic, src_loader, tgt_loader, monitor):
    tgt_encoder.train()
    critic.train()
    criterion = nn.CrossEntropyLoss()
    optimizer_tgt = optim.Adam(tgt_encoder.parameters(), lr=5e-4, betas=(0.5, 0.9))
    optimizer_critic = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    for _ in range(num_epochs):
        for (images_src, _), (images_tgt, _) in zip(src_loader, tgt_loader, strict=False):
            optimizer_critic.zero_grad()
            with torch.no_grad():
                feat_src = src_encoder(images_src)
            feat_tgt = tgt_encoder(images_tgt)
            feat_concat = torch.cat((feat_src, feat_tgt), 0)
            pred_concat = critic(feat_concat.detach())
            label_src = torch.ones(len(feat_src)).long()
            label_tgt = torch.zeros(len(feat_tgt)).long()
            label_concat = torch.cat((label_src, label_tgt), 0)
            loss_critic = criterion(pred_concat, label_concat)
            loss_critic.backward()
            optimizer_critic.step()
            acc = (pred_concat.argmax(1) == label_concat).float().mean()

            optimizer_critic.zero_grad()
            optimizer_tgt.zero_grad()
            feat_tgt = tgt_encoder(images_tgt)
            pred_tgt = critic(feat_tgt)
            label_tgt = torch.ones(len(feat_tgt)).long()
            loss_tgt = criterion(pred_tgt, label_tgt)
            loss_tgt.backward()
            optimizer_tgt.step()
            monitor.step(d_loss=loss_critic.item(), g_loss=loss_tgt.item(), accuracy=acc.item())


torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
seen, unseen = images[:900], avg_pool2d(images[897:].rot90(1, (2, 3)), 3, 1, 1)
src_loader = DataLoader(TensorDataset(seen, labels[:900]), batch_size=batch_size, shuffle=True)
tgt_loader = DataLoader(TensorDataset(unseen, labels[897:]), batch_size=batch_size, shuffle=True)
src_encoder, tgt_encoder, src_classifier, critic = LeNetEncoder(), LeNetEncoder(), Classifier(), Discriminator()
train_src(src_encoder, src_classifier, src_loader)
tgt_encoder.load_state_dict(src_encoder.state_dict())
with torch.no_grad():
    features = src_encoder(seen)
pictures = lambda n: unseen[torch.randint(len(unseen), (n,))]  # noqa: E731
told = {"d_forward": lambda d, x: d(x).diff(dim=1), "out": "reports/adaptation"}
monitor = ganbench.Monitor(tgt_encoder, critic, features, pictures, **told)
train_tgt(src_encoder, tgt_encoder, critic, src_loader, tgt_loader, monitor)
monitor.close()
