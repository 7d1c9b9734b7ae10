"""What a script does is what the work did: to tensors that it reads, by whatever calls, each time it is played."""

import subprocess
import sys

import pytest
import torch

from ganbench.training.scripted import ScriptTape


def played(work, *reads, times=3):
    """Return what reads hold after the work was done so many times, and after its script was played as often."""
    before = [own.clone() for own in reads]
    tape = ScriptTape()
    tape.record(work, reads)
    torch.testing.assert_close(list(reads), before, rtol=0, atol=0, equal_nan=True, msg="recording leaves a trace")
    for _ in range(times):
        tape.play()
    script = [own.clone() for own in reads]
    for own, value in zip(reads, before, strict=True):
        own.copy_(value)
    for _ in range(times):
        work()
    return [own.clone() for own in reads], script


def assert_same(work, *reads):
    plain, script = played(work, *reads)
    for one, other in zip(plain, script, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_views_that_were_taken_before_share_their_memory():
    x = torch.arange(6.0)
    row = x.view(2, 3)[1]
    assert_same(lambda: row.mul_(2).add_(x[0] + 1), x)
    assert_same(lambda: x.view(3, 2).t()[0].sub_(row.sum()), x)


def test_calls_that_return_several_tensors():
    x, y = torch.arange(6.0), torch.zeros(3)

    def work():
        first, second = x.split(3)
        y.add_(first.max(dim=0).values * second).add_(torch.stack(x.unbind()[:3]))
        x.mul_(0.5)

    assert_same(work, x, y)


def test_numbers_of_python_are_new_each_time():
    x = torch.ones(2)

    def work():
        own = torch.tensor([1.0, 2.0])
        own.add_(x)
        x.copy_(own)

    plain, script = played(work, x)
    assert plain[0].tolist() == script[0].tolist() == [4.0, 7.0]


def test_numbers_without_a_literal():
    x = torch.tensor([1.0, float("nan"), -2.0])
    assert_same(lambda: x.clamp_(min=-float("inf")).mul_(2).masked_fill_(x > 3, float("inf")), x)


def test_gradients_of_gradients_through_a_vectorised_forward():
    weights, x = torch.linspace(-1, 1, 12).view(3, 2, 2), torch.linspace(0, 1, 8).view(4, 2)

    def work():
        own = weights.detach().requires_grad_()
        inputs = x.expand(3, 4, 2).detach().requires_grad_()
        out = torch.func.vmap(lambda w, batch: torch.tanh(batch @ w).relu())(own, inputs)
        (slope,) = torch.autograd.grad(out.sum(), inputs, create_graph=True)
        (grad,) = torch.autograd.grad(slope.square().sum(), own)
        weights.sub_(grad, alpha=0.1)

    assert_same(work, weights)


def test_what_is_neither_read_nor_made_is_taken_at_its_address():
    x, other = torch.zeros(2), torch.ones(2)
    tape = ScriptTape()
    tape.record(lambda: x.add_(other), [x])
    tape.play()
    other.fill_(10.0)
    tape.play()
    assert x.tolist() == [11.0, 11.0]


@pytest.mark.parametrize(
    "reading", [lambda x: x.sum().item(), lambda x: x.mul_(2) if x.any() else None, lambda x: int(x[0])]
)
def test_a_number_that_is_read_from_a_tensor_is_refused(reading):
    x = torch.arange(3.0)

    def work():
        x.add_(1)
        reading(x)

    with pytest.raises(RuntimeError, match="reads a number"):
        ScriptTape().record(work, [x])
    assert x.tolist() == [0.0, 1.0, 2.0]


def test_recording_does_not_import_the_compiler():
    script = (
        "import sys, torch\nfrom ganbench.training.scripted import ScriptTape\nx = torch.ones(2)\ntape = ScriptTape()\n"
        "tape.record(lambda: x.add_(1), [x])\ntape.play()\nassert x.tolist() == [2.0, 2.0]\n"
        "print([name for name in sys.modules if name in ('torch._dynamo', 'torch._inductor')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
