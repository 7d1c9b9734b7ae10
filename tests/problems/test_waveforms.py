"""Waveforms that are given with a spectrogram: spectra by scipy, tones by numpy, and every phase that is right."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.signal import stft

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import stream
from ganbench.problems.features import extractor
from ganbench.problems.waveforms import mel_bands, power, spectrogram

AT = np.arange(256) / 256
TONES = [
    (cycles, np.array(loud) / sum(loud), peak)
    for cycles in (16, 24, 32, 40)
    for loud in ([1, 0.5, 0.25], [0.5, 0.75, 1], [1, 0, 0.7])
    for peak in (None, 0.25, 0.75)
]
"""Pitch, partials and loudest place of every tone, in the order in which they are told."""


def sounding(tone, phases):
    """Return a tone's waveform [256] of the phases of its partials."""
    cycles, loud, peak = tone
    envelope = np.ones(256) if peak is None else np.sqrt(1 + 0.9 * np.cos(2 * np.pi * (AT - peak)))
    partials = [
        a * np.cos(2 * np.pi * cycles * k * AT + p) for k, (a, p) in enumerate(zip(loud, phases, strict=True), 1)
    ]
    return 0.65 * envelope * sum(partials)


def energies_by_scipy(x):
    """Return energies [..., 33, 8] of waveforms [..., 256] that go on at their other end."""
    around = np.concatenate([x[..., -16:], x, x[..., :16]], -1)
    spectra = stft(around, window="hann", nperseg=64, noverlap=32, boundary=None, padded=False, scaling="spectrum")[2]
    return np.abs(spectra) ** 2


def bands_by_numpy(energies):
    """Return energies [..., 33, 8] in triangles whose corners are evenly spaced in mel, [..., 8, 8]."""
    corners = 700 * (np.exp(np.linspace(0, math.log(1 + 4000 / 700), 10)) - 1)
    at = np.linspace(0, 4000, 33)
    triangles = np.stack([np.interp(at, corners[k : k + 3], [0, 1, 0]) for k in range(8)])
    return triangles @ energies


def told_by_numpy(energies):
    return (np.log10(energies + 1e-4) + 2.6) / 1.4


@pytest.fixture(scope="module")
def problem():
    return registry.get("problem", "waveforms")()


@pytest.fixture(scope="module")
def silent():
    """Without noise: what is drawn is right to the last digit of single precision."""
    return registry.get("problem", "waveforms")(noise=0.0)


@pytest.fixture(scope="module")
def tones(silent):
    """What is given with every tone [36, 1, 8, 8]."""
    return silent.given_with(torch.arange(36))


def test_spectrograms_are_scipys(problem):
    x = torch.randn(5, 256, dtype=torch.float64, generator=stream("test", 0))
    wanted = energies_by_scipy(x.numpy())
    np.testing.assert_allclose(power(x).mT.numpy(), wanted, atol=1e-12)
    np.testing.assert_allclose(spectrogram(x)[:, 0].numpy(), told_by_numpy(bands_by_numpy(wanted)), atol=1e-9)
    assert problem.truth.given_of(x).shape == (5, *problem.gives.shape)


def test_a_cosine_has_a_quarter_of_its_square_at_its_frequency():
    x = torch.tensor(0.5 * np.cos(2 * np.pi * 20 * AT + 1))
    # 20 cycles in 256 samples are 5 in a frame; a Hann window has half as much of an amplitude on both sides
    assert power(x)[:, 4:7].mean(0).tolist() == pytest.approx([0.0625 / 4, 0.0625, 0.0625 / 4])
    assert power(x)[:, [0, 1, 2, 8, 30]].max() < 1e-12


def test_no_frequency_is_lost_between_bands():
    """Beside each other's middles triangles sum to 1: from the first middle to the last."""
    sums = mel_bands().sum(1)
    assert sums[2:25].tolist() == pytest.approx([1.0] * 23)
    assert (mel_bands() >= 0).all()


def test_what_is_given_is_the_energy_expected_over_phases_and_noise(silent, tones):
    answers = silent.truth.answers(tones).double().numpy()
    # their phases are spread evenly, alone and against each other: the mean over them is that over all phases
    expected = bands_by_numpy(energies_by_scipy(answers).mean(1))
    np.testing.assert_allclose(tones[:, 0].numpy(), told_by_numpy(expected), atol=2e-5)
    noisy = registry.get("problem", "waveforms")(noise=0.05)
    drawn = 0.05 * np.random.default_rng(0).standard_normal((4000, 256))
    more = bands_by_numpy(energies_by_scipy(drawn)).mean((0, 2))
    found = 10 ** (1.4 * noisy.given_with(torch.arange(36))[:, 0].double().numpy() - 2.6) - 1e-4
    np.testing.assert_allclose((found - expected).mean((0, 2)), more, rtol=0.03)


