"""Devices without float64, such as Apple's: shown on a stand-in that refuses every tensor of it."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ganbench import metrics as m
from ganbench import registry
from ganbench.measure import diagnostics, dynamics, spectrum
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics import inputs
from ganbench.problems.base import Modes, stream


class OnSingle(torch.Tensor):
    """A tensor on a device, here called mps, on which nothing is float64: computed on the CPU, and taken there."""

    @staticmethod
    def __new__(cls, inner):
        if inner.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device="mps")

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"OnSingle({list(self.shape)})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        target = kwargs.get("device")
        leaves = target is not None and torch.device(target).type == "cpu"
        if target is not None:
            kwargs["device"] = "cpu"
        plain = tree_map(lambda x: x.inner if isinstance(x, OnSingle) else x, (args, kwargs))
        found = function(*plain[0], **plain[1])

        def back(value):
            if leaves or not isinstance(value, torch.Tensor):
                return value
            return OnSingle(value)

        return tree_map(back, found)


class Device(TorchDispatchMode):
    """Lets tensors be made on that device, under the same condition."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        target = (kwargs or {}).get("device")
        if target is None or torch.device(target).type != "mps":
            return function(*args, **(kwargs or {}))
        return OnSingle.__torch_dispatch__(function, types, args, kwargs)


@pytest.fixture(autouse=True)
def device():
    with Device():
        yield


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream("float32 devices", seed))


MODES = Modes(torch.eye(2, dtype=torch.float64), 0.5, torch.tensor([0.4, 0.6], dtype=torch.float64))
LABELS = torch.arange(60) % 3
ARGUMENTS = {
    "real": normal(80, 2), "fake": normal(2, 60, 2, seed=1), "held_out": normal(50, 2, seed=2), "modes": MODES,
    "real_mean": torch.zeros(2), "fake_mean": torch.ones(2, 2), "real_covariance": torch.eye(2),
    "fake_covariance": 2 * torch.eye(2).expand(2, 2, 2).clone(), "covariance": torch.eye(2), "n": 50, "m": 60,
    "probabilities": normal(2, 9, 4).softmax(-1), "counts": torch.tensor([[3.0, 4.0, 0.0]]), "logits": normal(2, 120),
    "real_labels": torch.arange(80) % 3, "fake_labels": LABELS, "bins": 6, "subset_size": 20,
    "real_maps": normal(40, 7, 2, 2), "fake_maps": normal(30, 7, 2, 2, seed=1),
}  # fmt: skip
# a line alone, and numbers alone
OTHERS = {
    "wasserstein_1d": {"real": normal(80, 1), "fake": normal(2, 60, 1, seed=1)},
    "log_density": {"x": normal(9, 2)},
}
WITHOUT = {"Reference", "expected_authenticity", "expected_coverage", "kl_floor", "prd_curve"}


def test_the_stand_in_refuses_float64():
    single = OnSingle(normal(3, 2))
    assert (single + 1).device.type == "mps"
    assert type(single.cpu()) is torch.Tensor
    with pytest.raises(TypeError, match="no float64"):
        single.double()
    assert not inputs.has_float64(single.device)
    assert inputs.has_float64(torch.device("cpu"))
    assert inputs.exact(single).dtype == torch.float64


@pytest.mark.parametrize("name", sorted(set(m.__all__) - WITHOUT))
def test_a_metric_of_samples_there_is_that_of_the_same_samples_here(name):
    metric = getattr(m, name)
    known = {**ARGUMENTS, **OTHERS.get(name, {})}
    given = {key: known[key] for key in inspect.signature(metric).parameters if key in known}
    away = {
        key: OnSingle(value) if isinstance(value, torch.Tensor) and key != "weights" else value
        for key, value in given.items()
    }
    here, there = metric(**given), metric(**away)
    for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (here, there)), strict=True):
        assert other.device.type == "cpu"
        assert torch.equal(one, other)


def test_a_reference_and_fakes_there():
    reference = m.Reference(OnSingle(normal(80, 3)), neighbours=40)
    expected = m.prdc(m.Reference(normal(80, 3), neighbours=40), normal(60, 3, seed=1))
    assert m.prdc(reference, OnSingle(normal(60, 3, seed=1))) == expected


def test_all_that_a_study_measures_of_fakes_there():
    problem = registry.get("problem", "ring8_labelled")()
    evaluator = Evaluator(problem, 64, 32, metrics=["kid", "cmmd", "class_frechet"])
    draw = problem.oracle(64)
    fakes, given = torch.stack([draw.x, draw.x + 0.1]), torch.stack([draw.given] * 2)
    here, there = evaluator.measure(fakes, given), evaluator.measure(OnSingle(fakes), OnSingle(given))
    assert here.keys() == there.keys() >= {"precision", "label_fidelity", "kid_std", "class_frechet.7"}
    for name, column in here.items():
        assert torch.equal(there[name], column), name


def test_what_is_said_of_logits_weights_and_gradients_there():
    real, fake = normal(2, 30), normal(2, 30, seed=1)

    def game(wrap):
        return SimpleNamespace(real_logits=wrap(real), fake_logits=wrap(fake), boundary=wrap(torch.zeros(2)))

    here, there = diagnostics.logits(game(lambda x: x)), diagnostics.logits(game(OnSingle))
    for name, column in here.items():
        assert torch.equal(column.double(), inputs.exact(there[name])), name
    matrices = normal(2, 5, 4)
    values = spectrum.singular_values(OnSingle(matrices))
    assert torch.equal(values, spectrum.singular_values(matrices))
    assert torch.equal(dynamics.cosine(OnSingle(real), OnSingle(fake)), dynamics.cosine(real, fake))


@pytest.mark.parametrize("has", [True, False])
def test_a_device_of_another_kind_is_asked(monkeypatch, has):
    ones = torch.ones

    def on_the_device(*size, dtype, device):
        assert (size, dtype, device.type) == (((),), torch.float64, "xpu")
        if not has:
            raise RuntimeError("Required aspect fp64 is not supported on the device")
        return ones(*size, dtype=dtype)

    monkeypatch.setattr(torch, "ones", on_the_device)
    inputs.has_float64.cache_clear()
    assert inputs.has_float64(torch.device("xpu")) is has
    inputs.has_float64.cache_clear()
