"""Sentences of a small grammar as soft one-hots: Gumbel's softmax gets colder, the losses are relativistic."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as in the code that it is like

import ganbench

vocab_size, max_seq_len, batch_size, noise_dim, adv_steps, target_temp, clip_norm = 9, 6, 64, 16, 200, 3, 5.0


def soft(logits, temperature):
    """Return near one-hots [n, 6, 9] of words drawn by their logits."""
    gumbel = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)))
    return F.softmax((logits + gumbel) * temperature, dim=-1)


class GumbelGenerator(nn.Module):
    """Writes all words at once; Gumbel noise chooses among them, softly."""

    def __init__(self, hidden_dim=96):
        super().__init__()
        self.temperature = 1.0
        self.begin = nn.Sequential(
            nn.Linear(noise_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.hidden2out = nn.Linear(hidden_dim, max_seq_len * vocab_size)

    def forward(self, noise):
        logits = self.hidden2out(self.begin(noise)).view(-1, max_seq_len, vocab_size)
        return soft(logits, self.temperature)


class CNNDiscriminator(nn.Module):
    def __init__(self, embed_dim=24, filters=32):
        super().__init__()
        self.embeddings = nn.Linear(vocab_size, embed_dim, bias=False)
        self.convs = nn.ModuleList([nn.Conv1d(embed_dim, filters, width) for width in (2, 3, 4)])
        self.highway = nn.Linear(3 * filters, 3 * filters)
        self.feature2out = nn.Linear(3 * filters, 1)

    def forward(self, inp):
        emb = self.embeddings(inp).transpose(1, 2)
        pred = torch.cat([F.leaky_relu(conv(emb), 0.2).amax(2) for conv in self.convs], 1)
        gate = torch.sigmoid(self.highway(pred))
        return self.feature2out(gate * F.relu(self.highway(pred)) + (1 - gate) * pred).squeeze(1)


def sentences(n):
    """Return near one-hots [n, 6, 9] of: article, noun, verb, article, noun, stop."""
    choices = [torch.tensor(words) for words in ([0, 1], [2, 3, 4], [5, 6], [0, 1], [2, 3, 4], [8])]
    tokens = torch.stack([words[torch.randint(len(words), (n,))] for words in choices], 1)
    tokens[:, 2] = torch.where(tokens[:, 1] == 4, 7, tokens[:, 2])
    return soft(4 * F.one_hot(tokens, vocab_size).float(), 3)


def optimize(opt, loss, model):
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    opt.step()


def get_losses(d_out_real, d_out_fake):
    bce = nn.BCEWithLogitsLoss()
    d_loss = bce(d_out_real - d_out_fake, torch.ones_like(d_out_real))
    g_loss = bce(d_out_fake - d_out_real, torch.ones_like(d_out_fake))
    return g_loss, d_loss


def adv_train_generator(g_step=1):
    total_loss = 0.0
    for _ in range(g_step):
        gen_samples = gen(torch.randn(batch_size, noise_dim))
        g_loss, _ = get_losses(dis(sentences(batch_size)), dis(gen_samples))
        optimize(gen_opt, g_loss, gen)
        total_loss += g_loss.item()
    return total_loss / g_step


def adv_train_discriminator(d_step=1):
    total_loss = 0.0
    for _ in range(d_step):
        with torch.no_grad():
            gen_samples = gen(torch.randn(batch_size, noise_dim))
        _, d_loss = get_losses(dis(sentences(batch_size)), dis(gen_samples))
        optimize(dis_opt, d_loss, dis)
        total_loss += d_loss.item()
    return total_loss / d_step


torch.manual_seed(0)
gen, dis = GumbelGenerator(), CNNDiscriminator()
gen_opt = torch.optim.Adam(gen.parameters(), lr=1e-3, betas=(0.5, 0.999))
dis_opt = torch.optim.Adam(dis.parameters(), lr=1e-3, betas=(0.5, 0.999))
monitor = ganbench.Monitor(gen, dis, sentences, noise_dim, features=lambda x: x.flatten(1), out="reports/sentences")

for adv_epoch in range(adv_steps):
    gen.temperature = target_temp ** (adv_epoch / adv_steps)
    g_loss = adv_train_generator()
    d_loss = adv_train_discriminator()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
monitor.close()
