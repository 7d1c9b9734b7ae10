"""A Monitor with nothing attached says what can be said from what its steps tell, and what it cannot say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ganbench
from ganbench import Monitor, UserError
from ganbench.analysis.verdicts import VERDICTS
from ganbench.monitor import saying

SMALL = {"samples": 128, "neighbours": 32, "every": 10}


def ring(n, modes=8, seed=None):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    angle = torch.randint(modes, (n,), generator=generator) * math.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.03 * torch.randn(n, 2, generator=generator)


@pytest.fixture
def listen(tmp_path):
    torch.manual_seed(0)
    said = []

    def make(**options):
        monitor = Monitor(**{"out": tmp_path / "it", "log": said.append, **SMALL, **options})
        monitor.said = said
        return monitor

    return make


def test_losses_alone(listen):
    monitor = listen()
    for step in range(20):
        monitor.step(d_loss={"real": 1.0, "fake": 0.5 * step}, g_loss=2.0, weight=step)
    monitor.close()
    assert monitor.verdict is None
    assert monitor.series["step"].tolist() == [1, 10, 20]
    # the means of steps 0, 1 to 9, and 10 to 19
    assert monitor.series["d_loss"].tolist() == [1.0, 3.5, 8.25]
    assert monitor.series["d_loss.fake"].tolist() == [0.0, 2.5, 7.25]
    assert monitor.series["weight"].tolist() == [0.0, 5.0, 14.5]
    unsaid = [line for line in monitor.said if "nothing is said" in line]
    assert [line.partition(",")[0] for line in unsaid] == [
        "ganbench: nothing is said of the discriminator's scores", "ganbench: nothing is said of samples",
    ]  # fmt: skip
    study = ganbench.load(monitor.out)
    assert study.damage == []
    assert study.runs["status"].tolist() == ["done"]
    assert study.samples(study.runs["run"][0]) == {}


def test_scores_are_ranked_pair_by_pair_and_scale_by_scale(listen):
    monitor = listen()
    # of 4 x 2 pairs a real score is above a fake one in 6, and equal in 1
    real = torch.tensor([1.0, 2.0, 3.0, 4.0])
    fake = torch.tensor([1.0, 2.5])
    maps = torch.stack([real, real])[..., None].transpose(0, 1) * torch.tensor([0.5, 1.5])[None, :, None]
    for _ in range(10):
        monitor.step(real_logits=[maps, -real], fake_logits=[fake, fake])
    monitor.close()
    last = monitor.series.iloc[-1]
    assert last["d_ranking.0"] == (3 + 0.5 + 2) / 8
    assert last["d_ranking.1"] == 0
    # the scores of a map are averaged over its places, those of scales over each other: 0 for each real one
    assert last["real_logit"] == 0
    assert last["fake_logit"] == 1.75
    assert last["logit_margin"] == -1.75


def test_a_loss_that_is_named_tells_saturation_from_scores(listen):
    monitor = listen(loss="minimax")
    # minimax gives G the derivative sigmoid(logit): at -10 it is 4.5e-5, under 1 % of the .5 where D is undecided
    fake = torch.tensor([-10.0, -10.0, -10.0, 0.0])
    for _ in range(10):
        monitor.step(real_logits=torch.ones(4), fake_logits=fake)
    assert monitor.series["saturation"].tolist() == [0.75, 0.75]
    assert monitor.series["d_fake_accuracy"].iloc[0] == 0.75


def test_findings_of_the_game_from_scores_and_losses(listen):
    monitor = listen()
    for step in range(60):
        lost = step // 10
        monitor.step(d_loss=0.01, g_loss=0.7 + 2.0 * lost, real_logits=torch.full((8,), 1.0 + lost),
                     fake_logits=torch.full((8,), -1.0 - lost))  # fmt: skip
    monitor.close()
    assert [finding.finding for finding in monitor.findings][:1] == ["D separates perfectly"]
    assert any("D separates perfectly since" in line for line in monitor.said)
    assert monitor.verdict is None


def test_samples_are_judged_against_the_first_real_ones(listen):
    monitor = listen()
    for step in range(60):
        monitor.step(fake=ring(32, modes=8 if step < 30 else 1), real=ring(32))
    monitor.close()
    assert monitor.series["step"].tolist() == [10, 20, 30, 40, 50, 60]
    assert monitor.verdict.verdict in ("collapsed", "late collapse")
    assert monitor.verdict.onset == 40
    study = ganbench.load(monitor.out)
    assert study.runs["verdict"].tolist() == [monitor.verdict.verdict]
    assert sorted(study.samples(study.runs["run"][0])) == [10, 20, 30, 40, 50, 60]
    assert study.real_samples("loop").shape[1:] == (2,)


def test_real_samples_may_be_given_at_once(listen):
    monitor = listen(real=ring(600), variant="mine")
    for _ in range(20):
        monitor.step(fake=(ring(64), "beside"))
    monitor.close()
    assert monitor.verdict.verdict == "converged"


def test_every_loop_that_tells_real_samples_is_measured_against_its_own(listen):
    for seed in range(3):
        monitor = listen()
        for step in range(10):
            monitor.step(fake=ring(64, seed=step), real=ring(64, seed=1000 * seed + step))
        monitor.close()
    study = ganbench.load(monitor.out)
    assert study.runs["problem"].tolist() == ["loop", "loop-2", "loop-3"]
    assert study.runs["status"].tolist() == ["done"] * 3


def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(listen):
    monitor = listen()
    for _ in range(20):
        # images in the range of bytes have no features
        monitor.step(fake=255 * torch.rand(16, 1, 8, 8), real=255 * torch.rand(16, 1, 8, 8), d_loss=1.0)
    monitor.close()
    assert monitor.series["d_loss"].tolist() == [1.0, 1.0]
    assert any("nothing is said of samples: 'real' holds images in [" in line for line in monitor.said)


def test_fakes_of_another_shape_are_said(listen):
    monitor = listen(real=ring(600))
    for _ in range(10):
        monitor.step(fake=torch.rand(64, 3))
    assert any("fakes have the shape [3], real ones [2]" in line for line in monitor.said)


def test_too_few_fakes_are_said(listen):
    monitor = listen(real=ring(600))
    for step in range(20):
        monitor.step(**({"fake": ring(8)} if step == 0 else {}))
    assert any("8 fakes were told last, and 128 are measured" in line for line in monitor.said)


def test_nan_among_fakes_is_divergence(listen):
    monitor = listen(real=ring(600))
    for step in range(20):
        monitor.step(fake=ring(64) if step < 15 else torch.full((64, 2), math.nan))
    assert monitor.verdict.verdict == "diverged"
    assert ganbench.load(monitor.out).runs["status"].tolist() == ["diverged"]


def test_losses_that_are_nan_from_the_first_step_on_are_divergence(listen):
    monitor = listen()
    for _ in range(30):
        monitor.step(d_loss=math.nan)
    assert monitor.verdict.verdict == "diverged"
    assert monitor.verdict.onset == 1
    assert ganbench.load(monitor.out).damage == []


def test_a_loop_that_ends_before_its_first_step_leaves_no_damage(listen):
    monitor = listen()
    monitor.close()
    assert ganbench.load(monitor.out).damage == []


@pytest.mark.parametrize(
    ("told", "said"),
    [({"real_logits": "high"}, "'real_logits' must be D's scores"), ({"fake_logits": []}, "list of them, got list"),
     ({"fake": torch.ones(4)}, r"'fake' must hold samples \[n, ...\] of floating point, got \[4\]"),
     ({"real": torch.ones(4, 2).long()}, "got "), ({"g_loss": "low"}, "'g_loss' must be one number"),
     ({"d_ranking": 1.0}, "'d_ranking' is measured already")],
)  # fmt: skip
def test_what_is_told_wrongly_is_one_sentence(listen, told, said):
    with pytest.raises(UserError, match=said):
        listen().step(**told)


def test_one_network_alone_is_refused(tmp_path):
    with pytest.raises(UserError, match="Give both networks, or neither"):
        Monitor(torch.nn.Linear(2, 2), out=tmp_path / "it")
    with pytest.raises(UserError, match="say how networks are called"):
        Monitor(out=tmp_path / "it", latent=8)


def test_scores_are_not_told_where_networks_are_attached(tmp_path):
    monitor = Monitor(
        torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), ring(200), 2, out=tmp_path / "it", log=None, **SMALL
    )
    with pytest.raises(UserError, match="read off the networks"):
        monitor.step(real_logits=torch.ones(2))


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={
            "d_loss": st.floats(-1e3, 1e3), "g_loss": st.floats(), "real_logits": st.integers(1, 9),
            "fake_logits": st.integers(1, 9), "real": st.integers(1, 40), "fake": st.integers(1, 40),
        }), min_size=1, max_size=12),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_whatever_is_told_when_is_no_traceback(tmp_path_factory, told):
    """Scores, samples and losses come and go as they like: steps end, and the study is whole."""
    monitor = Monitor(out=tmp_path_factory.mktemp("told") / "it", every=3, samples=16, neighbours=16, log=None)
    for step in told:
        shapes = {"real_logits": (), "fake_logits": (), "real": (2,), "fake": (2,)}
        monitor.step(**{
            name: value if name.endswith("loss") else torch.rand(value, *shapes[name]) for name, value in step.items()
        })  # fmt: skip
    monitor.close()
    study = ganbench.load(monitor.out)
    assert study.damage == []
    assert study.runs["verdict"].isin(list(VERDICTS)).all()


def test_copies_are_kept_of_memory_that_is_filled_again(listen):
    monitor, buffer = listen(real=ring(600)), torch.empty(64, 2)
    for _ in range(10):
        buffer.copy_(ring(64))
        monitor.step(fake=buffer)
    # one batch of 64 twice would repeat every sample
    assert monitor.series["repeated"].iloc[-1] < 0.1


def test_arrays_are_samples_and_scores_too(listen):
    monitor = listen(real=ring(600).numpy())
    for _ in range(10):
        monitor.step(fake=ring(64).numpy(), real_logits=np.array([1.0, 2.0]), fake_logits=0.5)
    assert monitor.series["d_ranking"].iloc[-1] == 1
    assert monitor.series["precision"].notna().iloc[-1]


def test_what_ended_the_program_is_told_at_its_exit(monkeypatch):
    class Waiting:
        told = None

        def ended_by(self, error, *, late=False):
            self.told = (error, late)

    registered, waiting, error = [], Waiting(), ValueError("nan")
    monkeypatch.setattr(saying.atexit, "register", registered.append)
    saying.at_exit(waiting)
    monkeypatch.setattr(saying.sys, "last_value", None, raising=False)
    registered[0]()
    assert waiting.told is None
    monkeypatch.setattr(saying.sys, "last_value", error, raising=False)
    registered[0]()
    assert waiting.told == (error, True)
