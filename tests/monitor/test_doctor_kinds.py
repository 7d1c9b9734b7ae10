"""Which of the samples that D is given the doctor takes for what G made."""

import pytest
import torch
from traces import Same, Sum

from ganbench.monitor.doctor.watching import Watching


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Same(), Sum()


@pytest.fixture
def watch(pair):
    made = Watching([pair[0]], [pair[1]])
    yield made
    made.close()


def told(watch, pair, x):
    pair[1](x)
    call = watch.trace.calls[-1]
    return call.kind, call.fake_rows


def made(pair, *shape, **given):
    return pair[0](torch.randn(*shape, **given)).detach()


def test_what_g_made_is_fake_and_the_rest_is_real(watch, pair):
    fake = made(pair, 4, 3)
    assert told(watch, pair, fake) == ("fake", slice(0, 4))
    assert watch.trace.calls[-1].maker is watch.trace.calls[0]
    real = torch.randn(4, 3)
    assert told(watch, pair, real) == ("real", None)
    assert watch.trace.calls[-1].maker is None
    assert told(watch, pair, torch.cat([real, fake])) == ("mixed", slice(4, 8))
    assert told(watch, pair, torch.cat([fake, real])) == ("mixed", slice(0, 4))
    assert told(watch, pair, torch.cat([real, fake])[1:]) == ("mixed", slice(3, 7))
    assert told(watch, pair, fake[:3])[0] == "fake"  # by its numbers: a part of a batch
    assert told(watch, pair, fake.double()) == ("fake", slice(0, 4))


def test_more_rows_than_are_kept(watch, pair):
    fake, real = made(pair, 40, 3), torch.randn(20, 3)
    assert told(watch, pair, fake) == ("fake", slice(0, 40))
    assert told(watch, pair, torch.cat([real, fake])) == ("mixed", slice(20, 60))
    assert told(watch, pair, torch.cat([fake, real])) == ("mixed", slice(0, 40))
    assert told(watch, pair, fake[:30]) == ("fake", slice(0, 30))


def test_the_call_that_made_the_fakes_is_the_latest_of_this_step_or_the_one_before(watch, pair):
    z = torch.randn(4, 3)
    for step, (kind, maker) in enumerate([("fake", 0), ("fake", 0), ("fake", None)]):
        watch.trace.steps = step
        if step == 0:
            fake = pair[0](z).detach()
        told(watch, pair, fake)
        call = watch.trace.calls[-1]
        assert (call.kind, call.maker is watch.trace.calls[0]) == (kind, maker == 0)
    pair[0](z)
    pair[0](z)
    told(watch, pair, fake)
    assert watch.trace.calls[-1].maker is watch.trace.calls[-2]


def test_scaled_fakes_are_fakes(watch, pair):
    fake = made(pair, 4, 3)
    assert told(watch, pair, 3 * fake + 7) == ("fake", slice(0, 4))
    other = fake.clone()
    other[0, 0] += 0.01
    assert told(watch, pair, other) == ("real", None)
    other = fake.clone()
    other[0, 0] += 1e-5
    assert told(watch, pair, other) == ("fake", slice(0, 4))
    assert told(watch, pair, -fake) == ("real", None)
    # three numbers are always alike up to two of them, and so are equal ones
    few = made(pair, 3, 1)
    few[2] = (few[0] + few[1]) / 2
    pair[0](few)
    assert told(watch, pair, 2 * few) == ("real", None)
    pair[0](torch.ones(4, 3))
    assert told(watch, pair, torch.full((4, 3), 2.0)) == ("real", None)


def test_a_condition_beside_the_fakes(watch, pair):
    fake, beside = made(pair, 4, 2, 5), torch.randn(4, 1, 5)
    assert told(watch, pair, torch.cat([fake, beside], 1)) == ("fake", slice(0, 4))
    assert told(watch, pair, torch.cat([beside, fake], 1)) == ("fake", slice(0, 4))
    rows = made(pair, 4, 2)
    assert told(watch, pair, torch.cat([torch.randn(4, 3), rows], 1)) == ("fake", slice(0, 4))
    pair[0](fake)
    real = torch.randn(4, 3, 5)
    assert told(watch, pair, torch.cat([torch.cat([fake, beside], 1), real])) == ("mixed", slice(0, 4))
    for other in (fake[:, :1], fake[..., :4], torch.cat([fake, beside], 1)[..., :4], fake.flatten(1), fake[:, 0, 0]):
        watch._fakes.clear()
        assert told(watch, pair, other)[0] == "real"


