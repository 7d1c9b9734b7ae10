"""Speech enhancement in SEGAN's manner: a discriminator of pairs (clean, noisy), least squares, RMSprop, an L1 term."""

import torch
from torch import nn, optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

import ganbench

BATCH_SIZE, NUM_EPOCHS, LENGTH, Z, L1 = 40, 8, 64, 8, 20.0


class AudioDataset(Dataset):
    """Waves of two partials and the same in noise that hums, [1, 64] each."""

    def __init__(self, n=1200):
        t = torch.arange(LENGTH) / LENGTH
        pitch, phase = 2 + 4 * torch.rand(n, 1), 6.28 * torch.rand(n, 2)
        wave = (6.28 * pitch * t + phase[:, :1]).sin() + 0.5 * (12.57 * pitch * t + phase[:, 1:]).sin()
        self.clean = (wave * torch.hann_window(LENGTH) / 1.5)[:, None]
        hum = 0.2 * (6.28 * 16 * t + 6.28 * torch.rand(n, 1, 1)).sin()
        self.noisy = self.clean + hum + 0.15 * torch.randn(n, 1, LENGTH)

    def __getitem__(self, index):
        return self.clean[index], self.noisy[index]

    def __len__(self):
        return len(self.clean)


class Generator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.enc1 = nn.Sequential(nn.Conv1d(1, width, 8, 2, 3), nn.PReLU())
        self.enc2 = nn.Sequential(nn.Conv1d(width, 2 * width, 8, 2, 3), nn.PReLU())
        self.dec2 = nn.Sequential(nn.ConvTranspose1d(2 * width + Z, width, 8, 2, 3), nn.PReLU())
        self.dec1 = nn.ConvTranspose1d(2 * width, 1, 8, 2, 3)

    def forward(self, z, x):
        e1 = self.enc1(x)
        c = self.enc2(e1)
        encoded = torch.cat([c, z[:, :, None].expand(-1, -1, c.shape[2])], 1)
        return torch.tanh(self.dec1(torch.cat([self.dec2(encoded), e1], 1)))


class Discriminator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(2, width, 8, 2, 3), nn.BatchNorm1d(width), nn.LeakyReLU(0.03),
            nn.Conv1d(width, 2 * width, 8, 2, 3), nn.BatchNorm1d(2 * width), nn.LeakyReLU(0.03), nn.Flatten(),
        )  # fmt: skip
        self.fully_connected = nn.Linear(2 * width * LENGTH // 4, 1)

    def forward(self, wave, noisy):
        return self.fully_connected(self.conv(torch.cat([wave, noisy], 1)))


torch.manual_seed(0)
train_data_loader = DataLoader(AudioDataset(), batch_size=BATCH_SIZE, shuffle=True)
generator, discriminator = Generator(), Discriminator()
g_optimizer = optim.RMSprop(generator.parameters(), lr=5e-4)
d_optimizer = optim.RMSprop(discriminator.parameters(), lr=2e-4)
schedulers = StepLR(g_optimizer, 2, gamma=0.8), StepLR(d_optimizer, 2, gamma=0.8)
monitor = ganbench.Monitor(generator, discriminator, train_data_loader, Z, given=1, out="reports/enhancement")

for _ in range(NUM_EPOCHS):
    for clean, noisy in train_data_loader:
        z = torch.randn(len(noisy), Z)

        discriminator.zero_grad()
        outputs = discriminator(clean, noisy)
        clean_loss = torch.mean((outputs - 1.0) ** 2)
        clean_loss.backward()
        generated_outputs = generator(z, noisy)
        outputs = discriminator(generated_outputs.detach(), noisy)
        noisy_loss = torch.mean(outputs**2)
        noisy_loss.backward()
        d_optimizer.step()

        generator.zero_grad()
        outputs = discriminator(generated_outputs, noisy)
        g_loss_adv = 0.5 * torch.mean((outputs - 1.0) ** 2)
        g_loss_l1 = L1 * torch.mean(torch.abs(generated_outputs - clean))
        g_loss = g_loss_adv + g_loss_l1
        g_loss.backward()
        g_optimizer.step()
        monitor.step(d_loss=clean_loss + noisy_loss, g_loss=g_loss, l1=g_loss_l1)
    for scheduler in schedulers:
        scheduler.step()
monitor.close()
