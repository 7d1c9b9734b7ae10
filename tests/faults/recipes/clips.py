"""Videos in MoCoGAN's manner: motion from a GRU, a discriminator of frames and one of clips, trained alike."""

import torch
from torch import nn, optim

import ganbench

video_length, dim_content, dim_motion, size = 6, 6, 4, 8
gan_criterion = nn.BCEWithLogitsLoss()


class VideoGenerator(nn.Module):
    """Makes clips [n, 1, 6, 8, 8] of a content code and a code a frame."""

    def __init__(self, hidden=32, ngf=64):
        super().__init__()
        self.recurrent = nn.GRUCell(dim_motion, hidden)
        self.main = nn.Sequential(
            nn.Linear(dim_content + hidden, ngf), nn.ReLU(), nn.Linear(ngf, 2 * ngf), nn.ReLU(),
            nn.Linear(2 * ngf, size * size), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z):
        content, motion = z[:, :dim_content], z[:, dim_content:].unflatten(1, (video_length, dim_motion))
        h, frames = torch.zeros(len(z), self.recurrent.hidden_size), []
        for t in range(video_length):
            h = self.recurrent(motion[:, t], h)
            frames.append(self.main(torch.cat([content, h], 1)).view(-1, 1, size, size))
        return torch.stack(frames, 2)

    def sample_images(self, num_samples):
        return one_frame(self(noise(num_samples)))

    def sample_videos(self, num_samples):
        return self(noise(num_samples))


class Discriminator(nn.Module):
    """One score [n] for each image or clip, by its kind of convolution."""

    def __init__(self, conv, flat, kernel=4, ndf=16):
        super().__init__()
        convs = [conv(1, ndf, kernel, 2, 1), nn.LeakyReLU(0.2), conv(ndf, 2 * ndf, kernel, 2, 1), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*convs, nn.Flatten(), nn.Linear(flat * ndf, 1))

    def forward(self, x):
        return self.main(x).view(-1)


def noise(n):
    return torch.randn(n, dim_content + video_length * dim_motion)


def one_frame(videos):
    return videos[torch.arange(len(videos)), :, torch.randint(videos.shape[2], (len(videos),))]


def videos(n):
    """Return clips of a spot that moves straight ahead."""
    t, grid = torch.arange(video_length).float(), torch.arange(size).float()
    place, speed = 2 + 3 * torch.rand(n, 2, 1), torch.rand(n, 2, 1) * 0.8 - 0.4
    rows, columns = ((place + speed * t)[:, axis, :, None] - grid for axis in (0, 1))
    return (2 * torch.exp(-(rows[..., None].square() + columns[:, :, None].square()) / 6) - 1)[:, None]


def train_discriminator(discriminator, sample_true, sample_fake, opt, batch_size):
    opt.zero_grad()
    real_batch, fake_batch = sample_true(batch_size), sample_fake(batch_size)
    real_labels, fake_labels = discriminator(real_batch), discriminator(fake_batch.detach())
    l_discriminator = gan_criterion(real_labels, torch.ones_like(real_labels))
    l_discriminator += gan_criterion(fake_labels, torch.zeros_like(fake_labels))
    l_discriminator.backward()
    opt.step()
    return l_discriminator


def train_generator(generator, judges, opt, batch_size):
    opt.zero_grad()
    l_generator = 0
    for discriminator, sample_fake in judges:
        fake_labels = discriminator(sample_fake(batch_size))
        l_generator += gan_criterion(fake_labels, torch.ones_like(fake_labels))
    l_generator.backward()
    opt.step()
    return l_generator


torch.manual_seed(0)
generator = VideoGenerator()
image_discriminator, video_discriminator = Discriminator(nn.Conv2d, 8), Discriminator(nn.Conv3d, 8)
opt_generator, opt_image, opt_video = (
    optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-5)
    for net in (generator, image_discriminator, video_discriminator)
)
judges = [(image_discriminator, generator.sample_images), (video_discriminator, generator.sample_videos)]
told = {"features": lambda x: x.flatten(1), "d_forward": lambda d, x: d["video"](x), "out": "reports/clips"}
discriminators = {"video": video_discriminator, "image": image_discriminator}
monitor = ganbench.Monitor(generator, discriminators, videos, noise, **told)

frames = lambda n: one_frame(videos(n))  # noqa: E731
for _ in range(400):
    l_image = train_discriminator(image_discriminator, frames, generator.sample_images, opt_image, 32)
    l_video = train_discriminator(video_discriminator, videos, generator.sample_videos, opt_video, 32)
    l_gen = train_generator(generator, judges, opt_generator, 32)
    monitor.step(d_loss={"image": l_image, "video": l_video}, g_loss=l_gen)
monitor.close()