def test_what_is_right_are_the_tones_of_any_phases(silent, tones):
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (36, 3))
    x = torch.tensor(np.stack([sounding(*one) for one in zip(TONES, phases, strict=True)]))
    away = silent.truth.away(x, tones)
    assert away.diagonal().max() < 1e-7
    # another tone's truth is far: least where only the loudest place differs
    assert (away + torch.eye(36)).min() > 0.05
    assert silent.truth.content(x).tolist() == [0] * 9 + [1] * 9 + [2] * 9 + [3] * 9
    for place, answers in enumerate(silent.truth.answers(tones[::7])):
        assert silent.truth.away(answers, tones[::7])[:, place].max() < 1e-6


def test_the_distance_to_what_is_right_is_the_least_over_all_phases(silent, tones):
    random = np.random.default_rng(2)
    x = 0.3 * random.standard_normal((2, 256))
    found = silent.truth.away(torch.tensor(x), tones[[3, 29]])
    for row, one in enumerate(x):
        for column, tone in enumerate((TONES[3], TONES[29])):
            off = lambda phases: np.sqrt(np.mean((one - sounding(tone, phases)) ** 2))  # noqa: B023, E731
            least = min(minimize(off, random.uniform(0, 2 * np.pi, 3)).fun for _ in range(12))
            assert found[row, column].item() == pytest.approx(least, abs=1e-6)


def test_samples_are_right_with_noise_and_their_phases_are_anywhere(problem):
    x, given = problem.draw(3000, stream("test", 1))
    kind = (given[:, None] == problem.given_with(torch.arange(36))).flatten(2).all(2).long().argmax(1)
    # of 36 as likely ones: five standard errors of a count
    assert (kind.bincount(minlength=36) - 3000 / 36).abs().max() < 5 * (3000 / 36) ** 0.5
    off = problem.truth.away(x, problem.given_with(torch.arange(36)))[torch.arange(3000), kind]
    # of 256 numbers the 3 phases are fitted
    assert off.square().mean().sqrt().item() == pytest.approx(0.01 * math.sqrt(253 / 256), rel=0.01)
    waves = np.stack([np.exp(-2j * np.pi * TONES[own][0] * AT) for own in kind.tolist()])
    turned = (x.numpy() * waves).sum(1)
    # the mean of 3000 directions is about 1 / sqrt(3000) long
    assert abs((turned / abs(turned)).mean()) < 4 / math.sqrt(3000)


def test_held_out_truth_is_perfect(silent):
    """Without noise there is no error, and what is heard in one band of another partial's window is next to nothing."""
    oracle = Evaluator(silent, 150, 75).oracle()
    assert oracle["truth_error"] < 1e-6
    assert oracle["given_used"] > 0.9999
    assert oracle["content_kept"] == oracle["content_permuted"] == 1.0
    assert oracle["choice_spread"] == pytest.approx(1.0, abs=0.02)
    assert oracle["consistency"] < 0.01


def test_spaces_hear_no_phase(silent):
    """Two draws of the same tones in other phases are alike, and waveforms are not."""
    x, given = silent.oracle(50)
    other = torch.stack([silent.truth.answers(one[None])[0, 5] for one in given])
    for name, size in (("spectrogram", 64), ("bins", 132)):
        features = extractor(silent, name)
        assert features(x).shape == (50, size)
        assert (features(x) - features(other)).square().mean().sqrt() < 0.02
    assert (x - other).square().mean().sqrt() > 0.2


def test_the_mean_of_all_answers_is_silence_and_that_is_as_far_as_tones_are_loud(silent, tones):
    assert silent.truth.answers(tones).mean(1).abs().max() < 1e-6
    # of mean square .65^2 sum a^2 / 2, whatever the envelope
    loud = [0.65 * math.sqrt((own[1] ** 2).sum() / 2) for own in TONES]
    assert silent.truth.away(torch.zeros(1, 256), tones)[0].tolist() == pytest.approx(loud)
    assert np.mean(loud) == pytest.approx(0.302, abs=5e-4)


def test_finite_samples_come_with_what_is_given():
    finite = registry.get("problem", "waveforms")(samples=20)
    x, given = finite.draw(100, stream("test", 2))
    assert len(x.unique(dim=0)) == 20
    every = finite.given_with(torch.arange(36))
    assert finite.truth.away(x, every).amin(1).max() < 0.015
    assert (
        finite.truth.away(x, every).argmin(1) == finite.truth.away(finite.truth.answers(given)[:, 0], every).argmin(1)
    ).all()


@pytest.mark.parametrize("noise", [-0.1, 0.2])
def test_other_noise_is_refused(noise):
    with pytest.raises(UserError, match=r"takes 0 to \.1 as 'noise'"):
        registry.get("problem", "waveforms")(noise=noise)
