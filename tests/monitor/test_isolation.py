"""Watching changes nothing: random states, flags, buffers, gradients and parameters stay bit for bit what they were."""

import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ganbench import Monitor
from ganbench.monitor.isolation import flagged, is_main_process, own_randomness, untouched, unwrapped

SIZES = {"samples": 64, "neighbours": 32, "batch_size": 16}


def networks():
    """Return networks with everything that a forward pass can move: batch norm, dropout, both spectral norms."""
    torch.manual_seed(3)
    generator = nn.Sequential(
        nn.Linear(4, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(True),
        nn.Dropout(0.3),
        nn.Linear(16, 16),
        nn.Tanh(),
        nn.Linear(16, 2),
    )
    discriminator = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(2, 16)),
        nn.LeakyReLU(0.2, inplace=True),
        nn.utils.spectral_norm(nn.Linear(16, 16)),
        nn.Dropout(0.3),
        nn.utils.parametrizations.weight_norm(nn.Linear(16, 1)),
    )
    return generator, discriminator


def state(*modules):
    """Return everything about modules and the process that a probe could have changed."""
    found = {}
    for place, module in enumerate(modules):
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            found[place, name] = tensor.detach().clone(), tensor.data_ptr(), tensor._version, tensor.requires_grad
        for name, parameter in module.named_parameters():
            found[place, name, "grad"] = None if parameter.grad is None else parameter.grad.clone()
        for name, part in module.named_modules():
            plain = {key: value for key, value in vars(part).items() if isinstance(value, torch.Tensor)}
            found[place, name, "part"] = part.training, len(part._forward_hooks), len(part._forward_pre_hooks), plain
    found["torch"], found["python"] = torch.get_rng_state(), random.getstate()
    found["numpy"] = np.random.get_state()  # noqa: NPY002
    found["modes"] = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
    return found


def equal(a, b):
    if isinstance(a, torch.Tensor | np.ndarray):
        return bool((torch.as_tensor(a) == torch.as_tensor(b)).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("loss", [None, "hinge"])
@pytest.mark.parametrize("diagnostics", ["cheap", "expensive"])
def test_a_probe_changes_no_bit(tmp_path, mode, loss, diagnostics):
    generator, discriminator = networks()
    generator[1].eval()  # frozen, as some loops have it
    discriminator[0].bias.requires_grad_(False)
    discriminator(generator(torch.randn(8, 4))).sum().backward()
    before = state(generator, discriminator)
    assert equal(before, state(generator, discriminator))
    monitor = Monitor(
        generator, discriminator, lambda n: torch.randn(n, 2), lambda n: torch.rand(n, 4), out=tmp_path / "it",
        every=1, mode=mode, loss=loss, diagnostics=diagnostics, **SIZES,
    )  # fmt: skip
    monitor.step(d_loss=torch.tensor(1.0, requires_grad=True), g_loss=2.0)
    monitor.close()
    after = state(generator, discriminator)
    assert [key for key in before if not equal(before[key], after[key])] == []
    # and yet the probe has seen the networks
    assert monitor.series["d_spectral_norm"].notna().all()


def test_a_probe_between_forward_and_backward_harms_neither(tmp_path):
    generator, discriminator = networks()
    monitor = Monitor(generator, discriminator, lambda n: torch.randn(n, 2), 4, out=tmp_path / "it", every=1, **SIZES)
    torch.manual_seed(1)
    loss = discriminator(generator(torch.randn(8, 4))).sum()
    expected = torch.autograd.grad(loss, list(discriminator.parameters()), retain_graph=True)
    monitor.step(d_loss=loss, g_loss=loss)
    loss.backward()
    assert all(equal(own.grad, want) for own, want in zip(discriminator.parameters(), expected, strict=True))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_same_loop_with_and_without_a_monitor_ends_at_the_same_bits(tmp_path, mode):
    def train(watched):
        generator, discriminator = networks()
        draws = torch.Generator().manual_seed(5)
        data = TensorDataset(torch.randn(256, 2, generator=draws), torch.zeros(256))
        loader = DataLoader(data, batch_size=32, shuffle=True, generator=draws)
        monitor = None
        if watched:
            monitor = Monitor(
                generator, discriminator, loader, 4, out=tmp_path / mode, every=3, mode=mode, loss="hinge", **SIZES
            )
        optimizers = [torch.optim.Adam(m.parameters(), lr=1e-2) for m in (discriminator, generator)]
        for _ in range(2):
            for real, _labels in loader:
                for player, optimizer in enumerate(optimizers):
                    noise = torch.randn(32, 4) + np.random.rand() + random.random()  # noqa: NPY002
                    fake = discriminator(generator(noise))
                    loss = fake.mean() if player == 0 else -fake.mean()
                    loss = loss - discriminator(real).mean() if player == 0 else loss
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                if monitor:
                    monitor.step(d_loss=loss, g_loss=loss)
        if monitor:
            assert monitor.series["step"].tolist() == [0, 3, 6, 9, 12, 15]
        return [tensor.clone() for m in (generator, discriminator) for tensor in m.state_dict().values()]

    ends = []
    for watched in (False, True):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        ends.append(train(watched))
    assert equal(*ends)


def test_probes_run_without_autocast_and_with_gradients_whatever_surrounds_a_step(tmp_path):
    generator, discriminator = networks()
    plain = Monitor(generator, discriminator, problem="ring8", latent=4, out=tmp_path / "a", every=1, **SIZES)
    inside = Monitor(generator, discriminator, problem="ring8", latent=4, out=tmp_path / "b", every=1, **SIZES)
    plain.step()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        inside.step()
    first, second = (m.series.drop(columns="seconds_per_step") for m in (plain, inside))
    assert first.equals(second)


def test_real_samples_are_the_same_whatever_the_seed_of_the_loop(tmp_path):
    """Runs of different seeds in one study are measured against the same samples of a shuffled loader."""
    generator, discriminator = networks()
    data = TensorDataset(torch.randn(300, 2))
    for seed in (0, 1):
        torch.manual_seed(seed)
        loader = DataLoader(data, batch_size=32, shuffle=True)
        Monitor(generator, discriminator, loader, 4, out=tmp_path / "it", seed=seed, **SIZES).close()


def draws():
    return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_random_numbers_of_a_block_are_its_own():
    def before():
        torch.manual_seed(1)
        np.random.seed(2)  # noqa: NPY002
        random.seed(3)

    before()
    outside = draws()
    before()
    with own_randomness():
        first = draws()
    assert draws() == outside
    with own_randomness():
        assert draws() == first
    with own_randomness(7):
        assert all(a != b for a, b in zip(draws(), first, strict=True))
    torch.manual_seed(0)
    assert torch.rand(1).item() == first[0], "seeded with 0"
    before()
    with suppress(ZeroDivisionError), own_randomness():
        draws()
        raise ZeroDivisionError
    assert draws() == outside


def test_flags_are_those_asked_for_and_then_what_they_were():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2))
    module[1].eval()
    before = [part.training for part in module.modules()]
    assert before == [True, True, False, True]
    for training in (True, False):
        with flagged(training, module):
            assert {part.training for part in module.modules()} == {training}
        assert [part.training for part in module.modules()] == before
    with flagged(None, module):
        assert [part.training for part in module.modules()] == before
    with suppress(ZeroDivisionError), flagged(False, module):
        raise ZeroDivisionError
    assert [part.training for part in module.modules()] == before


