# ruff: noqa: N816 - named as in the code that it is like
"""AC-GAN: the generator's turn first, embedded labels, a discriminator that gives probabilities and classes."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganbench

opt = {"n_epochs": 7, "batch_size": 64, "latent_dim": 32, "n_classes": 10, "lr": 1e-3, "b1": 0.5, "b2": 0.999}


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.label_emb = nn.Embedding(opt["n_classes"], opt["latent_dim"])
        self.l1 = nn.Linear(opt["latent_dim"], 32 * 2 * 2)
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(32), nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32, 0.8),
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, 1, 1), nn.BatchNorm2d(16, 0.8),
            nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise, labels):
        gen_input = self.label_emb(labels) * noise
        return self.conv_blocks(self.l1(gen_input).view(-1, 32, 2, 2))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_blocks = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25),
            nn.Conv2d(16, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25), nn.Flatten(),
        )  # fmt: skip
        self.adv_layer = nn.Sequential(nn.Linear(128, 1), nn.Sigmoid())
        self.aux_layer = nn.Linear(128, opt["n_classes"])

    def forward(self, img):
        out = self.conv_blocks(img)
        return self.adv_layer(out), self.aux_layer(out)


torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
dataset = TensorDataset(images, torch.tensor(digits.target))
dataloader = DataLoader(dataset, batch_size=opt["batch_size"], shuffle=True, drop_last=True)
adversarial_loss, auxiliary_loss = nn.BCELoss(), nn.CrossEntropyLoss()
generator, discriminator = Generator(), Discriminator()
optimizer_G = torch.optim.Adam(generator.parameters(), lr=opt["lr"], betas=(opt["b1"], opt["b2"]))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=opt["lr"], betas=(opt["b1"], opt["b2"]))
monitor = ganbench.Monitor(
    generator,
    discriminator,
    dataloader,
    opt["latent_dim"],
    given=1,
    d_forward=lambda d, img, labels: d(img),
    out="reports/auxiliary_classes",
)

for _ in range(opt["n_epochs"]):
    for imgs, labels in dataloader:
        n = imgs.shape[0]
        valid, fake = torch.ones(n, 1), torch.zeros(n, 1)

        optimizer_G.zero_grad()
        z = torch.randn(n, opt["latent_dim"])
        gen_labels = torch.randint(0, opt["n_classes"], (n,))
        gen_imgs = generator(z, gen_labels)
        validity, pred_label = discriminator(gen_imgs)
        g_loss = 0.5 * (adversarial_loss(validity, valid) + auxiliary_loss(pred_label, gen_labels))
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        real_pred, real_aux = discriminator(imgs)
        d_real_loss = (adversarial_loss(real_pred, valid) + auxiliary_loss(real_aux, labels)) / 2
        fake_pred, fake_aux = discriminator(gen_imgs.detach())
        d_fake_loss = (adversarial_loss(fake_pred, fake) + auxiliary_loss(fake_aux, gen_labels)) / 2
        d_loss = (d_real_loss + d_fake_loss) / 2
        d_loss.backward()
        optimizer_D.step()
        monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
