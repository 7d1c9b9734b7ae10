"""The pair for waveforms by plain loops, and its spectral term by an ordinary one."""

import numpy as np
import pytest
import torch
from overriding import over
from scipy.signal import get_window
from torch.nn.functional import leaky_relu

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.gan.networks.vocoder import Periods
from ganbench.gan.terms import Scene
from ganbench.problems.base import Picture, stream
from ganbench.suite import resolve
from ganbench.training import batched
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

SMALL = ["problem=waveforms", "network=vocoder", "network.vocoder.width=4", "network.vocoder.d_width=2", "seeds=2",
         "steps=8", "batch_size=6", "latent_dim=3", "loss=least_squares", "optimizer=sgd",
         "optimizer.sgd.g_lr=0.1", "optimizer.sgd.d_lr=0.2"]  # fmt: skip


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("vocoder test", 0))


def built(**hypers):
    """Return a pair for waveforms of 64 samples with 4 bands of 8 frames, float64, and no normalization."""
    as_it_is = [lambda layer: layer] * 4
    spec = NetworkSpec((64,), (-1.0, 1.0), 3, *as_it_is, given=Picture((1, 4, 8)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [player.double() for player in registry.get("network", "vocoder")(spec, **hypers)]


@pytest.mark.parametrize("period", [2, 3, 5, 7])
def test_periods_are_rows_of_samples_that_lie_a_period_apart(period):
    x = normal(2, 3, 1, 32)
    found = Periods(period)(x)
    long = -(-32 // period)
    assert found.shape == (2, 3, period, long)
    for place in range(period):
        for turn in range(long):
            at = turn * period + place
            # beyond the end, 32, come the samples before the last one, backwards
            wanted = x[..., 0, at if at < 32 else 62 - at]
            assert torch.equal(found[..., place, turn], wanted)


def convolved(x, layer):
    """Return rows [c, n] through a layer's convolution along the last axis, sum by sum."""
    weight, bias = layer.weight.detach().numpy()[:, :, 0], layer.bias.detach().numpy()
    (_, stride), (_, pad) = layer.stride, layer.padding
    rows = np.pad(x, ((0, 0), (pad, pad)))
    count = (rows.shape[1] - weight.shape[2]) // stride + 1
    return np.array([[(weight[o] * rows[:, stride * k : stride * k + weight.shape[2]]).sum() + bias[o]
                      for k in range(count)] for o in range(len(weight))])  # fmt: skip


def test_d_is_a_critic_a_period_and_a_scale_by_plain_loops():
    _, critic = built(periods="2+3", scales=2, d_width=2)
    x, picture = normal(2, 64), normal(2, 1, 4, 8)
    found = critic(x, picture)
    for own, given, logits in zip(x.numpy(), picture[:, 0].numpy(), found, strict=True):
        heard = np.concatenate([own[None], np.repeat(given, 8, axis=1)])
        # of the mean of four samples at the ends there are three
        halves = np.stack([[row[max(2 * k - 1, 0) : 2 * k + 3].mean() for k in range(32)] for row in heard])
        # 64 samples and two mirrored ones make 22 periods of 3
        mirrored = np.concatenate([heard, heard[:, [62, 61]]], 1)
        rows = [[heard[:, place::2] for place in range(2)], [mirrored[:, place::3] for place in range(3)],
                [heard], [halves]]  # fmt: skip
        wanted = []
        for body, own_rows in zip(critic.body.bodies, rows, strict=True):
            layers = [layer for layer in body if isinstance(layer, torch.nn.Conv2d)]
            said = []
            for row in own_rows:
                for layer in layers[:-1]:
                    row = leaky_relu(torch.tensor(convolved(row, layer)), 0.1).numpy()
                said.append(convolved(row, layers[-1])[0])
            wanted += np.concatenate(said).tolist()
        np.testing.assert_allclose(logits.detach().numpy(), wanted, atol=1e-12)


def test_a_g_of_silent_blocks_raises_each_frame_by_eight():
    """One transposed convolution of 16 taps: a sample is the sum over the two frames that reach it."""
    g, _ = built(blocks=1, width=4)
    first, _, rising, block, _, last, _, _ = g.body
    for layer in block.body:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    z, picture = normal(2, 3), normal(2, 1, 4, 8)
    for own, given, made in zip(z.numpy(), picture[:, 0].numpy(), g(z, picture), strict=True):
        frames = np.concatenate([np.repeat(own[:, None], 8, axis=1), given])
        hidden = leaky_relu(torch.tensor(convolved(frames, first)), 0.1).numpy()
        weight, raised = rising.weight.detach().numpy()[:, :, 0], np.zeros((2, 64))
        for frame in range(8):
            for tap in range(16):
                if 0 <= (at := 8 * frame + tap - 4) < 64:
                    raised[:, at] += hidden[:, frame] @ weight[:, :, tap]
        raised += rising.bias.detach().numpy()[:, None]
        ended = convolved(leaky_relu(torch.tensor(raised), 0.1).numpy(), last)[0]
        np.testing.assert_allclose(made.detach().numpy(), np.tanh(ended), atol=1e-12)


def test_a_d_that_is_not_told_hears_the_waveform_alone():
    _, critic = built(told=False)
    x, picture = normal(2, 64), normal(2, 1, 4, 8)
    assert torch.equal(critic(x, picture), critic(x, picture + 1))
    assert not torch.equal(critic(x, picture), critic(x + 0.1, picture))


def test_every_critic_shows_its_activations():
    """Three an own critic of the five, for diagnostics and for what matches features."""
    _, critic = built()
    states = {name: value[None] for name, value in critic.state_dict().items()}
    seen = []
    batched.forward(critic, states, normal(1, 2, 64), tap=lambda _, x: seen.append(x), given=normal(1, 2, 1, 4, 8))
    assert len(seen) == 3 * 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["network.vocoder.periods=2+x"], "takes numbers above 0, joined by"),
        (["network.vocoder.periods=2+0"], "takes numbers above 0, joined by"),
        (["network.vocoder.scales=-1"], "at least 1 of 'scales', got -1"),
        (["network.vocoder.width=0"], "'network.vocoder.width' must be at least 1"),
    ],
)
def test_what_no_vocoder_can_be_is_refused(words, message):
    (run, *_) = resolve(
        None, over([*[own for own in SMALL if own.split("=")[0] != words[0].split("=")[0]], *words])
    ).runs
    with pytest.raises(UserError, match=message):
        build_networks(run.variant, make_problem(run.variant), 0)