def test_a_block_on_modules_is_in_full_precision_with_gradients_and_leaves_no_plain_tensor():
    module = nn.Linear(2, 2)
    module.plain = torch.ones(2)
    kept = module.plain
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), suppress(ZeroDivisionError), untouched(module):
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert not module.training
        module.plain = torch.zeros(2)
        raise ZeroDivisionError
    assert module.plain is kept
    assert module.training
    with untouched(module, evaluate=False):
        assert module.training
        drawn = draws()
    with untouched(module):
        assert draws() == drawn


@pytest.mark.parametrize(("available", "initialized", "rank", "main"), [
    (False, False, 1, True), (True, False, 1, True), (True, True, 0, True), (True, True, 1, False),
])  # fmt: skip
def test_the_main_process_is_alone_or_the_first(monkeypatch, available, initialized, rank, main):
    monkeypatch.setattr(torch.distributed, "is_available", lambda: available)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: initialized, raising=False)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank, raising=False)
    assert is_main_process() is main


def test_on_another_rank_a_monitor_does_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("ganbench.monitor.monitor.is_main_process", lambda: False)
    with Monitor(nn.Linear(2, 2), nn.Linear(2, 1), 3, 0, out=tmp_path / "it", every=1, **SIZES) as monitor:
        for _ in range(3):
            monitor.step(d_loss=float("nan"))
    assert (monitor.steps, monitor.verdicts, monitor.verdict, monitor.series.empty) == (3, (), None, True)
    assert not (tmp_path / "it").exists()


def test_wrappers_of_wrappers_are_looked_through():
    inner = nn.Linear(2, 1)
    assert unwrapped(nn.DataParallel(torch.compile(nn.DataParallel(inner), backend="eager"))) is inner
    inner._orig_mod = "a name that a module of one's own may use too"
    assert unwrapped(inner) is inner