@pytest.mark.parametrize(("fakes", "kind"), [(9, "fake"), (8, "real")])
def test_a_pool_of_nine_tenths_fakes(watch, pair, fakes, kind):
    pool = made(pair, 30, 9)
    watch.trace.steps = 5
    assert told(watch, pair, torch.cat([torch.randn(10 - fakes, 9), pool[:fakes].flip(0)])) == (kind, None)


def test_samples_are_known_by_eight_numbers_four_of_them_different(watch, pair):
    def known(sample):
        watch.trace.steps += 5
        pair[0](sample)
        watch.trace.steps += 5
        return told(watch, pair, sample)[0] == "fake"

    assert known(torch.tensor([[1.0, 2, 3, 4, 4, 4, 4, 4]]))
    assert not known(torch.tensor([[1.0, 2, 3, 3, 3, 3, 3, 3]]))
    assert known(torch.tensor([[1.0, 2.0, 3.0]]))  # all that there are
    assert not known(torch.tensor([[1.0, 2.0, 2.0]]))
    # the places go from the first to the last: of 15 every second
    assert known(torch.tensor([[1.0, 9, 2, 9, 3, 9, 4, 9, 4, 9, 4, 9, 4, 9, 4]]))
    assert not known(torch.tensor([[9.0, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9, 7, 9]]))


def test_known_by_its_last_number_too(watch, pair):
    sample = torch.arange(15.0)[None]
    pair[0](sample)
    watch.trace.steps = 5
    other = sample.clone()
    other[0, 14] = 77
    assert told(watch, pair, other)[0] == "real"
    other = sample.clone()
    other[0, 13] = 77  # not looked at
    assert told(watch, pair, other)[0] == "fake"


@pytest.mark.parametrize(("later", "kind"), [(0, "fake"), (1, "fake"), (2, "real")])
def test_flat_fakes_are_known_by_their_first_rows_for_a_step(watch, pair, later, kind):
    """As black images are, which have no numbers to be known by, made by a network that is not watched."""
    black = torch.zeros(4, 9)
    pair[1](black + torch.zeros(4, 9, requires_grad=True) * 1)
    call = watch.trace.calls[-1]
    assert (call.kind, call.attached, call.leaf) == ("fake", True, False)
    watch.trace.steps = later
    assert told(watch, pair, black)[0] == kind
    assert told(watch, pair, black + 1)[0] == "real"
    assert told(watch, pair, black[:3])[0] == "real"


def test_fakes_that_nobody_saw_made_are_known_again_later(watch, pair):
    pool = torch.randn(8, 9)
    pair[1](pool + torch.zeros(8, 9, requires_grad=True) * 1)
    watch.trace.steps = 7
    assert told(watch, pair, pool.flip(0)) == ("fake", None)
    real = torch.randn(8, 9)
    assert told(watch, pair, real) == ("real", None)
    assert told(watch, pair, real) == ("real", None)


def test_samples_of_one_number(watch, pair):
    """A batch of numbers has one axis."""
    fake = made(pair, 8)
    assert told(watch, pair, fake) == ("fake", slice(0, 8))
    assert told(watch, pair, torch.randn(8)) == ("real", None)
    assert watch.trace.calls[-1].shape == ()


def test_an_input_that_takes_a_gradient_of_its_own(watch, pair):
    x = torch.randn(4, 3)
    pair[1](x)
    pair[1](x.clone().requires_grad_())
    assert [(call.kind, call.attached, call.leaf) for call in watch.trace.calls] == [
        ("real", False, False), ("real", False, True),
    ]  # fmt: skip