@pytest.mark.parametrize("problem", ["outlines", "ring8"])
def test_it_makes_waveforms_alone(problem):
    with pytest.raises(UserError, match=r"vocoder with problem .*: it (makes waveforms|needs)"):
        resolve(None, [f"problem={problem}", "network=vocoder"])


# ------------------------------------------------------------------------------------------ the spectral term


class Shown:
    def __init__(self, rows):
        self.samples = torch.tensor(rows, dtype=torch.float64)


def test_spectral_is_the_mean_difference_of_features_from_what_is_given():
    """Features x of two samples of two numbers: differences 1, 3 and 0, 2."""
    given = torch.tensor([[[[[1.0, 5.0]]], [[[2.0, 2.0]]]]], dtype=torch.float64)
    one = Scene("g", None, Shown([[[0.0, 2.0], [2.0, 4.0]]]), given, torch.zeros(1, 2, 0), features=lambda x: x)
    assert registry.get("term", "spectral")(one, weight=2.0).tolist() == [2 * (1 + 3 + 0 + 2) / 4]


def mel_by_hand(x):
    """Return log energies [n, 64] of waveforms [n, 256], by numpy's window and torch's transform."""
    window = torch.tensor(get_window("hann", 64))
    around = torch.cat([x[:, -16:], x, x[:, :16]], 1)
    energies = torch.fft.rfft(around.unfold(1, 64, 32) * window / window.sum()).abs().square()
    corners = 700 * (np.exp(np.linspace(0, np.log(1 + 4000 / 700), 10)) - 1)
    triangles = [np.interp(np.linspace(0, 4000, 33), corners[k : k + 3], [0, 1, 0]) for k in range(8)]
    bands = energies @ torch.tensor(np.stack(triangles, 1))
    return (((bands + 1e-4).log10() + 2.6) / 1.4).mT.flatten(1)


def test_a_population_with_the_spectral_term_is_an_ordinary_loop():
    """HiFi-GAN's losses (Kong 2020, eqs. 1, 2 and 5) with halves, by plain torch, one run after the other."""
    runs = list(resolve(None, [*SMALL, "term=spectral", "term.spectral.weight=3"]).runs)
    own = Population(runs, make_problem(runs[0].variant), torch.device("cpu"), torch.float64)
    pairs = [[one.double() for one in build_networks(own.variant, own.problem, run.seed)] for run in own.runs]
    for row, (g, d) in enumerate(pairs):
        x, given, z = own.draw("data", 0)[row], own.given("data", 0)[row], own.draw("d latent", 0)[row]
        loss = (d(x, given) - 1).square().mean() / 2 + d(g(z, given).detach(), given).square().mean() / 2
        _descend(d, loss, 0.2)
        given, z = own.given("g data", 0)[row], own.draw("g latent", 0)[row]
        made = g(z, given)
        apart = (mel_by_hand(made) - given.flatten(1)).abs().mean()
        _descend(g, (d(made, given) - 1).square().mean() / 2 + 3 * apart, 0.1)
    train_step(own)
    for row, pair in enumerate(pairs):
        for player, module in zip((own.generator, own.discriminator), pair, strict=True):
            flat = torch.cat([weight.detach().flatten() for weight in module.parameters()])
            # features are float32
            torch.testing.assert_close(player.flat[row], flat, atol=1e-6, rtol=0)


def _descend(module, loss, rate):
    weights = list(module.parameters())
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= rate * slope
